#include "relaxon/sweeps/stencil/model.hpp"

namespace relaxon {

StencilShape::StencilShape(const NetworkConfig& config, int arms, bool uses_omega)
    : weights_are_local(config.op->is_local() || (uses_omega && config.omega() == OmegaKind::cell)),
      bias_is_local(config.bias == BiasKind::local),
      omega_is_local(config.omega() == OmegaKind::cell), has_bias(config.bias != BiasKind::none),
      n_weight_sets(1), n_bias_sets(config.n_sets()),
      n_omega_sets(config.omega() == OmegaKind::layer ? config.depth() : 1), n_arms(arms) {
    if (config.op->is_layered() || (uses_omega && config.omega() == OmegaKind::layer)) {
        n_weight_sets = config.depth();
    }
}

template <class T>
StencilModel<T>::StencilModel(const NetworkConfig& configuration, std::int64_t n_ghost_layers,
                              std::int64_t n_lanes)
    : config(configuration), op(config.op->template stencil<T>(*config.grid)),
      wide_op(config.op->stencil<double>(*config.grid)),
      geometry(*config.grid, op->arms(), op->radius(), op->radius() * n_ghost_layers, n_lanes),
      shape(config, geometry.n_arms(), op->uses_omega()) {}

template struct StencilModel<float>;
template struct StencilModel<double>;

}  // namespace relaxon
