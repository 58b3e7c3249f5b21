#include "relaxon/sweeps/stencil/layers.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/operators/stencil/assembly.hpp"

namespace relaxon {

namespace {

// Cells of work between two looks at the stop token.
constexpr std::int64_t kPollCells = 16384;

}  // namespace

// A tile's rows and `extra` more on each side, as far as there are rows; beyond a periodic end of
// a cut field there always are.
template <class T>
Rows StencilLayers<T>::clip(Rows own, std::int64_t extra) const {
    const Layout& layout = model_.geometry.layout();
    if (!tiling_.is_whole() && layout.is_periodic()) return {own.begin - extra, own.end + extra};
    return {std::max<std::int64_t>(own.begin - extra, 0),
            std::min(own.end + extra, layout.n_rows())};
}

// Whether the rows reach a side whose ghosts follow from them.
template <class T>
bool StencilLayers<T>::ends_at(int side, Rows rows) const {
    const Layout& layout = model_.geometry.layout();
    if (!tiling_.is_whole() && layout.is_periodic()) return false;
    return side == 0 ? rows.begin == 0 : rows.end == layout.n_rows();
}

template <class T>
void StencilLayers<T>::poll(Bundle& bundle) const {
    bundle.cells_since_poll += model_.geometry.layout().size();
    if (bundle.cells_since_poll < kPollCells) return;
    bundle.cells_since_poll = 0;
    bundle.team->poll(bundle.is_calling_thread);
}

// scale sum a b dV: what fields measure each other by.
template <class T>
double StencilLayers<T>::weighed_product(const Bundle& bundle, double scale, const T* a,
                                         const T* b) const {
    const double sum = sum_over_tiles(
        bundle, [&](Rows rows) { return inner_product(model_.geometry.layout(), a, b, rows); });
    return scale * sum * model_.config.grid->cell_volume();
}

template <class T>
double StencilLayers<T>::norm(const Bundle& bundle, const T* z) const {
    return std::sqrt(weighed_product(bundle, 1.0, z, z));
}

template <class T>
T StencilLayers<T>::growth(const Bundle& bundle, const T* z) const {
    if (model_.config.beta() == 0.0) return T(0);
    return static_cast<T>(model_.config.beta() * (norm(bundle, z) - 1.0));
}

// Hard normalisation: z = y / |y| in place, and |y| kept.
template <class T>
void StencilLayers<T>::normalise(const Bundle& bundle, std::int64_t layer, T* y) const {
    const Layout& layout = model_.geometry.layout();
    const double size = norm(bundle, y);
    size_of(bundle, layer) = size;
    const auto factor = static_cast<T>(inverse_size(size));
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        layout.for_each_pencil(own.begin, own.end,
                               [&](std::int64_t, std::int64_t flat, std::int64_t n) {
                                   for (std::int64_t i = flat; i < flat + n; ++i) y[i] *= factor;
                               });
        layout.zero_masked(y, own.begin, own.end);
        layout.fill_inner(y, own.begin, own.end);
    });
}

// Its tangent and its transpose, (v - (z . v) dV z) / |y| in place of v.
template <class T>
void StencilLayers<T>::project(const Bundle& bundle, std::int64_t layer, const T* z,
                               T* values) const {
    const Layout& layout = model_.geometry.layout();
    const auto factor = static_cast<T>(inverse_size(size_of(bundle, layer)));
    const auto overlap = static_cast<T>(weighed_product(bundle, 1.0, z, values));
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        layout.for_each_pencil(own.begin, own.end,
                               [&](std::int64_t, std::int64_t flat, std::int64_t n) {
                                   for (std::int64_t i = flat; i < flat + n; ++i) {
                                       values[i] = factor * (values[i] - overlap * z[i]);
                                   }
                               });
        layout.zero_masked(values, own.begin, own.end);
    });
}

// Where the samples of the bundle's field g lie in the caller's array.
template <class T>
template <class Entry>
Cells<Entry> StencilLayers<T>::cells_of(const Bundle& bundle, int g, Entry* cells,
                                        std::int64_t stride) const {
    const std::int64_t n_lanes = model_.geometry.layout().n_lanes();
    const std::int64_t first = g * n_lanes;
    return {cells + (bundle.first_sample + first) * stride, stride,
            std::min(n_lanes, bundle.n_samples - first)};
}

// Cells of the bundle's samples, one behind the other, into padded fields.
template <class T>
void StencilLayers<T>::load_fields(const Bundle& bundle, const T* cells, std::int64_t sample_stride,
                                   T* first) const {
    const Layout& layout = model_.geometry.layout();
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < bundle.n_fields; ++g) {
            layout.pack(cells_of(bundle, g, cells, sample_stride), fields(first)[g], own.begin,
                        own.end);
        }
    });
}

template <class T>
void StencilLayers<T>::unload(const Bundle& bundle, const T* first, T* cells,
                              std::int64_t sample_stride) const {
    const Layout& layout = model_.geometry.layout();
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < bundle.n_fields; ++g) {
            layout.unpack(fields(first)[g], cells_of(bundle, g, cells, sample_stride), own.begin,
                          own.end);
        }
    });
}

template <class T>
void StencilLayers<T>::load(Bundle& bundle, const T* x) const {
    const Layout& layout = model_.geometry.layout();
    T* memory = bundle.states.free_scratch();
    if (x) {
        load_fields(bundle, x, model_.config.grid->n_cells(), memory);
    } else {
        std::fill(memory, memory + fields_length(bundle), T(0));
    }
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < bundle.n_fields; ++g) {
            layout.fill_inner(fields(memory)[g], own.begin, own.end);
        }
    });
    close_state(bundle, memory);
    bundle.states.current = memory;
}

// Tiles read a source beyond periodic ends, too.
template <class T>
void StencilLayers<T>::load_drive(Bundle& bundle, const T* x) const {
    load_fields(bundle, x, model_.config.grid->n_cells(), bundle.drive);
    if (model_.geometry.layout().is_periodic()) close_state(bundle, bundle.drive);
    if (!bundle.drive_bar) return;
    std::fill(bundle.drive_bar, bundle.drive_bar + fields_length(bundle), T(0));
}

// Ghost rows of a state whose own rows are complete.
template <class T>
void StencilLayers<T>::close_state(const Bundle& bundle, T* first) const {
    for (int g = 0; g < bundle.n_fields; ++g) {
        model_.geometry.layout().fill_rows(fields(first)[g], 0);
        model_.geometry.layout().fill_rows(fields(first)[g], 1);
    }
}

// z_begin, the working state, to z_end in `out`.
template <class T>
void StencilLayers<T>::advance(Bundle& bundle, std::int64_t begin, std::int64_t end, T* out, bool) {
    poll(bundle);
    const Layout& layout = model_.geometry.layout();
    const bool is_one_layer = end - begin == 1;
    const T growth_now = growth(bundle, bundle.states.current);
    for_each_tile(bundle, [&](std::int64_t tile, int worker) {
        if (!is_one_layer) {
            advance_tile(bundle, worker, tile, begin, end, out);
            return;
        }
        const Rows own = tiling_.own(tile);
        relax(model_.geometry, layer_of(bundle, begin), model_.config.activation, growth_now,
              fields(bundle.states.current), bundle.n_fields, fields(out), own);
        for (int g = 0; g < bundle.n_fields; ++g) {
            layout.fill_inner(fields(out)[g], own.begin, own.end);
        }
    });
    if (bundle.sizes) normalise(bundle, begin, out);
    close_state(bundle, out);
}

template <class T>
void StencilLayers<T>::advance_tile(const Bundle& bundle, int worker, std::int64_t tile,
                                    std::int64_t begin, std::int64_t end, T* out) const {
    const Layout& layout = model_.geometry.layout();
    const Rows own = tiling_.own(tile);
    Fields<const T> z = fields(bundle.states.current);
    for (std::int64_t layer = begin; layer < end; ++layer) {
        const Rows rows = clip(own, layout.radius() * (end - 1 - layer));
        const bool is_last = layer + 1 == end;
        const Fields<T> next =
            is_last ? fields(out) : local_fields(bundle, worker, (layer - begin) % 2, tile);
        relax(model_.geometry, layer_of(bundle, layer), model_.config.activation, T(0), z,
              bundle.n_fields, next, rows);
        if (!is_last) close_local(bundle, next, rows);
        z = next;
    }
    for (int g = 0; g < bundle.n_fields; ++g) {
        layout.fill_inner(fields(out)[g], own.begin, own.end);
    }
}

// Ghosts of rows in a tile's own memory. What lies one inner reach beyond the outermost ghost row
// is read with weight zero and must be a number.
template <class T>
void StencilLayers<T>::close_local(const Bundle& bundle, Fields<T> local, Rows rows) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t reach = layout.inner_reach();
    for (int g = 0; g < bundle.n_fields; ++g) {
        T* field = local[g];
        layout.fill_inner(field, rows.begin, rows.end);
        if (ends_at(0, rows)) {
            layout.fill_rows(field, 0);
            T* edge = field + layout.begin(-layout.radius());
            std::fill(edge - reach, edge, T(0));
        }
        if (ends_at(1, rows)) {
            layout.fill_rows(field, 1);
            T* edge = field + layout.begin(layout.n_rows() + layout.radius());
            std::fill(edge, edge + reach, T(0));
        }
    }
}

template <class T>
double StencilLayers<T>::distance(const Bundle& bundle, std::int64_t i,
                                  const StateTarget<T>& target, const T* z, double scale,
                                  bool wants_cotangent) const {
    T* lambda = wants_cotangent ? sample(bundle.lambda[0], i) : nullptr;
    return sum_over_tiles(bundle, [&](Rows rows) {
        return relaxon::distance(model_.geometry.layout(), target, sample(z, i), scale, lambda,
                                 rows);
    });
}

template <class T>
void StencilLayers<T>::apply(Bundle& bundle, std::int64_t layer, T* out) const {
    const T one = T(1);
    for_each_tile(bundle, [&](std::int64_t tile, int) {
        Layer<T> plain = coefficients_->layer(layer);
        plain.bias = {};
        plain.omega = {&one, false};
        relax(model_.geometry, plain, Activation::identity, T(0), fields(bundle.states.current),
              bundle.n_fields, fields(out), tiling_.own(tile));
    });
}

template <class T>
void StencilLayers<T>::assemble(std::int64_t layer, T* values, T* shift) const {
    const Layout& layout = model_.geometry.layout();
    const StencilWeights<T> weights = coefficients_->layer(layer).weights;
    std::vector<std::int64_t> entries(static_cast<std::size_t>(model_.config.grid->n_cells()));
    layout.for_each_pencil(
        0, layout.n_rows(), [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
            for (std::int64_t i = 0; i < n; ++i) {
                entries[static_cast<std::size_t>(cell + i)] = flat + i * layout.n_lanes();
            }
        });
    const StencilAssembly assembly(*model_.config.grid, model_.op->arms());
    assembly.assemble(
        [&](std::int64_t cell, int arm) {
            return weights.at(arm, entries[static_cast<std::size_t>(cell)]);
        },
        values, shift);
}

template class StencilLayers<float>;
template class StencilLayers<double>;

}  // namespace relaxon
