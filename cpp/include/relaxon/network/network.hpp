// What a network is: configuration, parameter arrays, and the sweeps that a caller may ask for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "relaxon/base/parallel.hpp"
#include "relaxon/checkpoint/plan.hpp"
#include "relaxon/domain/grid.hpp"
#include "relaxon/operators/stencil/adr.hpp"
#include "relaxon/pointwise/activation.hpp"
#include "relaxon/pointwise/loss.hpp"

namespace relaxon {

enum class OperatorKind { adr, moments, banded, dense };
enum class BiasKind { none, homogeneous, local };
enum class OmegaKind { scalar, layer, cell };

// An affine map with an activation at one end of a network: x to the first state, z_0 = g(A x + a),
// or the last state to the output, y = g(B z_L + c) (Succi 2025, eqs. 1 and 3).
struct EndConfig {
    std::int64_t width = 0;  // numbers of x, or of y; 0: there is no such end
    Activation activation = Activation::identity;

    explicit operator bool() const { return width > 0; }
};

struct NetworkConfig {
    std::shared_ptr<const Grid> grid;
    OperatorKind op = OperatorKind::adr;
    AdrScheme scheme = AdrScheme::central;  // adr
    int order = 0;                          // highest moment, or radius of a free stencil
    bool is_local = false;                  // a coefficient per cell
    bool is_layered = false;                // a set of coefficients per layer, the bias included
    std::int64_t depth = 1;
    Activation activation = Activation::identity;
    BiasKind bias = BiasKind::none;
    OmegaKind omega = OmegaKind::scalar;
    double beta = 0.0;
    EndConfig lift, readout;

    bool has_ends() const { return lift || readout; }
    // Numbers of one sample's x, and of its output.
    std::int64_t input_size() const { return lift ? lift.width : grid->n_cells(); }
    std::int64_t output_size() const { return readout ? readout.width : grid->n_cells(); }
};

struct ParameterArray {
    std::string name;
    std::vector<std::int64_t> shape;
    bool is_field;  // its last axes are the grid's

    std::int64_t size() const {
        std::int64_t n = 1;
        for (const std::int64_t length : shape) n *= length;
        return n;
    }
};

// The operator's arrays, then, where there are such, "bias", "lift_weight", "lift_bias",
// "readout_weight" and "readout_bias", then "omega", always last.
std::vector<ParameterArray> parameter_arrays(const NetworkConfig& config);

// Arrays in the order of parameter_arrays, C order, owned by the caller.
template <class T>
using Parameters = std::vector<const T*>;

// Where gradients go, in the same order; only "omega" and the input may be null: not wanted.
template <class T>
struct Gradients {
    std::vector<T*> arrays;
    T* x = nullptr;
};

template <class T>
class StateLoss;

// 1/batch sum_n sum_k sum_i w_i d(z_i - y_i) over existing cells, at the layers of the request;
// with a readout, of its outputs in place of the cells. y: (batch, n_at, output_size); weights:
// null, (output_size) or as y. Cross entropy has one label and one weight for all outputs together.
template <class T>
struct Target {
    const T* y = nullptr;
    const T* weights = nullptr;
    bool weights_are_shared = true;
    Loss loss;
    const std::int64_t* labels = nullptr;  // cross entropy, in place of y
    // In place of all of these: a loss that sees whole states.
    StateLoss<T>* state_loss = nullptr;
};

enum class SweepKind { forward, gradient, tangent };

struct SweepRequest {
    SweepKind kind = SweepKind::forward;
    std::int64_t batch = 1;
    int n_threads = 1;
    std::int64_t memory_bytes = -1;  // the budget; -1: none, store everything
    std::vector<std::int64_t> at;    // layers with targets, distinct; {depth}: the output alone
    bool wants_omega = false;
    bool wants_input = false;
    bool has_state_loss = false;
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

    // y: (batch, output_size), or with `all_layers` the states: (batch, depth + 1, cells).
    virtual void forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                         Team& team) = 0;
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

// Throws BudgetError where the budget cannot hold the sweep.
template <class T>
std::unique_ptr<Sweep<T>> make_sweep(const NetworkConfig& config, const SweepRequest& request);

// The plan of a sweep without its memory.
template <class T>
Plan plan_sweep(const NetworkConfig& config, const SweepRequest& request);

// W z (affine with Dirichlet values) with the coefficients and omega of one layer.
template <class T>
void apply_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                    std::int64_t layer, std::int64_t batch, const T* z, T* out, Team& team);

// The stencil operator of a configuration (not dense).
template <class T>
std::unique_ptr<StencilOperator<T>> make_stencil_operator(const NetworkConfig& config);

}  // namespace relaxon
