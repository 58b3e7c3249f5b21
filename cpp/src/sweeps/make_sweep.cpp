#include "relaxon/sweeps/make_sweep.hpp"

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

template <class T>
void apply_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                    std::int64_t layer, std::int64_t batch, const T* z, T* out, Team& team) {
    SweepRequest request;
    request.batch = batch;
    request.n_threads = team.n_threads();
    request.at = {config.depth};
    if (!config.op->is_stencil()) {
        PlainSweep<T>(config, request, true).apply(parameters, layer, z, out, team);
    } else {
        StencilSweep<T>(config, request, true).apply(parameters, layer, z, out, team);
    }
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template std::unique_ptr<Sweep<T>> make_sweep<T>(const NetworkConfig&, const SweepRequest&);   \
    template Plan plan_sweep<T>(const NetworkConfig&, const SweepRequest&);                        \
    template void apply_operator<T>(const NetworkConfig&, const Parameters<T>&, std::int64_t,      \
                                    std::int64_t, const T*, T*, Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
