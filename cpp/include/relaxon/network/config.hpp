// What a network is: its configuration and the arrays of its parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/domain/grid.hpp"
#include "relaxon/network/dynamics.hpp"
#include "relaxon/operators/operator.hpp"
#include "relaxon/pointwise/activation.hpp"

namespace relaxon {

enum class BiasKind { none, homogeneous, local };

// An affine map with an activation at one end of a network: x to the first state, z_0 = g(A x + a),
// or the last state to the output, y = g(B z_L + c) (Succi 2025, eqs. 1 and 3).
struct EndConfig {
    std::int64_t width = 0;  // numbers of x, or of y; 0: there is no such end
    Activation activation = Activation::identity;

    explicit operator bool() const { return width > 0; }
};

struct NetworkConfig {
    std::shared_ptr<const Grid> grid;
    std::shared_ptr<const Operator> op;  // a layered one makes the bias layered, too
    Dynamics dynamics;
    Activation activation = Activation::identity;
    BiasKind bias = BiasKind::none;
    EndConfig lift, readout;
    // Above 0: in the place of omega stands gamma, omega = 1 - exp(-gamma gamma_dt).
    double gamma_dt = 0.0;

    // What all kinds of layers have.
    std::int64_t depth() const {
        return std::visit([](const auto& layers) { return layers.depth; }, dynamics);
    }
    OmegaKind omega() const {
        return std::visit([](const auto& layers) { return layers.omega; }, dynamics);
    }
    double beta() const {
        return std::visit([](const auto& layers) { return layers.beta; }, dynamics);
    }
    bool drive() const {
        return std::visit([](const auto& layers) { return layers.drive; }, dynamics);
    }
    bool is_normalised() const {
        return std::visit([](const auto& layers) { return layers.normalization; }, dynamics) ==
               Normalization::hard;
    }
    // Whether a layer asks for the size of a state, all its cells together.
    bool measures_states() const { return beta() != 0.0 || is_normalised(); }

    // Sets of coefficients, and that of a layer.
    std::int64_t n_sets() const { return op->is_layered() ? depth() : 1; }
    std::int64_t set_of(std::int64_t layer) const { return op->is_layered() ? layer : 0; }
    bool has_ends() const { return lift || readout; }
    // Numbers of one sample's x, and of its output.
    std::int64_t input_size() const { return lift ? lift.width : grid->n_cells(); }
    std::int64_t output_size() const { return readout ? readout.width : grid->n_cells(); }
};

// The operator's arrays, then, where there are such, "bias", "lift_weight", "lift_bias",
// "readout_weight" and "readout_bias", then "omega" or "gamma", always last.
std::vector<ParameterArray> parameter_arrays(const NetworkConfig& config);

}  // namespace relaxon
