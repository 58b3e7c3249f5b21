#include "relaxon/sweeps/make_sweep.hpp"

#include "relaxon/operators/stencil/assembly.hpp"
#include "relaxon/sweeps/attractor/layers.hpp"
#include "relaxon/sweeps/depth_sweep.hpp"
#include "relaxon/sweeps/ends.hpp"
#include "relaxon/sweeps/gamma.hpp"
#include "relaxon/sweeps/implicit/layers.hpp"
#include "relaxon/sweeps/plain/layers.hpp"
#include "relaxon/sweeps/stencil/layers.hpp"

namespace relaxon {

namespace {

template <class T>
using StencilSweep = DepthSweep<T, StencilLayers<T>>;
template <class T>
using PlainSweep = DepthSweep<T, PlainLayers<T>>;
template <class T>
using ImplicitSweep = DepthSweep<T, ImplicitLayers<T>>;
template <class T>
using AttractorSweep = DepthSweep<T, AttractorLayers<T>>;

// What stands for a type.
template <class Sweep>
struct Kind {
    using type = Sweep;
};

// f(Kind<sweep>) with the sweep of the layers alone.
template <class T, class F>
auto with_layers(const NetworkConfig& config, const F& f) {
    if (std::holds_alternative<Theta>(config.dynamics)) return f(Kind<ImplicitSweep<T>>());
    if (std::holds_alternative<Attractor>(config.dynamics)) return f(Kind<AttractorSweep<T>>());
    if (config.op->is_stencil()) return f(Kind<StencilSweep<T>>());
    return f(Kind<PlainSweep<T>>());
}

template <class T, class F>
auto with_sweep(const NetworkConfig& config, const F& f) {
    if (config.gamma_dt > 0.0) return f(Kind<GammaSweep<T>>());
    if (config.has_ends()) return f(Kind<EndsSweep<T>>());
    return with_layers<T>(config, f);
}

// f(sweep, parameters with omega) forward through all layers, on the way to W of one of them.
template <class T, class F>
void with_forward_layers(NetworkConfig config, Parameters<T> parameters, std::int64_t batch,
                         Team& team, const F& f) {
    std::vector<T> omega;
    if (config.gamma_dt > 0.0) {
        omega.resize(static_cast<std::size_t>(parameter_arrays(config).back().size()));
        omega_of_gamma(parameters.back(), static_cast<std::int64_t>(omega.size()), config.gamma_dt,
                       omega.data(), team);
        parameters.back() = omega.data();
    }
    // The layers know no ends.
    const std::ptrdiff_t n_ends = (config.lift ? 2 : 0) + (config.readout ? 2 : 0);
    parameters.erase(parameters.end() - 1 - n_ends, parameters.end() - 1);
    config.lift = config.readout = EndConfig();
    SweepRequest request;
    request.batch = batch;
    request.n_threads = team.n_threads();
    request.at = {config.depth()};
    with_layers<T>(config, [&](auto kind) {
        typename decltype(kind)::type sweep(config, request, true);
        f(sweep, parameters);
    });
}

}  // namespace

template <class T>
std::unique_ptr<Sweep<T>> make_sweep(const NetworkConfig& config, const SweepRequest& request) {
    return with_sweep<T>(config, [&](auto kind) -> std::unique_ptr<Sweep<T>> {
        return std::make_unique<typename decltype(kind)::type>(config, request, true);
    });
}

template <class T>
Plan plan_sweep(const NetworkConfig& config, const SweepRequest& request) {
    return with_sweep<T>(config, [&](auto kind) {
        return typename decltype(kind)::type(config, request, false).plan();
    });
}

template <class T>
void apply_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                    std::int64_t layer, std::int64_t batch, const T* z, T* out, Team& team) {
    with_forward_layers<T>(config, parameters, batch, team, [&](auto& sweep, const auto& own) {
        sweep.apply(own, layer, z, out, team);
    });
}

Pattern operator_pattern(const NetworkConfig& config) {
    const Grid& grid = *config.grid;
    if (!config.op->is_stencil()) return config.op->field<double>(grid, config.depth())->pattern();
    return StencilAssembly(grid, config.op->stencil<double>(grid)->arms()).pattern();
}

template <class T>
void assemble_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                       std::int64_t layer, T* values, T* shift, Team& team) {
    with_forward_layers<T>(config, parameters, 1, team, [&](auto& sweep, const auto& own) {
        sweep.assemble(own, layer, values, shift, team);
    });
}

template <class T>
AttractorFindings find_attractors(const NetworkConfig& config, const Parameters<T>& parameters,
                                  std::int64_t batch, const AttractorFields<T>& fields,
                                  bool wants_histories, Team& team) {
    SweepRequest request;
    request.batch = batch;
    request.n_threads = team.n_threads();
    request.at = {config.depth()};
    AttractorLayers<T> layers(config, request);
    const Plan plan = layers.plan(0);
    Arena measure;
    layers.carve(measure, plan);
    Block memory(measure.used_bytes());
    Arena arena(memory);
    layers.carve(arena, plan);
    return layers.find(parameters, fields, wants_histories, team);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template std::unique_ptr<Sweep<T>> make_sweep<T>(const NetworkConfig&, const SweepRequest&);   \
    template Plan plan_sweep<T>(const NetworkConfig&, const SweepRequest&);                        \
    template void apply_operator<T>(const NetworkConfig&, const Parameters<T>&, std::int64_t,      \
                                    std::int64_t, const T*, T*, Team&);                            \
    template void assemble_operator<T>(const NetworkConfig&, const Parameters<T>&, std::int64_t,   \
                                       T*, T*, Team&);                                             \
    template AttractorFindings find_attractors<T>(const NetworkConfig&, const Parameters<T>&,      \
                                                  std::int64_t, const AttractorFields<T>&, bool,   \
                                                  Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
