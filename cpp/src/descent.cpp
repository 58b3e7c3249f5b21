#include "relaxon/descent.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "relaxon/penalty.hpp"
#include "relaxon/sum.hpp"

namespace relaxon {

namespace {

constexpr double kSufficientDecrease = 1e-4;
constexpr int kMaxHalvings = 60;
constexpr std::size_t kRecent = 10;  // totals that barzilai-borwein may exceed all but the largest
constexpr double kMaxGrowth = 1e3;   // of t from one barzilai-borwein step to the next
// Records made without an allocation: more steps than a stretch of time holds.
constexpr std::int64_t kReservedRecords = 1 << 16;

SweepRequest validation_request(SweepRequest request, std::int64_t n_samples) {
    request.kind = SweepKind::forward;
    request.batch = n_samples;
    request.memory_bytes = -1;
    return request;
}

}  // namespace

template <class T>
Descent<T>::Descent(const DescentProblem<T>& problem, const DescentOptions& options)
    : problem_(problem), options_(options), arrays_(parameter_arrays(problem.config)) {
    offsets_.push_back(0);
    for (const ParameterArray& array : arrays_) offsets_.push_back(offsets_.back() + array.size());
    sweep_ = make_sweep<T>(problem.config, problem.request);
    if (problem.n_validation > 0) {
        validation_sweep_ = make_sweep<T>(
            problem.config, validation_request(problem.request, problem.n_validation));
    }
    const std::int64_t n = offsets_.back();
    Arena measure;
    for (int i = 0; i < 6; ++i) measure.take<T>(n);
    memory_ = Block(measure.used_bytes());
    Arena arena(memory_);
    for (T** values :
         {&parameters_, &previous_, &best_, &gradient_, &previous_gradient_, &velocity_}) {
        *values = arena.take_zeroed<T>(n);
    }
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
        std::copy(problem.start[i], problem.start[i] + arrays_[i].size(),
                  parameters_ + offsets_[i]);
    }
    std::copy(parameters_, parameters_ + n, previous_);
    std::copy(parameters_, parameters_ + n, best_);
    view_.resize(arrays_.size());
    gradients_.arrays.resize(arrays_.size());
    records_.reserve(static_cast<std::size_t>(std::min(options.n_steps, kReservedRecords)));
    recent_.reserve(kRecent);
}

template <class T>
void Descent<T>::copy(const T* values, const std::vector<T*>& arrays) const {
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
        std::copy(values + offsets_[i], values + offsets_[i + 1], arrays[i]);
    }
}

template <class T>
double Descent<T>::penalize(const T* parameters, T* gradient) const {
    const Grid& grid = *problem_.config.grid;
    double total = 0.0;
    for (const Penalty& penalty : options_.penalties) {
        const ParameterArray& array = arrays_[penalty.array];
        const T* p = parameters + offsets_[penalty.array];
        T* bar = gradient + offsets_[penalty.array];
        const std::int64_t n_fields = array.size() / (array.is_field ? grid.n_cells() : 1);
        if (penalty.kind == PenaltyKind::l2) {
            total += l2_penalty(grid, array.is_field, penalty.strength, p, n_fields, bar);
        } else {
            total += smoothness_penalty(grid, penalty.strength, p, n_fields, bar);
        }
    }
    return total;
}

template <class T>
template <class Term>
double Descent<T>::sum_over_parameters(const Term& term) const {
    OrderedSum sum;
    for (std::size_t array = 0; array < arrays_.size(); ++array) {
        if (options_.rates[array] == 0.0) continue;
        for (std::int64_t i = offsets_[array]; i < offsets_[array + 1]; ++i) {
            sum.add(term(i, options_.rates[array]));
        }
    }
    return sum.value();
}

// Loss, penalty and gradient of both.
template <class T>
typename Descent<T>::Value Descent<T>::evaluate(const T* parameters, T* gradient, Team& team) {
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
        view_[i] = parameters + offsets_[i];
        const bool is_wanted = arrays_[i].name != "omega" || problem_.request.wants_omega;
        gradients_.arrays[i] = is_wanted ? gradient + offsets_[i] : nullptr;
    }
    Value value{};
    value.loss = sweep_->value_and_gradient(view_, problem_.x, problem_.target, gradients_, team);
    value.penalty = penalize(parameters, gradient);
    return value;
}

template <class T>
void Descent<T>::take_fixed_step() {
    for (std::size_t array = 0; array < arrays_.size(); ++array) {
        const T rate = static_cast<T>(options_.rates[array]);
        if (rate == T(0)) continue;
        const T momentum = static_cast<T>(options_.momentum);
        for (std::int64_t i = offsets_[array]; i < offsets_[array + 1]; ++i) {
            velocity_[i] = momentum * velocity_[i] - rate * gradient_[i];
            parameters_[i] += velocity_[i];
        }
    }
}

// From previous_ along -r previous_gradient_, the factor cut back until F has decreased enough;
// leaves parameters, value and gradient of the accepted point. slope = sum r g^2.
template <class T>
DescentStatus Descent<T>::search_step(double bound, double slope, Team& team) {
    bool has_finite = false;
    for (int halving = 0; halving <= kMaxHalvings; ++halving) {
        bool has_moved = false;
        for (std::size_t array = 0; array < arrays_.size(); ++array) {
            const T length = static_cast<T>(factor_ * options_.rates[array]);
            if (length == T(0)) continue;
            for (std::int64_t i = offsets_[array]; i < offsets_[array + 1]; ++i) {
                parameters_[i] = previous_[i] - length * previous_gradient_[i];
                has_moved = has_moved || parameters_[i] != previous_[i];
            }
        }
        if (!has_moved) break;
        value_ = evaluate(parameters_, gradient_, team);
        const double total = value_.total();
        has_finite = has_finite || std::isfinite(total);
        if (std::isfinite(total) && total <= bound - kSufficientDecrease * factor_ * slope) {
            has_value_ = true;
            return DescentStatus::running;
        }
        factor_ *= 0.5;
    }
    std::copy(previous_, previous_ + offsets_.back(), parameters_);
    return has_finite ? DescentStatus::converged : DescentStatus::diverged;
}

// Barzilai and Borwein's factor from the last step; without curvature along it, twice the last.
template <class T>
double Descent<T>::secant_factor() const {
    const double square = sum_over_parameters([&](std::int64_t i, double rate) {
        const double s = static_cast<double>(parameters_[i]) - previous_[i];
        return s * s / rate;
    });
    const double curvature = sum_over_parameters([&](std::int64_t i, double) {
        const double s = static_cast<double>(parameters_[i]) - previous_[i];
        return s * (static_cast<double>(gradient_[i]) - previous_gradient_[i]);
    });
    if (!(curvature > 0.0) || !(square > 0.0)) return 2.0 * factor_;
    return std::min(square / curvature, kMaxGrowth * factor_);
}

// Validation loss of the present parameters; keeps the best.
template <class T>
void Descent<T>::validate(Team& team) {
    validation_loss_ = std::numeric_limits<double>::quiet_NaN();
    if (!validation_sweep_) return;
    for (std::size_t i = 0; i < arrays_.size(); ++i) view_[i] = parameters_ + offsets_[i];
    validation_loss_ =
        validation_sweep_->loss(view_, problem_.x_validation, problem_.target_validation, team);
    if (step_ == 0 || validation_loss_ < best_validation_) {
        best_validation_ = validation_loss_;
        best_step_ = step_;
        std::copy(parameters_, parameters_ + offsets_.back(), best_);
    }
}

template <class T>
DescentStatus Descent<T>::take_step(Team& team) {
    const std::int64_t n = offsets_.back();
    if (!has_value_) value_ = evaluate(parameters_, gradient_, team);
    has_value_ = true;
    const double square = sum_over_parameters(
        [&](std::int64_t i, double) { return static_cast<double>(gradient_[i]) * gradient_[i]; });
    const double norm = std::sqrt(square);
    if (!std::isfinite(value_.total()) || !std::isfinite(norm)) return DescentStatus::diverged;
    if (first_norm_ < 0.0) first_norm_ = norm;
    validate(team);
    if (norm <= options_.tolerance * first_norm_) return DescentStatus::converged;
    if (options_.patience >= 0 && validation_sweep_ && step_ - best_step_ > options_.patience) {
        return DescentStatus::patience;
    }
    if (step_ == options_.n_steps) return DescentStatus::steps;

    StepRecord record{value_.loss, value_.penalty, validation_loss_, norm, 0.0};
    if (options_.rule == StepRule::barzilai_borwein && step_ > 0) factor_ = secant_factor();
    if (options_.rule == StepRule::armijo && step_ > 0) factor_ *= 2.0;
    std::copy(parameters_, parameters_ + n, previous_);
    if (options_.rule == StepRule::fixed) {
        take_fixed_step();
        has_value_ = false;
    } else {
        std::swap(gradient_, previous_gradient_);
        if (recent_.size() == kRecent) recent_.erase(recent_.begin());
        recent_.push_back(value_.total());
        const double bound = options_.rule == StepRule::armijo
                                 ? value_.total()
                                 : *std::max_element(recent_.begin(), recent_.end());
        const double slope = sum_over_parameters([&](std::int64_t i, double rate) {
            return rate * previous_gradient_[i] * previous_gradient_[i];
        });
        is_searching_ = true;
        const DescentStatus found = search_step(bound, slope, team);
        is_searching_ = false;
        if (found != DescentStatus::running) return found;
    }
    record.rate = factor_ * *std::max_element(options_.rates.begin(), options_.rates.end());
    records_.push_back(record);
    ++step_;
    return DescentStatus::running;
}

template <class T>
DescentStatus Descent<T>::advance(std::int64_t max_steps, double seconds, Team& team) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    records_.clear();
    for (std::int64_t i = 0; status_ == DescentStatus::running && i < max_steps; ++i) {
        try {
            status_ = take_step(team);
        } catch (...) {
            // A trial that was not judged is not a step.
            if (is_searching_) std::copy(previous_, previous_ + offsets_.back(), parameters_);
            throw;
        }
        const std::chrono::duration<double> passed = Clock::now() - start;
        if (passed.count() >= seconds) break;
    }
    return status_;
}

template class Descent<float>;
template class Descent<double>;

}  // namespace relaxon
