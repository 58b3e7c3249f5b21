// Mini-batches: in every epoch each sample is seen once, in a new random order. The order is the
// same on every platform: Fisher and Yates' shuffle (Durstenfeld, Comm. ACM 7 (1964) 420), from the
// last index down, with std::mt19937_64, whose numbers the standard fixes; those that would make
// some positions likelier than others are drawn again.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "relaxon/network/sweep.hpp"

namespace relaxon {

class SampleOrder {
public:
    SampleOrder(std::int64_t n_samples, std::uint64_t seed);

    void shuffle();
    const std::vector<std::int64_t>& indices() const { return indices_; }

private:
    std::mt19937_64 generator_;
    std::vector<std::int64_t> indices_;
};

// Gathers the samples of one batch after the other into buffers made once. The last batch of an
// epoch holds what is left.
template <class T>
class Batches {
public:
    // x and target hold all samples and stay with the caller; n_at layers have targets.
    Batches(const NetworkConfig& config, std::int64_t n_at, std::int64_t n_samples, const T* x,
            const Target<T>& target, std::int64_t batch_size, std::uint64_t seed);

    void next();
    // From the first batch to that of a step, counted from 0.
    void seek(std::int64_t step);
    std::int64_t size() const { return size_; }
    const T* x() const { return x_.data(); }
    const Target<T>& target() const { return target_; }

private:
    void gather_next();

    const T* all_x_;
    Target<T> all_;
    std::int64_t batch_size_, x_length_, y_length_;  // lengths of one sample
    std::int64_t n_seen_, size_ = 0;
    SampleOrder order_;
    std::vector<T> x_, y_, weights_;
    std::vector<std::int64_t> labels_;
    Target<T> target_;
};

}  // namespace relaxon
