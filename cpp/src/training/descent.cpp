#include "relaxon/training/descent.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "relaxon/sweeps/make_sweep.hpp"

namespace relaxon {

namespace {

constexpr double kSufficientDecrease = 1e-4;
constexpr int kMaxHalvings = 60;
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
}

template <class T>
void Descent<T>::make_iterate(const DescentProblem<T>& problem) {
    Iterate<T>& it = iterate_;
    it.rates = options_.rates;
    const std::size_t n_arrays = objective_.n_arrays();
    for (std::size_t i = 0; i <= n_arrays; ++i) it.offsets.push_back(objective_.offset(i));

    const StepRule rule = options_.rule;
    std::vector<T**> wanted = {&it.parameters, &it.previous, &best_, &it.gradient};
    const StepTraits traits = traits_of(rule);
    if (traits.is_search) wanted.push_back(&it.previous_gradient);
    if (traits.has_velocity) wanted.push_back(&it.velocity);
    if (traits.has_square) wanted.push_back(&it.square);
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
    it.constraint = problem.constraint;
    if (it.constraint) retract(*it.constraint, it.parameters);
    std::copy(it.parameters, it.parameters + it.size(), it.previous);
    std::copy(it.parameters, it.parameters + it.size(), best_);
}

template <class T>
void Descent<T>::copy(const T* values, const std::vector<T*>& arrays) const {
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        std::copy(values + iterate_.offsets[i], values + iterate_.offsets[i + 1], arrays[i]);
    }
}

template <class T>
void Descent<T>::begin_search() {
    DescentProgress& now = progress_;
    std::swap(iterate_.gradient, iterate_.previous_gradient);
    if (now.n_recent == static_cast<std::int64_t>(kRecent)) {
        std::copy(now.recent.begin() + 1, now.recent.end(), now.recent.begin());
        --now.n_recent;
    }
    now.recent[static_cast<std::size_t>(now.n_recent++)] = now.value.total();
    now.is_searching = true;
}

// From the previous point, the factor cut back until F has decreased enough; leaves parameters,
// value and gradient of the accepted point.
template <class T>
DescentStatus Descent<T>::search_step(Team& team) {
    DescentProgress& now = progress_;
    const auto recent_end = now.recent.begin() + now.n_recent;
    const double bound = options_.rule == StepRule::armijo
                             ? *(recent_end - 1)
                             : *std::max_element(now.recent.begin(), recent_end);
    double factor = now.factor;
    bool has_finite = false, has_trial = false;
    // A retraction may lead uphill at first; the slope then promises nothing.
    for (int halving = 0; halving <= kMaxHalvings; ++halving) {
        if (!take_gradient_step(iterate_, factor)) break;
        has_trial = true;
        now.value = objective_.evaluate(iterate_.parameters, iterate_.gradient, team);
        const double total = now.value.total();
        has_finite = has_finite || std::isfinite(total);
        if (std::isfinite(total) &&
            total <= bound - kSufficientDecrease * std::max(promised_decrease(iterate_), 0.0)) {
            now.factor = factor;
            return DescentStatus::running;
        }
        factor *= 0.5;
    }
    std::copy(iterate_.previous, iterate_.previous + iterate_.size(), iterate_.parameters);
    return has_trial && !has_finite ? DescentStatus::diverged : DescentStatus::converged;
}

// Validation loss of the present parameters, at the start of an epoch and at the end; keeps the
// best. Returns whether it was due.
template <class T>
bool Descent<T>::validate(Team& team) {
    validation_loss_ = std::numeric_limits<double>::quiet_NaN();
    const bool is_due =
        progress_.step % objective_.n_batches() == 0 || progress_.step == options_.n_steps;
    if (!validation_sweep_ || !is_due) return false;
    validation_loss_ = std::exchange(known_validation_, validation_loss_);
    if (std::isnan(validation_loss_)) {
        validation_loss_ = validation_sweep_->loss(objective_.view(iterate_.parameters),
                                                   x_validation_, target_validation_, team);
    }
    if (progress_.step == 0 || validation_loss_ < progress_.best_validation) {
        progress_.best_validation = validation_loss_;
        progress_.best_step = progress_.step;
        std::copy(iterate_.parameters, iterate_.parameters + iterate_.size(), best_);
    }
    return true;
}

template <class T>
DescentStatus Descent<T>::judge(Team& team) {
    DescentProgress& now = progress_;
    if (!now.has_value)
        now.value = objective_.evaluate(iterate_.parameters, iterate_.gradient, team);
    now.has_value = true;
    now.norm = iterate_.gradient_norm();
    if (!std::isfinite(now.value.total()) || !std::isfinite(now.norm)) {
        return DescentStatus::diverged;
    }
    if (now.step < objective_.n_batches()) now.first_norm = std::max(now.first_norm, now.norm);
    const bool is_validated = validate(team);
    now.n_small = now.norm <= options_.tolerance * now.first_norm ? now.n_small + 1 : 0;
    if (now.n_small >= objective_.n_batches()) return DescentStatus::converged;
    if (options_.patience >= 0 && is_validated && now.step - now.best_step > options_.patience) {
        return DescentStatus::patience;
    }
    return now.step == options_.n_steps ? DescentStatus::steps : DescentStatus::running;
}

template <class T>
StepRecord Descent<T>::begin_record() const {
    return {progress_.value.loss, progress_.value.penalty, validation_loss_, progress_.norm, 0.0};
}

template <class T>
void Descent<T>::end_step(const StepRecord& record) {
    records_.push_back(record);
    ++progress_.step;
}

template <class T>
DescentStatus Descent<T>::take_step(Team& team) {
    DescentProgress& now = progress_;
    if (!now.is_searching) {
        const DescentStatus verdict = judge(team);
        if (verdict != DescentStatus::running) return verdict;
        now.record = begin_record();
        if (options_.rule == StepRule::barzilai_borwein && now.step > 0) {
            now.factor = secant_factor(iterate_, now.factor);
        }
        if (options_.rule == StepRule::armijo && now.step > 0) now.factor *= 2.0;
        std::copy(iterate_.parameters, iterate_.parameters + iterate_.size(), iterate_.previous);
        if (traits_of(options_.rule).is_search) begin_search();
    }
    if (now.is_searching) {
        const DescentStatus found = search_step(team);
        now.is_searching = false;
        if (found != DescentStatus::running) return found;
    } else {
        if (!options_.factors.empty()) {
            now.factor = options_.factors[static_cast<std::size_t>(now.step)];
        }
        relaxon::take_step(options_.rule, iterate_, now.factor, options_.settings, now.step + 1);
        now.has_value = false;
        objective_.next_batch();
    }
    now.record.rate = now.factor * largest_rate_;
    end_step(now.record);
    return DescentStatus::running;
}

template <class T>
DescentStatus Descent<T>::advance(std::int64_t max_steps, double seconds, Team& team) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    records_.clear();
    for (std::int64_t i = 0; progress_.status == DescentStatus::running && i < max_steps; ++i) {
        try {
            progress_.status = take_step(team);
        } catch (...) {
            // A trial that was not judged is not a step.
            if (progress_.is_searching) {
                std::copy(iterate_.previous, iterate_.previous + iterate_.size(),
                          iterate_.parameters);
            }
            throw;
        }
        const std::chrono::duration<double> passed = Clock::now() - start;
        if (passed.count() >= seconds) break;
    }
    return progress_.status;
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
void Descent<T>::replay(const double* point, const T* gradient, const ObjectiveValue& value) {
    const std::int64_t n = iterate_.size();
    for (std::int64_t i = 0; i < n; ++i) trial_[i] = static_cast<T>(point[i]);
    std::copy(gradient, gradient + n, trial_gradient_);
    trial_value_ = value;
}

template <class T>
std::vector<StateArray<T>> Descent<T>::state_arrays() const {
    std::vector<StateArray<T>> arrays = {{"parameters", iterate_.parameters},
                                         {"previous", iterate_.previous}};
    if (validation_sweep_) arrays.push_back({"best", best_});
    if (progress_.status != DescentStatus::running) return arrays;
    if (progress_.has_value && !progress_.is_searching) {
        arrays.push_back({"gradient", iterate_.gradient});
    }
    const std::vector<StateArray<T>> remembered = {
        {"previous_gradient", iterate_.previous_gradient},
        {"velocity", iterate_.velocity},
        {"square", iterate_.square}};
    for (const StateArray<T>& array : remembered) {
        if (array.values) arrays.push_back(array);
    }
    return arrays;
}

template <class T>
void Descent<T>::resume(const DescentProgress& progress) {
    progress_ = progress;
    objective_.seek_batch(progress.step);
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
    progress_.value = trial_value_;
    record.rate = iterate_.step_length() / std::sqrt(norm);
    records_.clear();
    end_step(record);
}

template class Descent<float>;
template class Descent<double>;

}  // namespace relaxon
