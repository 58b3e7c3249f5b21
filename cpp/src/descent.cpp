#include "relaxon/descent.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace relaxon {

namespace {

constexpr double kSufficientDecrease = 1e-4;
constexpr int kMaxHalvings = 60;
constexpr std::size_t kRecent = 10;  // totals that barzilai-borwein may exceed all but the largest
// Records made without an allocation: more steps than a stretch of time holds.
constexpr std::int64_t kReservedRecords = 1 << 16;

bool is_search(StepRule rule) {
    return rule == StepRule::armijo || rule == StepRule::barzilai_borwein;
}

SweepRequest validation_request(SweepRequest request, std::int64_t n_samples) {
    request.kind = SweepKind::forward;
    request.batch = n_samples;
    request.memory_bytes = -1;
    return request;
}

}  // namespace

template <class T>
Descent<T>::Descent(const DescentProblem<T>& problem, const DescentOptions& options)
    : options_(options), objective_(problem.objective), x_validation_(problem.x_validation),
      target_validation_(problem.target_validation),
      largest_rate_(*std::max_element(options.rates.begin(), options.rates.end())) {
    if (problem.n_validation > 0) {
        validation_sweep_ =
            make_sweep<T>(problem.objective.config,
                          validation_request(problem.objective.request, problem.n_validation));
    }
    make_iterate(problem);
    records_.reserve(static_cast<std::size_t>(std::min(options.n_steps, kReservedRecords)));
    recent_.reserve(kRecent);
}

template <class T>
void Descent<T>::make_iterate(const DescentProblem<T>& problem) {
    Iterate<T>& it = iterate_;
    it.rates = options_.rates;
    const std::size_t n_arrays = objective_.n_arrays();
    for (std::size_t i = 0; i <= n_arrays; ++i) it.offsets.push_back(objective_.offset(i));

    const StepRule rule = options_.rule;
    std::vector<T**> wanted = {&it.parameters, &it.previous, &best_, &it.gradient};
    if (is_search(rule)) wanted.push_back(&it.previous_gradient);
    if (rule == StepRule::fixed || rule == StepRule::adam) wanted.push_back(&it.velocity);
    if (rule == StepRule::adam) wanted.push_back(&it.square);
    if (rule == StepRule::external) wanted.insert(wanted.end(), {&trial_, &trial_gradient_});
    if (!problem.bounds.empty()) wanted.insert(wanted.end(), {&it.lower, &it.upper});
    Arena measure;
    for (std::size_t i = 0; i < wanted.size(); ++i) measure.take<T>(it.size());
    memory_ = Block(measure.used_bytes());
    Arena arena(memory_);
    for (T** values : wanted) *values = arena.take_zeroed<T>(it.size());

    const auto fill = [&](T* to, std::size_t i, const T* from) {
        std::copy(from, from + (it.offsets[i + 1] - it.offsets[i]), to + it.offsets[i]);
    };
    for (std::size_t i = 0; i < problem.start.size(); ++i) {
        fill(it.parameters, i, problem.start[i]);
        if (problem.bounds.empty()) continue;
        fill(it.lower, i, problem.bounds[i].first);
        fill(it.upper, i, problem.bounds[i].second);
    }
    if (!problem.bounds.empty()) {
        const std::int64_t inputs = it.offsets[problem.start.size()];
        constexpr T kInfinity = std::numeric_limits<T>::infinity();
        std::fill(it.lower + inputs, it.lower + it.size(), -kInfinity);
        std::fill(it.upper + inputs, it.upper + it.size(), kInfinity);
    }
    std::copy(it.parameters, it.parameters + it.size(), it.previous);
    std::copy(it.parameters, it.parameters + it.size(), best_);
}

template <class T>
void Descent<T>::copy(const T* values, const std::vector<T*>& arrays) const {
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        std::copy(values + iterate_.offsets[i], values + iterate_.offsets[i + 1], arrays[i]);
    }
}

// From the previous point, the factor cut back until F has decreased enough; leaves parameters,
// value and gradient of the accepted point.
template <class T>
DescentStatus Descent<T>::search_step(Team& team) {
    if (recent_.size() == kRecent) recent_.erase(recent_.begin());
    recent_.push_back(value_.total());
    const double bound = options_.rule == StepRule::armijo
                             ? value_.total()
                             : *std::max_element(recent_.begin(), recent_.end());
    bool has_finite = false, has_trial = false;
    for (int halving = 0; halving <= kMaxHalvings; ++halving) {
        if (!take_gradient_step(iterate_, factor_)) break;
        has_trial = true;
        value_ = objective_.evaluate(iterate_.parameters, iterate_.gradient, team);
        const double total = value_.total();
        has_finite = has_finite || std::isfinite(total);
        if (std::isfinite(total) &&
            total <= bound - kSufficientDecrease * promised_decrease(iterate_)) {
            has_value_ = true;
            return DescentStatus::running;
        }
        factor_ *= 0.5;
    }
    std::copy(iterate_.previous, iterate_.previous + iterate_.size(), iterate_.parameters);
    return has_trial && !has_finite ? DescentStatus::diverged : DescentStatus::converged;
}

// Validation loss of the present parameters, at the start of an epoch and at the end; keeps the
// best. Returns whether it was due.
template <class T>
bool Descent<T>::validate(Team& team) {
    validation_loss_ = std::numeric_limits<double>::quiet_NaN();
    const bool is_due = step_ % objective_.n_batches() == 0 || step_ == options_.n_steps;
    if (!validation_sweep_ || !is_due) return false;
    validation_loss_ = validation_sweep_->loss(objective_.view(iterate_.parameters), x_validation_,
                                               target_validation_, team);
    if (step_ == 0 || validation_loss_ < best_validation_) {
        best_validation_ = validation_loss_;
        best_step_ = step_;
        std::copy(iterate_.parameters, iterate_.parameters + iterate_.size(), best_);
    }
    return true;
}

template <class T>
DescentStatus Descent<T>::judge(Team& team) {
    if (!has_value_) value_ = objective_.evaluate(iterate_.parameters, iterate_.gradient, team);
    has_value_ = true;
    norm_ = iterate_.gradient_norm();
    if (!std::isfinite(value_.total()) || !std::isfinite(norm_)) return DescentStatus::diverged;
    if (step_ < objective_.n_batches()) first_norm_ = std::max(first_norm_, norm_);
    const bool is_validated = validate(team);
    n_small_ = norm_ <= options_.tolerance * first_norm_ ? n_small_ + 1 : 0;
    if (n_small_ >= objective_.n_batches()) return DescentStatus::converged;
    if (options_.patience >= 0 && is_validated && step_ - best_step_ > options_.patience) {
        return DescentStatus::patience;
    }
    return step_ == options_.n_steps ? DescentStatus::steps : DescentStatus::running;
}

template <class T>
StepRecord Descent<T>::begin_record() const {
    return {value_.loss, value_.penalty, validation_loss_, norm_, 0.0};
}

template <class T>
void Descent<T>::end_step(const StepRecord& record) {
    records_.push_back(record);
    ++step_;
}

template <class T>
DescentStatus Descent<T>::take_step(Team& team) {
    const DescentStatus verdict = judge(team);
    if (verdict != DescentStatus::running) return verdict;
    StepRecord record = begin_record();
    if (options_.rule == StepRule::barzilai_borwein && step_ > 0) {
        factor_ = secant_factor(iterate_, factor_);
    }
    if (options_.rule == StepRule::armijo && step_ > 0) factor_ *= 2.0;
    std::copy(iterate_.parameters, iterate_.parameters + iterate_.size(), iterate_.previous);
    if (is_search(options_.rule)) {
        std::swap(iterate_.gradient, iterate_.previous_gradient);
        is_searching_ = true;
        const DescentStatus found = search_step(team);
        is_searching_ = false;
        if (found != DescentStatus::running) return found;
    } else {
        if (!options_.factors.empty()) factor_ = options_.factors[static_cast<std::size_t>(step_)];
        if (options_.rule == StepRule::adam) {
            take_adam_step(iterate_, factor_, options_.decay, step_ + 1);
        } else {
            take_fixed_step(iterate_, factor_, options_.momentum);
        }
        has_value_ = false;
        objective_.next_batch();
    }
    record.rate = factor_ * largest_rate_;
    end_step(record);
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
            if (is_searching_) {
                std::copy(iterate_.previous, iterate_.previous + iterate_.size(),
                          iterate_.parameters);
            }
            throw;
        }
        const std::chrono::duration<double> passed = Clock::now() - start;
        if (passed.count() >= seconds) break;
    }
    return status_;
}

template <class T>
double Descent<T>::evaluate(const double* point, double* gradient, Team& team) {
    const std::int64_t n = iterate_.size();
    for (std::int64_t i = 0; i < n; ++i) trial_[i] = static_cast<T>(point[i]);
    trial_value_ = objective_.evaluate(trial_, trial_gradient_, team);
    std::copy(trial_gradient_, trial_gradient_ + n, gradient);
    return trial_value_.total();
}

template <class T>
void Descent<T>::accept() {
    StepRecord record = begin_record();
    const double norm = iterate_.sum([&](std::int64_t i, double) {
        return static_cast<double>(iterate_.gradient[i]) * iterate_.gradient[i];
    });
    std::copy(iterate_.parameters, iterate_.parameters + iterate_.size(), iterate_.previous);
    std::swap(iterate_.parameters, trial_);
    std::swap(iterate_.gradient, trial_gradient_);
    value_ = trial_value_;
    record.rate = iterate_.step_length() / std::sqrt(norm);
    records_.clear();
    end_step(record);
}

template class Descent<float>;
template class Descent<double>;

}  // namespace relaxon
