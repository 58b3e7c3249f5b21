#include "relaxon/sweeps/stencil/model.hpp"

#include "relaxon/operators/stencil/banded.hpp"
#include "relaxon/operators/stencil/moments.hpp"

namespace relaxon {

StencilShape::StencilShape(const NetworkConfig& config, int arms, bool uses_omega)
    : weights_are_local(config.is_local || (uses_omega && config.omega == OmegaKind::cell)),
      bias_is_local(config.bias == BiasKind::local),
      omega_is_local(config.omega == OmegaKind::cell), has_bias(config.bias != BiasKind::none),
      n_weight_sets(1), n_bias_sets(config.is_layered ? config.depth : 1),
      n_omega_sets(config.omega == OmegaKind::layer ? config.depth : 1), n_arms(arms) {
    if (config.is_layered || (uses_omega && config.omega == OmegaKind::layer)) {
        n_weight_sets = config.depth;
    }
}

template <class T>
std::unique_ptr<StencilOperator<T>> make_stencil_operator(const NetworkConfig& config) {
    const int ndim = config.grid->ndim();
    if (config.op == OperatorKind::adr) return make_adr<T>(ndim, config.scheme);
    require(ndim == 1, "grid", "moments and free stencils need a 1-D grid", ndim);
    if (config.op == OperatorKind::moments) return make_moments<T>(config.order);
    return make_banded<T>(config.order);
}

template <class T>
StencilModel<T>::StencilModel(const NetworkConfig& configuration, std::int64_t n_ghost_layers,
                              std::int64_t n_lanes)
    : config(configuration), op(make_stencil_operator<T>(config)),
      wide_op(make_stencil_operator<double>(config)),
      geometry(*config.grid, op->arms(), op->radius(), op->radius() * n_ghost_layers, n_lanes),
      shape(config, geometry.n_arms(), op->uses_omega()) {}

template std::unique_ptr<StencilOperator<float>> make_stencil_operator(const NetworkConfig&);
template std::unique_ptr<StencilOperator<double>> make_stencil_operator(const NetworkConfig&);
template struct StencilModel<float>;
template struct StencilModel<double>;

}  // namespace relaxon
