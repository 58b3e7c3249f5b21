// What the walk through the layers (depth_sweep.hpp) and every family of layers share: the samples
// in flight together, and what a reverse sweep begins with.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "relaxon/checkpoint/plan.hpp"
#include "relaxon/checkpoint/state_pool.hpp"
#include "relaxon/domain/grid.hpp"
#include "relaxon/network/target.hpp"

namespace relaxon {

// Samples that go through the layers together, and where their states lie. A family adds what else
// it needs in flight; how a state is laid out is its own affair.
template <class T>
struct DepthBundle {
    std::int64_t first_sample = 0, n_samples = 1;
    StatePool<T> states;
    T* tangents[2] = {};  // of tangent sweeps: this layer's and the next one's
    T* lambda[2] = {};    // cotangents of reverse sweeps: this step's and the next one's
    // Of networks with drive: the input, its tangent, and its cotangent where that is wanted.
    T *drive = nullptr, *drive_dot = nullptr, *drive_bar = nullptr;
    double* sizes = nullptr;  // with hard normalisation: |y| of [layer][sample]
    std::int64_t* schedule = nullptr;
    Evaluations evaluations;
};

// 1 / |y|: 0 where y is 0; no number where |y| is not finite, so that overflow is seen.
inline double inverse_size(double size) {
    if (size == 0.0) return 0.0;
    return std::isfinite(size) ? 1.0 / size : std::numeric_limits<double>::quiet_NaN();
}

// Cotangents at the end of the layers: given ones, or those of a loss.
template <class T>
struct Seed {
    const T* y_bar = nullptr;
    const Target<T>* target = nullptr;
    std::int64_t n_at = 1;
    double* losses = nullptr;  // [sample][target]
};

// What the state of one sample is compared with: target number `index` of all samples and layers.
template <class T>
StateTarget<T> state_target(const Target<T>& target, const Grid& grid, std::int64_t index) {
    const std::int64_t first = index * grid.n_cells();
    const bool is_own = target.weights && !target.weights_are_shared;
    return {target.y + first, is_own ? target.weights + first : target.weights, grid.mask(),
            target.loss};
}

}  // namespace relaxon
