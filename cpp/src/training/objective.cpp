#include "relaxon/training/objective.hpp"

#include <algorithm>
#include <limits>

#include "relaxon/base/error.hpp"
#include "relaxon/base/sum.hpp"
#include "relaxon/sweeps/make_sweep.hpp"
#include "relaxon/training/penalty.hpp"

namespace relaxon {

namespace {

// visit(gap, neighbour, factor), in order.
template <class T, class Visit>
void for_each_link(const InputErrors<T>& errors, const Visit& visit) {
    for (std::int64_t g = 0; g < errors.n_gaps; ++g) {
        for (std::int64_t k = g * errors.n_neighbours; k < (g + 1) * errors.n_neighbours; ++k) {
            if (errors.neighbours[k] >= 0) {
                visit(errors.gaps[g], errors.neighbours[k], errors.factors[k]);
            }
        }
    }
}

}  // namespace

template <class T>
Objective<T>::Objective(const ObjectiveProblem<T>& problem)
    : problem_(problem), arrays_(parameter_arrays(problem.config)) {
    offsets_.push_back(0);
    for (const ParameterArray& array : arrays_) offsets_.push_back(offsets_.back() + array.size());
    view_.resize(arrays_.size());
    gradients_.arrays.resize(arrays_.size());

    SweepRequest request = problem.request;
    const std::int64_t n_samples = request.batch;
    n_inputs_ = n_samples * problem.config.input_size();
    if (problem.input_errors.spread) {
        offsets_.push_back(offsets_.back() + n_inputs_);
        request.wants_input = true;
        Arena measure;
        measure.take<T>(n_inputs_);
        memory_ = Block(measure.used_bytes());
        moved_ = Arena(memory_).take<T>(n_inputs_);
    }
    if (problem.batch_size > 0) {
        const auto n_at = static_cast<std::int64_t>(request.at.size());
        batches_ = std::make_unique<Batches<T>>(problem.config, n_at, n_samples, problem.x,
                                                problem.target, problem.batch_size, problem.seed);
        batches_->next();
        n_batches_ = (n_samples + problem.batch_size - 1) / problem.batch_size;
        const std::int64_t n_last = n_samples % problem.batch_size;
        if (n_last > 0) {
            request.batch = n_last;
            last_sweep_ = make_sweep<T>(problem.config, request);
        }
        request.batch = problem.batch_size;
    }
    sweep_ = make_sweep<T>(problem.config, request);
}

template <class T>
const Parameters<T>& Objective<T>::view(const T* parameters) {
    for (std::size_t i = 0; i < arrays_.size(); ++i) view_[i] = parameters + offsets_[i];
    return view_;
}

template <class T>
double Objective<T>::penalize(const T* parameters, T* gradient) const {
    const Grid& grid = *problem_.config.grid;
    double total = 0.0;
    for (const Penalty& penalty : problem_.penalties) {
        const ParameterArray& array = arrays_[penalty.array];
        const T* p = parameters + offsets_[penalty.array];
        T* bar = gradient + offsets_[penalty.array];
        const std::int64_t n_fields = array.size() / (array.is_field() ? grid.n_cells() : 1);
        switch (penalty.kind) {
        case PenaltyKind::l2:
            total += l2_penalty(grid, array.is_field(), penalty.strength, p, n_fields, bar);
            break;
        case PenaltyKind::smoothness:
            total += smoothness_penalty(grid, penalty.strength, p, n_fields, bar);
            break;
        }
    }
    return total;
}

template <class T>
void Objective<T>::move_inputs(const T* parameters, T* moved) const {
    const InputErrors<T>& errors = problem_.input_errors;
    const T* spread = errors.spread;
    const T* deviations = parameters + offsets_[arrays_.size()];
    for (std::int64_t i = 0; i < n_inputs_; ++i) {
        moved[i] = spread ? problem_.x[i] + spread[i] * deviations[i] : problem_.x[i];
    }
    for_each_link(errors, [&](std::int64_t gap, std::int64_t neighbour, T factor) {
        moved[gap] += factor * spread[neighbour] * deviations[neighbour];
    });
}

// From the gradient with respect to x to that with respect to the deviations, penalty included.
template <class T>
double Objective<T>::penalize_deviations(const T* deviations, T* gradient) const {
    const InputErrors<T>& errors = problem_.input_errors;
    for_each_link(errors, [&](std::int64_t gap, std::int64_t neighbour, T factor) {
        gradient[neighbour] += factor * gradient[gap];
    });
    const T factor = static_cast<T>(2.0 * errors.strength);
    OrderedSum sum;
    for (std::int64_t i = 0; i < n_inputs_; ++i) {
        if (errors.spread[i] > T(0)) {
            sum.add(static_cast<double>(deviations[i]) * deviations[i]);
            gradient[i] = errors.spread[i] * gradient[i] + factor * deviations[i];
        } else {
            gradient[i] = T(0);
        }
    }
    return errors.strength * sum.value();
}

template <class T>
ObjectiveValue Objective<T>::evaluate(const T* parameters, T* gradient, Team& team) {
    const std::int64_t inputs = offsets_[arrays_.size()];
    if (moved_) {
        move_inputs(parameters, moved_);
        gradients_.x = gradient + inputs;
    }
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
        const bool is_wanted = i + 1 < arrays_.size() || problem_.request.wants_omega;
        gradients_.arrays[i] = is_wanted ? gradient + offsets_[i] : nullptr;
    }
    const bool is_last = batches_ && batches_->size() < problem_.batch_size;
    Sweep<T>& sweep = is_last ? *last_sweep_ : *sweep_;
    const T* x = moved_ ? moved_ : batches_ ? batches_->x() : problem_.x;
    ObjectiveValue value;
    try {
        value.loss = sweep.value_and_gradient(
            view(parameters), x, batches_ ? batches_->target() : problem_.target, gradients_, team);
    } catch (const UnsolvedError&) {
        // As where states overflow: whoever tries this point is to turn back.
        value.loss = std::numeric_limits<double>::infinity();
        std::fill(gradient, gradient + size(), T(0));
        return value;
    }
    value.penalty = penalize(parameters, gradient);
    if (moved_) value.penalty += penalize_deviations(parameters + inputs, gradient + inputs);
    return value;
}

template <class T>
void Objective<T>::next_batch() {
    if (batches_) batches_->next();
}

template <class T>
void Objective<T>::seek_batch(std::int64_t step) {
    if (batches_ && step > 0) batches_->seek(step);
}

template class Objective<float>;
template class Objective<double>;

}  // namespace relaxon
