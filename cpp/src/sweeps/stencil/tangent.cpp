#include "relaxon/sweeps/stencil/layers.hpp"

#include <algorithm>

namespace relaxon {

template <class T>
void StencilSweep<T>::jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                          const T* x, const T* x_dot, T* y_dot, Team& team) {
    const FlushToZero flush;
    const Layout& layout = model_.geometry.layout();
    const Layout& linear_layout = linear_geometry_->layout();
    const std::int64_t n_cells = model_.config.grid->n_cells();
    const double beta = model_.config.beta;
    coefficients_->prepare(parameters, team);
    coefficients_dot_->prepare_tangent(parameters, parameters_dot, team);
    for_each_bundle(team, [&](std::int64_t, Context& context, Crew& crew) {
        T* z_dot = context.scratch_dot[0];
        T* next_dot = context.scratch_dot[1];
        const auto close_tangent = [&](T* field) {
            linear_layout.fill_rows(field, 0);
            linear_layout.fill_rows(field, 1);
        };
        load_input(context, crew, x);
        std::fill(z_dot, z_dot + layout.size(), T(0));
        if (x_dot) load_fields(context, crew, x_dot, n_cells, z_dot);
        linear_layout.fill_inner(z_dot, 0, layout.n_rows());
        close_tangent(z_dot);
        for (std::int64_t layer = 0; layer < model_.config.depth; ++layer) {
            T* next = context.states.free_scratch();
            const T* z = context.states.current;
            const T g = growth(context, crew, z);
            T g_dot = T(0);
            const double length = beta != 0.0 ? norm(context, crew, z) : 0.0;
            if (length > 0.0) {
                const double change = sum_over_tiles(context, crew, [&](Rows rows) {
                    return inner_product(layout, z, z_dot, rows);
                });
                g_dot = static_cast<T>(beta * change * model_.config.grid->cell_volume() / length);
            }
            for_each_tile(crew, [&](std::int64_t tile, int) {
                const Rows own = tiling_.own(tile);
                relax_tangent(model_.geometry, *linear_geometry_, coefficients_->layer(layer),
                              coefficients_dot_->layer(layer), model_.config.activation, g, g_dot,
                              z, z_dot, next_dot, own);
                linear_layout.fill_inner(next_dot, own.begin, own.end);
            });
            close_tangent(next_dot);
            advance(context, crew, layer, layer + 1, next);
            context.states.current = next;
            std::swap(z_dot, next_dot);
        }
        unload_fields(context, crew, z_dot, y_dot, n_cells);
    });
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void StencilSweep<T>::jvp(const Parameters<T>&, const Parameters<T>&, const T*,       \
                                       const T*, T*, Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
