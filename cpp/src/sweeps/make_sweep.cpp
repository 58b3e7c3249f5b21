#include "relaxon/sweeps/make_sweep.hpp"

#include "relaxon/operators/stencil/assembly.hpp"
#include "relaxon/sweeps/depth_sweep.hpp"
#include "relaxon/sweeps/ends.hpp"
#include "relaxon/sweeps/plain/layers.hpp"
#include "relaxon/sweeps/stencil/layers.hpp"

namespace relaxon {

namespace {

template <class T>
using StencilSweep = DepthSweep<T, StencilLayers<T>>;
template <class T>
using PlainSweep = DepthSweep<T, PlainLayers<T>>;

}  // namespace

template <class T>
std::unique_ptr<Sweep<T>> make_sweep(const NetworkConfig& config, const SweepRequest& request) {
    if (config.has_ends()) return std::make_unique<EndsSweep<T>>(config, request, true);
    if (!config.op->is_stencil()) {
        return std::make_unique<PlainSweep<T>>(config, request, true);
    }
    return std::make_unique<StencilSweep<T>>(config, request, true);
}

template <class T>
Plan plan_sweep(const NetworkConfig& config, const SweepRequest& request) {
    if (config.has_ends()) return EndsSweep<T>(config, request, false).plan();
    if (!config.op->is_stencil()) return PlainSweep<T>(config, request, false).plan();
    return StencilSweep<T>(config, request, false).plan();
}

namespace {

// f(sweep) with the sweep of the layers alone, forward through all of them.
template <class T, class F>
void with_layers(const NetworkConfig& config, std::int64_t batch, int n_threads, const F& f) {
    SweepRequest request;
    request.batch = batch;
    request.n_threads = n_threads;
    request.at = {config.depth()};
    if (config.op->is_stencil()) {
        f(StencilSweep<T>(config, request, true));
    } else {
        f(PlainSweep<T>(config, request, true));
    }
}

}  // namespace

template <class T>
void apply_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                    std::int64_t layer, std::int64_t batch, const T* z, T* out, Team& team) {
    with_layers<T>(config, batch, team.n_threads(),
                   [&](auto&& sweep) { sweep.apply(parameters, layer, z, out, team); });
}

Pattern operator_pattern(const NetworkConfig& config) {
    const Grid& grid = *config.grid;
    if (!config.op->is_stencil()) return config.op->field<double>(grid, config.depth())->pattern();
    return StencilAssembly(grid, config.op->stencil<double>(grid)->arms()).pattern();
}

template <class T>
void assemble_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                       std::int64_t layer, T* values, T* shift, Team& team) {
    with_layers<T>(config, 1, team.n_threads(),
                   [&](auto&& sweep) { sweep.assemble(parameters, layer, values, shift, team); });
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template std::unique_ptr<Sweep<T>> make_sweep<T>(const NetworkConfig&, const SweepRequest&);   \
    template Plan plan_sweep<T>(const NetworkConfig&, const SweepRequest&);                        \
    template void apply_operator<T>(const NetworkConfig&, const Parameters<T>&, std::int64_t,      \
                                    std::int64_t, const T*, T*, Team&);                            \
    template void assemble_operator<T>(const NetworkConfig&, const Parameters<T>&, std::int64_t,   \
                                       T*, T*, Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
