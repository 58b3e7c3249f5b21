// The progress of a descent as two arrays of numbers, "counts" and "numbers", for files.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "array_cast.hpp"
#include "relaxon/training/descent.hpp"

namespace relaxon::python {

constexpr std::int64_t kProgressCounts = 7;
constexpr std::int64_t kProgressNumbers = 10 + static_cast<std::int64_t>(kRecent);

inline void write_progress(const DescentProgress& now, pybind11::dict& state) {
    const std::vector<std::int64_t> counts = {now.step,
                                              now.best_step,
                                              now.n_small,
                                              now.n_recent,
                                              now.has_value,
                                              now.is_searching,
                                              static_cast<std::int64_t>(now.status)};
    const StepRecord& record = now.record;
    std::vector<double> numbers = {now.norm,
                                   now.first_norm,
                                   now.best_validation,
                                   now.factor,
                                   now.value.loss,
                                   now.value.penalty,
                                   record.loss,
                                   record.penalty,
                                   record.validation_loss,
                                   record.gradient_norm};
    numbers.insert(numbers.end(), now.recent.begin(), now.recent.end());
    state["counts"] = pybind11::array_t<std::int64_t>(kProgressCounts, counts.data());
    state["numbers"] = pybind11::array_t<double>(kProgressNumbers, numbers.data());
}

// Files may hold anything: what no descent with these options remembers is refused.
inline DescentProgress read_progress(const pybind11::dict& state, const DescentOptions& options) {
    const pybind11::array counts = state["counts"], numbers = state["numbers"];
    const auto* count = read_view<std::int64_t>(counts, kProgressCounts, "counts");
    const auto* number = read_view<double>(numbers, kProgressNumbers, "numbers");
    const bool has_search = traits_of(options.rule).is_search;
    const auto last_status = static_cast<std::int64_t>(DescentStatus::diverged);
    DescentProgress now;
    now.step = count[0];
    now.best_step = count[1];
    now.n_small = count[2];
    now.n_recent = count[3];
    now.has_value = count[4] != 0;
    now.is_searching = count[5] != 0;
    const bool is_sound = now.step >= 0 && now.step <= options.n_steps && now.best_step >= 0 &&
                          now.best_step <= now.step && now.n_small >= 0 &&
                          now.n_recent >= (now.is_searching ? 1 : 0) &&
                          now.n_recent <= static_cast<std::int64_t>(kRecent) &&
                          (has_search || !now.is_searching) && count[6] >= 0 &&
                          count[6] <= last_status;
    if (!is_sound) throw pybind11::value_error("counts that no such descent has");
    now.status = static_cast<DescentStatus>(count[6]);
    now.norm = number[0];
    now.first_norm = number[1];
    now.best_validation = number[2];
    now.factor = number[3];
    now.value = {number[4], number[5]};
    now.record = {number[6], number[7], number[8], number[9], 0.0};
    std::copy(number + kProgressNumbers - kRecent, number + kProgressNumbers, now.recent.begin());
    return now;
}

}  // namespace relaxon::python
