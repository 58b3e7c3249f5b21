#include "relaxon/sweeps/stencil/layers.hpp"

#include <algorithm>

namespace relaxon {

template <class T>
void StencilLayers<T>::clear(const Gradients<T>&, Team& team) {
    for (StencilGradient<T>& chunk : gradients_) chunk.clear(team);
}

template <class T>
void StencilLayers<T>::finish(const Parameters<T>& parameters, const Gradients<T>& gradients,
                              Team& team) {
    StencilGradient<T>::combine(gradients_, team);
    gradients_.front().pull_back(parameters, gradients, coefficients_->scratch(), team);
}

template <class T>
void StencilLayers<T>::start_cotangent(Bundle& bundle, const T* y_bar) const {
    for (T* first : bundle.lambda) std::fill(first, first + fields_length(bundle), T(0));
    if (y_bar) load_cotangent(bundle, y_bar, model_.config.grid->n_cells(), bundle.lambda[0]);
}

template <class T>
void StencilLayers<T>::load_cotangent(const Bundle& bundle, const T* cells,
                                      std::int64_t sample_stride, T* lambda) const {
    load_fields(bundle, cells, sample_stride, lambda);
    // Lanes left over repeat a state, which keeps them finite, but are nobody's.
    const Layout& layout = model_.geometry.layout();
    const int last = bundle.n_fields - 1;
    const std::int64_t used = bundle.n_samples - last * layout.n_lanes();
    if (used < layout.n_lanes()) layout.zero_lanes(fields(lambda)[last], used);
}

// Cotangents that come from outside pass through the memory of the next ones.
template <class T>
void StencilLayers<T>::add_cotangent(Bundle& bundle, const T* cells,
                                     std::int64_t sample_stride) const {
    const Layout& layout = model_.geometry.layout();
    T* added = bundle.lambda[1];
    load_cotangent(bundle, cells, sample_stride, added);
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < bundle.n_fields; ++g) {
            const T* from = fields(added)[g];
            T* to = fields(bundle.lambda[0])[g];
            layout.for_each_pencil(own.begin, own.end,
                                   [&](std::int64_t, std::int64_t flat, std::int64_t n) {
                                       const std::int64_t end = flat + n * layout.n_lanes();
                                       for (std::int64_t i = flat; i < end; ++i) to[i] += from[i];
                                   });
        }
    });
}

// lambda_end to lambda_begin, both in lambda[0]; the working state is z_begin, the later one z_end.
// Where the tiles start the cotangent, there is no lambda_end and no z_end yet.
template <class T>
void StencilLayers<T>::reverse(Bundle& bundle, std::int64_t begin, std::int64_t end,
                               const Seed<T>* seed, std::int64_t place) {
    const Segment segment{begin, end, seed, place};
    poll(bundle);
    const Layout& layout = model_.geometry.layout();
    const T* lambda = bundle.lambda[0];
    const T* z = bundle.states.current;
    if (bundle.sizes) project(bundle, begin, bundle.states.later, bundle.lambda[0]);
    if (!tiling_.is_whole() && layout.is_periodic() && !segment.seed) {
        close_state(bundle, bundle.lambda[0]);
    }
    T growth_now = T(0), pull = T(0);
    if (model_.config.beta() != 0.0) {
        const double length = norm(bundle, z);
        const double overlap = weighed_product(bundle, model_.config.beta(), z, lambda);
        growth_now = static_cast<T>(model_.config.beta() * (length - 1.0));
        if (length > 0.0) pull = static_cast<T>(overlap / length);
    }
    for_each_tile(bundle, [&](std::int64_t tile, int worker) {
        reverse_tile(bundle, worker, tile, segment, growth_now);
        if (pull == T(0)) return;
        const Rows own = tiling_.own(tile);
        T* next = bundle.lambda[1];
        layout.for_each_pencil(own.begin, own.end,
                               [&](std::int64_t, std::int64_t flat, std::int64_t n) {
                                   for (std::int64_t i = flat; i < flat + n; ++i) {
                                       next[i] -= pull * z[i];
                                   }
                               });
    });
    std::swap(bundle.lambda[0], bundle.lambda[1]);
    if (!seed || !seed->target) return;
    for (int g = 0; g < bundle.n_fields; ++g) {
        seed->losses[(bundle.first_sample + g) * seed->n_at + place] = total_of_tiles(bundle, g);
    }
}

// The segment's states again, then its layers backwards. With e rows beyond the tile's own: state
// number j is needed up to e = r (2 K - j), its cotangent up to r j.
template <class T>
void StencilLayers<T>::reverse_tile(const Bundle& bundle, int worker, std::int64_t tile,
                                    const Segment& segment, T growth) const {
    const StencilGeometry& geometry = model_.geometry;
    const Activation activation = model_.config.activation;
    const std::int64_t r = geometry.layout().radius();
    const std::int64_t n_layers = segment.end - segment.begin;
    const std::int64_t n_made = segment.seed ? n_layers : n_layers - 1;
    const int n_fields = bundle.n_fields;
    const Rows own = tiling_.own(tile);
    // States 1, 2, ..., then s, then two cotangents in turn.
    const std::int64_t n_states = tiling_.segment > 1 ? tiling_.segment : 0;
    const auto local = [&](std::int64_t buffer) {
        return local_fields(bundle, worker, buffer, tile);
    };
    const auto state = [&](std::int64_t j) -> Fields<const T> {
        if (j == 0) return fields(bundle.states.current);
        if (j > n_made) return fields(bundle.states.later);
        return local(j - 1);
    };
    for (std::int64_t j = 0; j < n_made; ++j) {
        const Rows rows = clip(own, r * (2 * n_layers - 1 - j));
        relax(geometry, layer_of(bundle, segment.begin + j), activation, T(0), state(j), n_fields,
              local(j), rows);
        close_local(bundle, local(j), rows);
    }

    const Fields<T> s = local(n_states);
    const auto cotangent = [&](std::int64_t j) { return local(n_states + 1 + j % 2); };
    Fields<const T> lambda = fields(static_cast<const T*>(bundle.lambda[0]));
    if (segment.seed) {
        start_tile(bundle, tile, segment, state(n_layers), cotangent(n_layers));
        lambda = cotangent(n_layers);
    }
    for (std::int64_t j = n_layers - 1; j >= 0; --j) {
        const Layer<T> layer = layer_of(bundle, segment.begin + j);
        const bool recovers =
            recovers_activation(activation, layer.omega, model_.config.measures_states());
        const Fields<T> next = j == 0 ? fields(bundle.lambda[1]) : cotangent(j);
        LayerGradient<T> gradient = bundle.gradient->layer(segment.begin + j, tile);
        gradient.drive = fields(bundle.drive_bar);
        pull_back_tile(
            layer, growth,
            {state(j), recovers ? state(j + 1) : Fields<const T>(), lambda, s, next, n_fields},
            {clip(own, r * (j + 1)), own, clip(own, r * j)}, gradient);
        lambda = next;
    }
}

// The cotangent of the last state, made by every tile as far as it needs it, and the loss of the
// tile's own rows.
template <class T>
void StencilLayers<T>::start_tile(const Bundle& bundle, std::int64_t tile, const Segment& segment,
                                  Fields<const T> z, Fields<T> lambda) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t r = layout.radius();
    const std::int64_t n_cells = model_.config.grid->n_cells();
    const std::int64_t row_cells = n_cells / layout.n_rows();
    const Rows own = tiling_.own(tile);
    const Rows rows = clip(own, r * (segment.end - segment.begin));
    const double scale = 1.0 / static_cast<double>(request_.batch);
    for (int g = 0; g < bundle.n_fields; ++g) {
        T* bar = lambda[g];
        std::fill(bar + layout.begin(rows.begin - r) - layout.inner_reach(),
                  bar + layout.begin(rows.end + r) + layout.inner_reach(), T(0));
        for (const Rows part : {Rows{rows.begin, own.begin}, own, Rows{own.end, rows.end}}) {
            // Beyond a periodic end the cells begin anew.
            for_each_period(part.begin, part.end, 0, layout.n_rows(),
                            [&](std::int64_t begin, std::int64_t end, std::int64_t shift) {
                                const std::int64_t turned = shift * row_cells;
                                if (segment.seed->y_bar) {
                                    const T* cells =
                                        segment.seed->y_bar + (bundle.first_sample + g) * n_cells;
                                    layout.pack<T>({cells - turned}, bar, begin, end);
                                    return;
                                }
                                const std::int64_t index =
                                    (bundle.first_sample + g) * segment.seed->n_at + segment.place;
                                StateTarget<T> target =
                                    state_target(*segment.seed->target, *model_.config.grid, index);
                                target.y -= turned;
                                if (target.weights) target.weights -= turned;
                                if (target.mask) target.mask -= turned;
                                const OrderedSum sum = relaxon::distance(layout, target, z[g],
                                                                         scale, bar, {begin, end});
                                if (begin == own.begin) {
                                    bundle.tile_sums[g * tiling_.n_tiles + tile] = sum;
                                }
                            });
        }
    }
}

// One layer. Ghost rows are pulled back too where they follow from the tile's rows.
template <class T>
void StencilLayers<T>::pull_back_tile(const Layer<T>& layer, T growth,
                                      const ReverseFields<T>& fields, ReverseRows rows,
                                      const LayerGradient<T>& gradient) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t r = layout.radius();
    const Rows kept = rows.out;
    const bool at_low = ends_at(0, kept), at_high = ends_at(1, kept);
    // Whole fields keep the zeros that their memory began with.
    for (int g = 0; !tiling_.is_whole() && g < fields.n_fields; ++g) {
        T* s = fields.s[g];
        T* begin = s + layout.begin(rows.sources.begin - (at_low ? 2 * r : 0));
        std::fill(begin - layout.inner_reach(), s + layout.begin(rows.sources.begin), T(0));
        T* end = s + layout.begin(rows.sources.end + (at_high ? 2 * r : 0));
        std::fill(s + layout.begin(rows.sources.end), end + layout.inner_reach(), T(0));
    }
    if (at_low) rows.out.begin -= r;
    if (at_high) rows.out.end += r;
    pull_back(model_.geometry, layer, model_.config.activation, growth, fields, rows, gradient);
    for (int g = 0; g < fields.n_fields; ++g) {
        T* out = fields.out[g];
        layout.fold_inner(out, rows.out.begin, rows.out.end);
        if (at_low) layout.fold_rows(out, 0);
        if (at_high) layout.fold_rows(out, 1);
        layout.zero_masked(out, kept.begin, kept.end);
    }
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void StencilLayers<T>::clear(const Gradients<T>&, Team&);                             \
    template void StencilLayers<T>::finish(const Parameters<T>&, const Gradients<T>&, Team&);      \
    template void StencilLayers<T>::start_cotangent(Bundle&, const T*) const;                      \
    template void StencilLayers<T>::add_cotangent(Bundle&, const T*, std::int64_t) const;          \
    template void StencilLayers<T>::reverse(Bundle&, std::int64_t, std::int64_t, const Seed<T>*,   \
                                            std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
