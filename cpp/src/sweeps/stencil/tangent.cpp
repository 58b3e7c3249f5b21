#include "relaxon/sweeps/stencil/layers.hpp"

#include <algorithm>

namespace relaxon {

template <class T>
void StencilLayers<T>::close_tangent(T* first) const {
    linear_geometry_->layout().fill_rows(first, 0);
    linear_geometry_->layout().fill_rows(first, 1);
}

template <class T>
void StencilLayers<T>::load_tangent(Bundle& bundle, const T* x_dot, T* z_dot) const {
    const Layout& layout = model_.geometry.layout();
    std::fill(z_dot, z_dot + layout.size(), T(0));
    if (bundle.drive_dot) std::fill(bundle.drive_dot, bundle.drive_dot + layout.size(), T(0));
    T* place = bundle.drive_dot ? bundle.drive_dot : z_dot;
    if (x_dot) load_fields(bundle, x_dot, model_.config.grid->n_cells(), place);
    linear_geometry_->layout().fill_inner(z_dot, 0, layout.n_rows());
    close_tangent(z_dot);
}

template <class T>
void StencilLayers<T>::advance_tangent(Bundle& bundle, std::int64_t layer, const T* z_dot, T* out,
                                       T* out_dot) {
    const double beta = model_.config.beta();
    const T* z = bundle.states.current;
    const T g = growth(bundle, z);
    T g_dot = T(0);
    const double length = beta != 0.0 ? norm(bundle, z) : 0.0;
    if (length > 0.0) g_dot = static_cast<T>(weighed_product(bundle, beta, z, z_dot) / length);
    Layer<T> layer_dot = coefficients_dot_->layer(layer);
    layer_dot.drive = fields(static_cast<const T*>(bundle.drive_dot));
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        relax_tangent(model_.geometry, *linear_geometry_, layer_of(bundle, layer), layer_dot,
                      model_.config.activation, g, g_dot, z, z_dot, out_dot, tiling_.own(tile));
    });
    advance(bundle, layer, layer + 1, out, false);
    if (bundle.sizes) project(bundle, layer, out, out_dot);
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        linear_geometry_->layout().fill_inner(out_dot, own.begin, own.end);
    });
    close_tangent(out_dot);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void StencilLayers<T>::load_tangent(Bundle&, const T*, T*) const;                     \
    template void StencilLayers<T>::advance_tangent(Bundle&, std::int64_t, const T*, T*, T*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
