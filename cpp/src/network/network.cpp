#include "relaxon/network/network.hpp"

#include "relaxon/sweeps/ends.hpp"
#include "relaxon/sweeps/plain/layers.hpp"
#include "relaxon/sweeps/stencil/layers.hpp"

namespace relaxon {

std::vector<ParameterArray> parameter_arrays(const NetworkConfig& config) {
    const std::vector<std::int64_t>& cells = config.grid->shape();
    const std::int64_t n = config.grid->n_cells();
    std::vector<std::int64_t> lead;
    if (config.is_layered) lead.push_back(config.depth);
    const auto shaped = [&](std::vector<std::int64_t> shape, bool is_local) {
        shape.insert(shape.begin(), lead.begin(), lead.end());
        if (is_local) shape.insert(shape.end(), cells.begin(), cells.end());
        return shape;
    };

    std::vector<ParameterArray> arrays;
    if (config.op == OperatorKind::dense) {
        arrays.push_back({"W", shaped({n, n}, false), false});
    } else {
        const auto op = make_stencil_operator<double>(config);
        for (const CoefficientArray& array : op->coefficients()) {
            std::vector<std::int64_t> components;
            if (array.has_component_axis) components.push_back(array.n_components);
            arrays.push_back({array.name, shaped(components, config.is_local), config.is_local});
        }
    }
    if (config.bias != BiasKind::none) {
        const bool is_local = config.bias == BiasKind::local;
        arrays.push_back({"bias", shaped({}, is_local), is_local});
    }
    const auto add_end = [&](const std::string& name, std::int64_t n_out, std::int64_t n_in) {
        arrays.push_back({name + "_weight", {n_out, n_in}, false});
        arrays.push_back({name + "_bias", {n_out}, false});
    };
    if (config.lift) add_end("lift", n, config.lift.width);
    if (config.readout) add_end("readout", config.readout.width, n);
    std::vector<std::int64_t> omega;
    if (config.omega == OmegaKind::layer) omega = {config.depth};
    if (config.omega == OmegaKind::cell) omega = cells;
    arrays.push_back({"omega", omega, config.omega == OmegaKind::cell});
    return arrays;
}

template <class T>
std::int64_t returned_bytes(const NetworkConfig& config, const SweepRequest& request) {
    if (request.kind != SweepKind::gradient) return 0;
    std::int64_t n = 0;
    for (const ParameterArray& array : parameter_arrays(config)) {
        if (array.name != "omega" || request.wants_omega) n += array.size();
    }
    if (request.wants_input) n += request.batch * config.input_size();
    return n * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
std::unique_ptr<Sweep<T>> make_sweep(const NetworkConfig& config, const SweepRequest& request) {
    if (config.has_ends()) return std::make_unique<EndsSweep<T>>(config, request, true);
    if (config.op == OperatorKind::dense) {
        return std::make_unique<DenseSweep<T>>(config, request, true);
    }
    return std::make_unique<StencilSweep<T>>(config, request, true);
}

template <class T>
Plan plan_sweep(const NetworkConfig& config, const SweepRequest& request) {
    if (config.has_ends()) return EndsSweep<T>(config, request, false).plan();
    if (config.op == OperatorKind::dense) return DenseSweep<T>(config, request, false).plan();
    return StencilSweep<T>(config, request, false).plan();
}

template <class T>
void apply_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                    std::int64_t layer, std::int64_t batch, const T* z, T* out, Team& team) {
    SweepRequest request;
    request.batch = batch;
    request.n_threads = team.n_threads();
    request.at = {config.depth};
    if (config.op == OperatorKind::dense) {
        DenseSweep<T>(config, request, true).apply(parameters, layer, z, out, team);
    } else {
        StencilSweep<T>(config, request, true).apply(parameters, layer, z, out, team);
    }
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template std::int64_t returned_bytes<T>(const NetworkConfig&, const SweepRequest&);            \
    template std::unique_ptr<Sweep<T>> make_sweep<T>(const NetworkConfig&, const SweepRequest&);   \
    template Plan plan_sweep<T>(const NetworkConfig&, const SweepRequest&);                        \
    template void apply_operator<T>(const NetworkConfig&, const Parameters<T>&, std::int64_t,      \
                                    std::int64_t, const T*, T*, Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
