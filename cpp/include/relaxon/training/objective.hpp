// What descent lowers: F = loss + penalties and its gradient, over all samples or over the present
// mini-batch. Parameters and gradients are flat: one array of parameter_arrays behind the other,
// and behind these the deviations of the inputs where they are estimated.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/training/batches.hpp"

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

// Inputs x + spread xi with deviations xi to be found beside the parameters, and the penalty
// strength sum xi^2 over entries with a spread above 0. Spread as x; null: x is taken as it is.
// A gap moves with its neighbours, too: x_g + spread_g xi_g + sum_k factor_gk spread_k xi_k. The
// neighbours are no gaps themselves.
template <class T>
struct InputErrors {
    const T* spread = nullptr;
    double strength = 0.0;
    std::int64_t n_gaps = 0, n_neighbours = 0;
    const std::int64_t* gaps = nullptr;        // n_gaps indices into x
    const std::int64_t* neighbours = nullptr;  // n_gaps x n_neighbours of them; -1: none
    const T* factors = nullptr;                // as the neighbours
};

template <class T>
struct ObjectiveProblem {
    NetworkConfig config;
    SweepRequest request;  // `batch` counts all samples
    const T* x = nullptr;
    InputErrors<T> input_errors;  // with all samples at once
    Target<T> target;
    std::vector<Penalty> penalties;
    std::int64_t batch_size = 0;  // 0: all samples at once
    std::uint64_t seed = 0;       // of the order of the samples
};

template <class T>
class Objective {
public:
    explicit Objective(const ObjectiveProblem<T>& problem);

    // Parameter arrays, and that of the deviations.
    std::size_t n_arrays() const { return offsets_.size() - 1; }
    // Of array i; of the end where i is their number.
    std::int64_t offset(std::size_t i) const { return offsets_[i]; }
    std::int64_t size() const { return offsets_.back(); }
    std::int64_t n_inputs() const { return n_inputs_; }

    // x + spread xi with the deviations among these parameters, if they are.
    void move_inputs(const T* parameters, T* moved) const;

    // Gradients of arrays that are not wanted are left as they are.
    ObjectiveValue evaluate(const T* parameters, T* gradient, Team& team);
    void next_batch();
    // From the first batch to that of a step, counted from 0.
    void seek_batch(std::int64_t step);
    // In an epoch.
    std::int64_t n_batches() const { return n_batches_; }
    const Parameters<T>& view(const T* parameters);
    const Plan& plan() const { return sweep_->plan(); }

private:
    double penalize(const T* parameters, T* gradient) const;
    double penalize_deviations(const T* deviations, T* gradient) const;

    ObjectiveProblem<T> problem_;
    std::vector<ParameterArray> arrays_;
    std::vector<std::int64_t> offsets_;
    std::int64_t n_inputs_ = 0;
    std::int64_t n_batches_ = 1;
    std::unique_ptr<Batches<T>> batches_;
    std::unique_ptr<Sweep<T>> sweep_, last_sweep_;  // the latter for a smaller last batch
    Parameters<T> view_;
    Gradients<T> gradients_;
    Block memory_;
    T* moved_ = nullptr;  // x + spread xi
};

}  // namespace relaxon
