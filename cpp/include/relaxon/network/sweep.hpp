// The sweeps that a caller may ask a network for.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "relaxon/base/error.hpp"
#include "relaxon/base/parallel.hpp"
#include "relaxon/checkpoint/plan.hpp"
#include "relaxon/network/config.hpp"
#include "relaxon/network/target.hpp"

namespace relaxon {

enum class SweepKind { forward, gradient, tangent };

struct SweepRequest {
    SweepKind kind = SweepKind::forward;
    std::int64_t batch = 1;
    int n_threads = 1;
    std::int64_t memory_bytes = -1;  // the budget; -1: none, store everything
    std::vector<std::int64_t> at;    // layers with targets, distinct; {depth}: the output alone
    // Layers [first, end) are swept, x being the state before the first; end < 0: all from there.
    std::int64_t first = 0, end = -1;
    bool wants_omega = false;  // or gamma
    bool wants_input = false;
    bool has_state_loss = false;
    // Derivatives at states that are not quite an attractor's are allowed.
    bool allows_unsolved = false;
};

// Where a forward pass leaves the finite numbers; without such a place, where it is largest.
struct Extreme {
    bool is_finite = true;
    std::int64_t sample = 0, layer = 0, cell = 0;
    double magnitude = 0.0;  // largest |z| of the layer (of the last finite one before it)
    double growth = 1.0;     // of the largest |z| from the layer before to this
};

// Bytes of the arrays that a sweep of this kind returns to the caller.
template <class T>
std::int64_t returned_bytes(const NetworkConfig& config, const SweepRequest& request);

// One configured sweep with all its memory, to be run any number of times. x: (batch, input_size).
template <class T>
class Sweep {
public:
    virtual ~Sweep() = default;

    virtual const Plan& plan() const = 0;
    // What the last gradient really did, for one sample.
    virtual Evaluations evaluations() const = 0;

    // The first sample that the last pass left without attractor, where one was asked for.
    virtual std::optional<AttractorError> unsolved() const = 0;

    // y: (batch, output_size), or with `all_layers` the states: (batch, depth + 1, cells).
    virtual void forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                         Team& team) = 0;
    // The output of samples that leave the layers early, each on its own: after the first layer
    // that moved no cell by more than tolerance max(1, max |z|). n_layers: how many a sample took.
    virtual void settle(const Parameters<T>& parameters, const T* x, T* y, double tolerance,
                        std::int64_t* n_layers, Team& team) = 0;
    virtual double loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                        Team& team) = 0;
    virtual double value_and_gradient(const Parameters<T>& parameters, const T* x,
                                      const Target<T>& target, const Gradients<T>& gradients,
                                      Team& team) = 0;
    // Gradients of sum(y_bar * output); the request's `at` is {depth}.
    virtual void vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
                     const Gradients<T>& gradients, Team& team) = 0;
    // Derivative of the output along (parameters_dot, x_dot); x_dot may be null: zero.
    virtual void jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                     const T* x, const T* x_dot, T* y_dot, Team& team) = 0;
    // The first layer, and there the first cell, that is not finite, over all samples.
    virtual Extreme find_extreme(const Parameters<T>& parameters, const T* x, Team& team) = 0;
};

}  // namespace relaxon
