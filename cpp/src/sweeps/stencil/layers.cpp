#include "relaxon/sweeps/stencil/layers.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/network/extreme_search.hpp"

namespace relaxon {

namespace {

// Cells of work between two looks at the stop token.
constexpr std::int64_t kPollCells = 16384;

}  // namespace

// A tile's rows and `extra` more on each side, as far as there are rows; beyond a periodic end of
// a cut field there always are.
template <class T>
Rows StencilSweep<T>::clip(Rows own, std::int64_t extra) const {
    const Layout& layout = model_.geometry.layout();
    if (!tiling_.is_whole() && layout.is_periodic()) return {own.begin - extra, own.end + extra};
    return {std::max<std::int64_t>(own.begin - extra, 0),
            std::min(own.end + extra, layout.n_rows())};
}

// Whether the rows reach a side whose ghosts follow from them.
template <class T>
bool StencilSweep<T>::ends_at(int side, Rows rows) const {
    const Layout& layout = model_.geometry.layout();
    if (!tiling_.is_whole() && layout.is_periodic()) return false;
    return side == 0 ? rows.begin == 0 : rows.end == layout.n_rows();
}

template <class T>
void StencilSweep<T>::poll(Context& context, Crew& crew) {
    context.cells_since_poll += model_.geometry.layout().size();
    if (context.cells_since_poll < kPollCells) return;
    context.cells_since_poll = 0;
    crew.team->poll(crew.is_calling_thread);
}

template <class T>
double StencilSweep<T>::norm(Context& context, Crew& crew, const T* z) {
    const double squares = sum_over_tiles(context, crew, [&](Rows rows) {
        return inner_product(model_.geometry.layout(), z, z, rows);
    });
    return std::sqrt(squares * model_.config.grid->cell_volume());
}

template <class T>
T StencilSweep<T>::growth(Context& context, Crew& crew, const T* z) {
    if (model_.config.beta == 0.0) return T(0);
    return static_cast<T>(model_.config.beta * (norm(context, crew, z) - 1.0));
}

// Where the samples of the bundle's field g lie in the caller's array.
template <class T>
template <class Entry>
Cells<Entry> StencilSweep<T>::cells_of(const Context& context, int g, Entry* cells,
                                       std::int64_t stride) const {
    const std::int64_t n_lanes = model_.geometry.layout().n_lanes();
    const std::int64_t first = g * n_lanes;
    return {cells + (context.first_sample + first) * stride, stride,
            std::min(n_lanes, context.n_samples - first)};
}

// Cells of the bundle's samples, one behind the other, into padded fields.
template <class T>
void StencilSweep<T>::load_fields(const Context& context, Crew& crew, const T* cells,
                                  std::int64_t sample_stride, T* first) {
    const Layout& layout = model_.geometry.layout();
    for_each_tile(crew, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < context.n_fields; ++g) {
            layout.pack(cells_of(context, g, cells, sample_stride), fields(first)[g], own.begin,
                        own.end);
        }
    });
}

template <class T>
void StencilSweep<T>::unload_fields(const Context& context, Crew& crew, const T* first, T* cells,
                                    std::int64_t sample_stride) {
    const Layout& layout = model_.geometry.layout();
    for_each_tile(crew, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < context.n_fields; ++g) {
            layout.unpack(fields(first)[g], cells_of(context, g, cells, sample_stride), own.begin,
                          own.end);
        }
    });
}

template <class T>
void StencilSweep<T>::load_input(Context& context, Crew& crew, const T* x) {
    const Layout& layout = model_.geometry.layout();
    T* memory = context.states.free_scratch();
    load_fields(context, crew, x, model_.config.grid->n_cells(), memory);
    for_each_tile(crew, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < context.n_fields; ++g) {
            layout.fill_inner(fields(memory)[g], own.begin, own.end);
        }
    });
    close_state(context, memory);
    context.states.current = memory;
}

// Ghost rows of a state whose own rows are complete.
template <class T>
void StencilSweep<T>::close_state(const Context& context, T* first) const {
    for (int g = 0; g < context.n_fields; ++g) {
        model_.geometry.layout().fill_rows(fields(first)[g], 0);
        model_.geometry.layout().fill_rows(fields(first)[g], 1);
    }
}

// z_begin, the working state, to z_end in `out`.
template <class T>
void StencilSweep<T>::advance(Context& context, Crew& crew, std::int64_t begin, std::int64_t end,
                              T* out) {
    poll(context, crew);
    const Layout& layout = model_.geometry.layout();
    const bool is_one_layer = end - begin == 1;
    const T growth_now = growth(context, crew, context.states.current);
    for_each_tile(crew, [&](std::int64_t tile, int worker) {
        if (!is_one_layer) {
            advance_tile(context, worker, tile, begin, end, out);
            return;
        }
        const Rows own = tiling_.own(tile);
        relax(model_.geometry, coefficients_->layer(begin), model_.config.activation, growth_now,
              fields(context.states.current), context.n_fields, fields(out), own);
        for (int g = 0; g < context.n_fields; ++g) {
            layout.fill_inner(fields(out)[g], own.begin, own.end);
        }
    });
    close_state(context, out);
}

template <class T>
void StencilSweep<T>::advance_tile(const Context& context, int worker, std::int64_t tile,
                                   std::int64_t begin, std::int64_t end, T* out) {
    const Layout& layout = model_.geometry.layout();
    const Rows own = tiling_.own(tile);
    Fields<const T> z = fields(context.states.current);
    for (std::int64_t layer = begin; layer < end; ++layer) {
        const Rows rows = clip(own, layout.radius() * (end - 1 - layer));
        const bool is_last = layer + 1 == end;
        const Fields<T> next =
            is_last ? fields(out) : local_fields(context, worker, (layer - begin) % 2, tile);
        relax(model_.geometry, coefficients_->layer(layer), model_.config.activation, T(0), z,
              context.n_fields, next, rows);
        if (!is_last) close_local(context, next, rows);
        z = next;
    }
    for (int g = 0; g < context.n_fields; ++g) {
        layout.fill_inner(fields(out)[g], own.begin, own.end);
    }
}

// Ghosts of rows in a tile's own memory. What lies one inner reach beyond the outermost ghost row
// is read with weight zero and must be a number.
template <class T>
void StencilSweep<T>::close_local(const Context& context, Fields<T> local, Rows rows) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t reach = layout.inner_reach();
    for (int g = 0; g < context.n_fields; ++g) {
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

// Where a layer stands among those with targets; -1: it has none.
template <class T>
std::int64_t StencilSweep<T>::place_of(std::int64_t layer) const {
    const auto found = std::find(request_.at.begin(), request_.at.end(), layer);
    return found == request_.at.end() ? -1 : found - request_.at.begin();
}

template <class T>
std::int64_t StencilSweep<T>::loss_index(const Context& context, std::int64_t place,
                                         std::int64_t i) const {
    return (context.first_sample + i) * static_cast<std::int64_t>(request_.at.size()) + place;
}

template <class T>
StateTarget<T> StencilSweep<T>::state_target(const Target<T>& target, std::int64_t index) const {
    const std::int64_t first = index * model_.config.grid->n_cells();
    const bool is_own = target.weights && !target.weights_are_shared;
    return {target.y + first, is_own ? target.weights + first : target.weights,
            model_.config.grid->mask(), target.loss};
}

// Loss of the state at `layer`, if it has a target, and the cotangent it adds to lambda_layer.
template <class T>
void StencilSweep<T>::add_loss(Context& context, Crew& crew, const Cotangent& cotangent,
                               std::int64_t layer, const T* z, bool wants_cotangent) {
    const std::int64_t place = place_of(layer);
    if (!cotangent.target || place < 0) return;
    if (cotangent.target->state_loss) {
        add_state_loss(context, crew, *cotangent.target->state_loss, place, z, wants_cotangent);
        return;
    }
    for (std::int64_t i = 0; i < context.n_samples; ++i) {
        const std::int64_t index = loss_index(context, place, i);
        const StateTarget<T> state = state_target(*cotangent.target, index);
        T* lambda = wants_cotangent ? sample(context.lambda[0], i) : nullptr;
        losses_[index] = sum_over_tiles(context, crew, [&](Rows rows) {
            return distance(model_.geometry.layout(), state, sample(z, i),
                            1.0 / static_cast<double>(request_.batch), lambda, rows);
        });
    }
}

// The states leave their padded fields, and their cotangents come back.
template <class T>
void StencilSweep<T>::add_state_loss(Context& context, Crew& crew, StateLoss<T>& loss,
                                     std::int64_t place, const T* z, bool wants_cotangent) {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t n_cells = model_.config.grid->n_cells();
    const std::int64_t stride = static_cast<std::int64_t>(request_.at.size()) * n_cells;
    unload_fields(context, crew, z, loss.states() + place * n_cells, stride);
    loss.evaluate(place, context.first_sample, context.n_samples, wants_cotangent,
                  losses_ + loss_index(context, place, 0));
    if (!wants_cotangent) return;
    T* added = context.lambda[1];
    load_cotangent(context, crew, loss.cotangents() + place * n_cells, stride, added);
    for_each_tile(crew, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < context.n_fields; ++g) {
            const T* from = fields(added)[g];
            T* to = fields(context.lambda[0])[g];
            layout.for_each_pencil(own.begin, own.end,
                                   [&](std::int64_t, std::int64_t flat, std::int64_t n) {
                                       const std::int64_t end = flat + n * layout.n_lanes();
                                       for (std::int64_t i = flat; i < end; ++i) to[i] += from[i];
                                   });
        }
    });
}

template <class T>
double StencilSweep<T>::total_loss() const {
    OrderedSum total;
    const auto n_at = static_cast<std::int64_t>(request_.at.size());
    for (std::int64_t i = 0; i < request_.batch * n_at; ++i) total.add(losses_[i]);
    return total.value() / static_cast<double>(request_.batch);
}

template <class T>
void StencilSweep<T>::forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                              Team& team) {
    const FlushToZero flush;
    const std::int64_t n_cells = model_.config.grid->n_cells();
    const std::int64_t depth = model_.config.depth;
    const std::int64_t step = all_layers ? 1 : tiling_.segment;
    coefficients_->prepare(parameters, team);
    for_each_bundle(team, [&](std::int64_t, Context& context, Crew& crew) {
        const auto unload = [&](T* out) {
            unload_fields(context, crew, context.states.current, out,
                          n_cells * (all_layers ? depth + 1 : 1));
        };
        load_input(context, crew, x);
        if (all_layers) unload(y);
        for (std::int64_t layer = 0; layer < depth; layer += step) {
            T* next = context.states.free_scratch();
            advance(context, crew, layer, std::min(layer + step, depth), next);
            context.states.current = next;
            if (all_layers) unload(y + (layer + 1) * n_cells);
        }
        if (!all_layers) unload(y);
    });
}

template <class T>
double StencilSweep<T>::loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                             Team& team) {
    const FlushToZero flush;
    coefficients_->prepare(parameters, team);
    for_each_bundle(team, [&](std::int64_t, Context& context, Crew& crew) {
        const Cotangent cotangent{&target, nullptr};
        load_input(context, crew, x);
        add_loss(context, crew, cotangent, 0, context.states.current, false);
        for (std::int64_t i = 0; i < segments_.n_segments(); ++i) {
            T* next = context.states.free_scratch();
            advance(context, crew, segments_.begin(i), segments_.begin(i + 1), next);
            context.states.current = next;
            add_loss(context, crew, cotangent, segments_.begin(i + 1), context.states.current,
                     false);
        }
    });
    return total_loss();
}

template <class T>
void StencilSweep<T>::apply(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* out,
                            Team& team) {
    const FlushToZero flush;
    const T one = T(1);
    coefficients_->prepare(parameters, team);
    for_each_bundle(team, [&](std::int64_t, Context& context, Crew& crew) {
        load_input(context, crew, z);
        T* next = context.states.free_scratch();
        for_each_tile(crew, [&](std::int64_t tile, int) {
            Layer<T> plain = coefficients_->layer(layer);
            plain.bias = {};
            plain.omega = {&one, false};
            relax(model_.geometry, plain, Activation::identity, T(0),
                  fields(context.states.current), context.n_fields, fields(next),
                  tiling_.own(tile));
        });
        unload_fields(context, crew, next, out, model_.config.grid->n_cells());
    });
}

template <class T>
Extreme StencilSweep<T>::find_extreme(const Parameters<T>& parameters, const T* x, Team& team) {
    const FlushToZero flush;
    const Layout& layout = model_.geometry.layout();
    coefficients_->prepare(parameters, team);
    Extreme worst;
    Crew crew{&team, !tiling_.is_whole(), true};
    Context& context = contexts_.front();
    context.n_samples = context.n_fields = 1;
    for (context.first_sample = 0; context.first_sample < request_.batch; ++context.first_sample) {
        load_input(context, crew, x);
        ExtremeSearch search(context.first_sample);
        for (std::int64_t layer = 0; layer <= model_.config.depth && search.goes_on(); ++layer) {
            if (layer > 0) {
                T* next = context.states.free_scratch();
                advance(context, crew, layer - 1, layer, next);
                context.states.current = next;
            }
            search.start_layer(layer);
            layout.for_each_pencil(
                0, layout.n_rows(), [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                    search.look(context.states.current + flat, layout.n_lanes(), cell, n);
                });
        }
        search.add_to(worst);
    }
    return worst;
}

template class StencilSweep<float>;
template class StencilSweep<double>;

}  // namespace relaxon
