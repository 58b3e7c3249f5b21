// Looks for NaN and Inf among the values that a sweep will read.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "relaxon/base/simd.hpp"

namespace relaxon {

// mask and weights repeat along the values: entry i is read where mask[i % n_mask] holds and
// weights[i % n_weights] is not zero. Null: every value is read.
template <class T>
struct FiniteScan {
    const T* values = nullptr;
    std::int64_t n = 0;
    const bool* mask = nullptr;
    std::int64_t n_mask = 1;
    const T* weights = nullptr;
    std::int64_t n_weights = 1;
};

// Index of the first such value, or -1.
template <class T>
std::int64_t first_non_finite(const FiniteScan<T>& scan) {
    // x - x is zero for every finite number: whole stretches are cleared without a branch, a pack
    // at a time, and only one that fails is looked at entry by entry.
    constexpr std::int64_t kStretch = 1024;
    for (std::int64_t begin = 0; begin < scan.n; begin += kStretch) {
        const std::int64_t end = std::min(begin + kStretch, scan.n);
        const T* stretch = scan.values + begin;
        Pack<T> sum = broadcast(T(0));
        for_each_pack<T>(static_cast<std::size_t>(end - begin),
                         [&](std::size_t i, std::size_t count) {
                             const Pack<T> x = load_partial(stretch + i, count);
                             sum += x - x;
                         });
        if (horizontal_sum(sum) == T(0)) continue;
        for (std::int64_t i = begin; i < end; ++i) {
            if (std::isfinite(scan.values[i])) continue;
            if (scan.mask && !scan.mask[i % scan.n_mask]) continue;
            if (scan.weights && scan.weights[i % scan.n_weights] == T(0)) continue;
            return i;
        }
    }
    return -1;
}

}  // namespace relaxon
