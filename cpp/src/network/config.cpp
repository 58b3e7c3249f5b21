#include "relaxon/network/config.hpp"

namespace relaxon {

std::vector<ParameterArray> parameter_arrays(const NetworkConfig& config) {
    const Grid& grid = *config.grid;
    const std::int64_t n = grid.n_cells();
    std::vector<ParameterArray> arrays = config.op->arrays(grid, config.depth());
    if (config.bias != BiasKind::none) {
        ParameterArray bias{"bias", {}, {}};
        if (config.op->is_layered()) {
            bias.shape = {config.depth()};
            bias.axes = {Axis::layers};
        }
        if (config.bias == BiasKind::local) append_grid(bias, grid.shape());
        arrays.push_back(bias);
    }
    if (config.lift) {
        arrays.push_back(
            {"lift_weight", {n, config.lift.width}, {Axis::cells, Axis::components}, true});
        arrays.push_back({"lift_bias", {n}, {Axis::cells}, true});
    }
    if (config.readout) {
        const std::int64_t width = config.readout.width;
        arrays.push_back({"readout_weight", {width, n}, {Axis::components, Axis::cells}, true});
        arrays.push_back({"readout_bias", {width}, {Axis::components}});
    }
    ParameterArray omega{config.gamma_dt > 0.0 ? "gamma" : "omega", {}, {}};
    if (config.omega() == OmegaKind::layer) {
        omega.shape = {config.depth()};
        omega.axes = {Axis::layers};
    }
    if (config.omega() == OmegaKind::cell) append_grid(omega, grid.shape());
    arrays.push_back(omega);
    return arrays;
}

}  // namespace relaxon
