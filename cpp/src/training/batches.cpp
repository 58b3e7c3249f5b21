#include "relaxon/training/batches.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace relaxon {

namespace {

// Uniform on 0..n-1.
std::uint64_t draw_below(std::uint64_t n, std::mt19937_64& generator) {
    const std::uint64_t largest = std::mt19937_64::max();
    const std::uint64_t n_left_over = (largest % n + 1) % n;
    std::uint64_t number = generator();
    while (number > largest - n_left_over) number = generator();
    return number % n;
}

// Rows `indices` of `all`, `length` entries each; nothing where there is nothing to gather from.
template <class V>
void gather(const V* all, std::int64_t length, const std::int64_t* indices, std::int64_t n,
            std::vector<V>& rows) {
    if (!all) return;
    for (std::int64_t i = 0; i < n; ++i) {
        const V* row = all + indices[i] * length;
        std::copy(row, row + length, rows.begin() + i * length);
    }
}

}  // namespace

SampleOrder::SampleOrder(std::int64_t n_samples, std::uint64_t seed)
    : generator_(seed), indices_(static_cast<std::size_t>(n_samples)) {
    std::iota(indices_.begin(), indices_.end(), 0);
}

void SampleOrder::shuffle() {
    for (std::size_t i = indices_.size(); i-- > 1;) {
        std::swap(indices_[i], indices_[draw_below(i + 1, generator_)]);
    }
}

template <class T>
Batches<T>::Batches(const NetworkConfig& config, std::int64_t n_at, std::int64_t n_samples,
                    const T* x, const Target<T>& target, std::int64_t batch_size,
                    std::uint64_t seed)
    : all_x_(x), all_(target), batch_size_(batch_size), x_length_(config.input_size()),
      y_length_(n_at * (target.labels ? 1 : config.output_size())), n_seen_(n_samples),
      order_(n_samples, seed), target_(target) {
    const auto n_y = static_cast<std::size_t>(batch_size * y_length_);
    x_.resize(static_cast<std::size_t>(batch_size * x_length_));
    if (target.y) {
        y_.resize(n_y);
        target_.y = y_.data();
    }
    if (target.labels) {
        labels_.resize(n_y);
        target_.labels = labels_.data();
    }
    if (target.weights && !target.weights_are_shared) {
        weights_.resize(n_y);
        target_.weights = weights_.data();
    }
}

template <class T>
void Batches<T>::next() {
    const auto n_samples = static_cast<std::int64_t>(order_.indices().size());
    if (n_seen_ == n_samples) {
        order_.shuffle();
        n_seen_ = 0;
    }
    gather_next();
}

template <class T>
void Batches<T>::seek(std::int64_t step) {
    const auto n_samples = static_cast<std::int64_t>(order_.indices().size());
    const std::int64_t n_batches = (n_samples + batch_size_ - 1) / batch_size_;
    for (std::int64_t epoch = 0; epoch < step / n_batches; ++epoch) order_.shuffle();
    n_seen_ = step % n_batches * batch_size_;
    gather_next();
}

template <class T>
void Batches<T>::gather_next() {
    const auto n_samples = static_cast<std::int64_t>(order_.indices().size());
    size_ = std::min(batch_size_, n_samples - n_seen_);
    const std::int64_t* indices = order_.indices().data() + n_seen_;
    gather(all_x_, x_length_, indices, size_, x_);
    gather(all_.y, y_length_, indices, size_, y_);
    gather(all_.labels, y_length_, indices, size_, labels_);
    if (!weights_.empty()) gather(all_.weights, y_length_, indices, size_, weights_);
    n_seen_ += size_;
}

template class Batches<float>;
template class Batches<double>;

}  // namespace relaxon
