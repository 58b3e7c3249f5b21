// What descent lowers: F = loss + penalties and its gradient, over all samples or over the present
// mini-batch. Parameters and gradients are flat: one array of parameter_arrays behind the other.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/batches.hpp"
#include "relaxon/network.hpp"

namespace relaxon {

enum class PenaltyKind { l2, smoothness };

struct Penalty {
    PenaltyKind kind;
    double strength;
    std::size_t array;  // index among the parameter arrays
};

struct ObjectiveValue {
    double loss = 0.0, penalty = 0.0;
    double total() const { return loss + penalty; }
};

template <class T>
struct ObjectiveProblem {
    NetworkConfig config;
    SweepRequest request;  // `batch` counts all samples
    const T* x = nullptr;
    Target<T> target;
    std::vector<Penalty> penalties;
    std::int64_t batch_size = 0;  // 0: all samples at once
    std::uint64_t seed = 0;       // of the order of the samples
};

template <class T>
class Objective {
public:
    explicit Objective(const ObjectiveProblem<T>& problem);

    const std::vector<ParameterArray>& arrays() const { return arrays_; }
    // Of array i; of the end where i is their number.
    std::int64_t offset(std::size_t i) const { return offsets_[i]; }
    std::int64_t size() const { return offsets_.back(); }

    // Gradients of arrays that are not wanted are left as they are.
    ObjectiveValue evaluate(const T* parameters, T* gradient, Team& team);
    void next_batch();
    // In an epoch.
    std::int64_t n_batches() const { return n_batches_; }
    const Parameters<T>& view(const T* parameters);
    const Plan& plan() const { return sweep_->plan(); }

private:
    double penalize(const T* parameters, T* gradient) const;

    ObjectiveProblem<T> problem_;
    std::vector<ParameterArray> arrays_;
    std::vector<std::int64_t> offsets_;
    std::int64_t n_batches_ = 1;
    std::unique_ptr<Batches<T>> batches_;
    std::unique_ptr<Sweep<T>> sweep_, last_sweep_;  // the latter for a smaller last batch
    Parameters<T> view_;
    Gradients<T> gradients_;
};

}  // namespace relaxon
