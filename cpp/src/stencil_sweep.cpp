#include "relaxon/stencil_sweep.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/extreme_search.hpp"

namespace relaxon {

namespace {

// Gradient sums of chunks of samples: at most this many, and at most this many bytes beyond two.
constexpr std::int64_t kMaxChunks = 16;
constexpr std::int64_t kChunkBytes = std::int64_t{64} << 20;
// Cells of work between two looks at the stop token.
constexpr std::int64_t kPollCells = 16384;
// States of a bundle of whole fields, to stay in the second-level cache.
constexpr std::int64_t kBundleBytes = std::int64_t{1} << 22;

template <class T>
Tiling tiling_for(const NetworkConfig& config, std::int64_t batch) {
    const auto op = make_stencil_operator<T>(config);
    return choose_tiling(config, op->radius(), static_cast<int>(op->arms().size()), batch,
                         static_cast<std::int64_t>(sizeof(T)));
}

// Ghost rows that tiles at a periodic end read: those of a whole segment, there and back.
template <class T>
std::int64_t overlap_for(const NetworkConfig& config, const Tiling& tiling) {
    const std::int64_t radius = make_stencil_operator<T>(config)->radius();
    return tiling.is_whole() ? radius : 2 * radius * tiling.segment;
}

// Samples that go through the layers together: by configuration and shape alone, since sums over
// samples and layers follow the bundles. Only local coefficients are worth sharing; whole fields
// leave samples for every chunk and keep all their states in the second-level cache.
template <class T>
int choose_bundle(const StencilModel<T>& model, const SweepRequest& request, const Tiling& tiling) {
    if (!model.shape.weights_are_local || model.config.beta != 0.0) return 1;
    if (request.kind == SweepKind::tangent) return 1;
    const std::int64_t field_bytes =
        model.geometry.field_length() * static_cast<std::int64_t>(sizeof(T));
    const auto fits = [&](std::int64_t bundle) {
        if (!tiling.is_whole()) return bundle <= request.batch;
        return bundle * kMaxChunks <= request.batch &&
               bundle * model.config.depth * field_bytes <= kBundleBytes;
    };
    int bundle = kMaxBundle;
    while (bundle > 1 && !fits(bundle)) bundle /= 2;
    return bundle;
}

}  // namespace

template <class T>
StencilSweep<T>::StencilSweep(const NetworkConfig& config, const SweepRequest& request,
                              bool takes_memory)
    : request_(request), tiling_(tiling_for<T>(config, request.batch)),
      model_(config, overlap_for<T>(config, tiling_)),
      bundle_size_(choose_bundle(model_, request, tiling_)),
      stride_(round_up(model_.geometry.field_length(), kAlignedEntries)),
      segments_(request.at, tiling_.segment),
      n_chunks_(tiling_.is_whole() ? (request.batch + bundle_size_ - 1) / bundle_size_ : 1) {
    if (request.kind == SweepKind::gradient) {
        Arena one;
        StencilGradient<T>(model_, tiling_.n_tiles, request.wants_omega, one);
        n_chunks_ = std::min(n_chunks_, kMaxChunks);
        while (n_chunks_ > 2 && n_chunks_ * one.used_bytes() > kChunkBytes) n_chunks_ /= 2;
    }
    if (request.kind == SweepKind::tangent) {
        linear_geometry_.emplace(config.grid->with_zero_values(), model_.op->arms(),
                                 model_.op->radius(), model_.geometry.layout().overlap());
    }
    plan_ = make_plan(plan_input());
    if (!takes_memory) return;
    Arena measure;
    carve_fixed(measure);
    for (std::int64_t i = 0; i < plan_.blocks_in_flight; ++i) {
        carve_context(measure, plan_.n_snapshots);
    }
    memory_ = Block(measure.used_bytes());
    Arena arena(memory_);
    gradients_.clear();
    carve_fixed(arena);
    for (std::int64_t i = 0; i < plan_.blocks_in_flight; ++i) {
        contexts_.push_back(carve_context(arena, plan_.n_snapshots));
    }
}

template <class T>
PlanInput StencilSweep<T>::plan_input() {
    PlanInput input;
    input.segments = segments_;
    input.max_blocks =
        tiling_.is_whole() ? std::min<std::int64_t>(request_.n_threads, n_chunks_) : 1;
    input.memory_bytes = request_.memory_bytes;
    input.has_gradient = request_.kind == SweepKind::gradient;
    input.has_output = input.has_gradient;
    Arena field, fixed, context;
    take_field(field);
    input.state_bytes = field.used_bytes();
    input.slot_bytes = static_cast<std::int64_t>(sizeof(T*) + sizeof(std::int64_t));
    carve_fixed(fixed);
    input.fixed_bytes = fixed.used_bytes() + returned_bytes<T>(model_.config, request_);
    carve_context(context, 0);
    input.block_bytes = context.used_bytes() + 2 * kAlignment;
    return input;
}

template <class T>
void StencilSweep<T>::carve_fixed(Arena& arena) {
    const int n_workers = request_.n_threads;
    coefficients_.emplace(model_, n_workers, arena);
    if (request_.kind == SweepKind::tangent) coefficients_dot_.emplace(model_, n_workers, arena);
    gradients_.clear();
    if (request_.kind == SweepKind::gradient) {
        for (std::int64_t chunk = 0; chunk < n_chunks_; ++chunk) {
            gradients_.emplace_back(model_, tiling_.n_tiles, request_.wants_omega, arena);
        }
    }
    losses_ = arena.take<double>(request_.batch * static_cast<std::int64_t>(request_.at.size()));
}

template <class T>
T* StencilSweep<T>::take_field(Arena& arena) const {
    T* field = arena.take_zeroed<T>(bundle_size_ * stride_);
    return arena.is_measuring() ? nullptr : field + model_.geometry.margin();
}

// Rows of a tile and all that it reads or writes around them; see reverse_tile.
template <class T>
std::int64_t StencilSweep<T>::local_length() const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t margins = 2 * model_.geometry.wide_margin() + kAlignedEntries;
    const std::int64_t extra = 4 * layout.radius() * (tiling_.segment + 1);
    const std::int64_t cells =
        tiling_.is_whole() ? layout.size() : (tiling_.tile_rows + extra) * layout.row_length();
    return round_up(cells + margins, kAlignedEntries);
}

// Inner states of a segment, the source s, and two cotangents where the segment has more than one
// layer; or two states to go forward.
template <class T>
std::int64_t StencilSweep<T>::n_local() const {
    const std::int64_t k = tiling_.segment;
    if (request_.kind == SweepKind::gradient) return k > 1 ? k + 2 : 1;
    return k > 1 ? 2 : 0;
}

template <class T>
typename StencilSweep<T>::Context StencilSweep<T>::carve_context(Arena& arena,
                                                                 std::int64_t n_snapshots) const {
    Context context;
    const int n_scratch = request_.kind == SweepKind::gradient ? 3 : 2;
    for (int i = 0; i < n_scratch; ++i) context.states.scratch[i] = take_field(arena);
    if (request_.kind == SweepKind::tangent) {
        for (T*& field : context.scratch_dot) field = take_field(arena);
    }
    context.tile_sums = arena.take<OrderedSum>(tiling_.n_tiles);
    const std::int64_t n_workers = tiling_.is_whole() ? 1 : request_.n_threads;
    context.local = arena.take<T*>(n_workers * n_local());
    for (std::int64_t i = 0; i < n_workers * n_local(); ++i) {
        T* field = arena.take_zeroed<T>(bundle_size_ * local_length());
        if (!arena.is_measuring()) context.local[i] = field;
    }
    if (request_.kind != SweepKind::gradient) return context;
    for (T*& field : context.lambda) field = take_field(arena);
    context.states.slots = arena.take<T*>(n_snapshots);
    context.schedule = arena.take<std::int64_t>(n_snapshots);
    const std::int64_t margin = model_.geometry.margin();
    const Layout& layout = model_.geometry.layout();
    const std::int64_t first_ghost = layout.begin(-layout.overlap());
    for (std::int64_t slot = 0; slot < n_snapshots; ++slot) {
        // Not touched before use: a plan may have room for more than a sweep reaches.
        T* memory = arena.take<T>(bundle_size_ * stride_);
        if (arena.is_measuring()) continue;
        context.states.slots[slot] = memory + margin;
        for (int g = 0; g < bundle_size_; ++g) {
            T* field = memory + g * stride_;
            std::fill(field, field + margin + first_ghost, T(0));
            std::fill(field + model_.geometry.field_length() - margin,
                      field + model_.geometry.field_length(), T(0));
        }
    }
    return context;
}

template <class T>
Fields<T> StencilSweep<T>::local_fields(const Context& context, int worker, std::int64_t buffer,
                                        std::int64_t tile) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t lowest =
        tiling_.is_whole() ? -layout.overlap()
                           : tiling_.own(tile).begin - 2 * layout.radius() * (tiling_.segment + 1);
    T* start = context.local[worker * n_local() + buffer] + model_.geometry.wide_margin();
    // Flat indices of the field hold, and its aligned entries are aligned here.
    const std::int64_t begin = layout.begin(lowest);
    return {start - begin / kAlignedEntries * kAlignedEntries, local_length()};
}

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

// Cells of the bundle's samples, one behind the other, into padded fields.
template <class T>
void StencilSweep<T>::load_fields(const Context& context, Crew& crew, const T* cells, T* first) {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t n_cells = model_.config.grid->n_cells();
    for_each_tile(crew, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < context.n_samples; ++g) {
            layout.pack(cells + (context.first_sample + g) * n_cells, fields(first)[g], own.begin,
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
        for (int g = 0; g < context.n_samples; ++g) {
            layout.unpack(fields(first)[g], cells + (context.first_sample + g) * sample_stride,
                          own.begin, own.end);
        }
    });
}

template <class T>
void StencilSweep<T>::load_input(Context& context, Crew& crew, const T* x) {
    const Layout& layout = model_.geometry.layout();
    T* memory = context.states.free_scratch();
    load_fields(context, crew, x, memory);
    for_each_tile(crew, [&](std::int64_t tile, int) {
        const Rows own = tiling_.own(tile);
        for (int g = 0; g < context.n_samples; ++g) {
            layout.fill_inner(fields(memory)[g], own.begin, own.end);
        }
    });
    close_state(context, memory);
    context.states.current = memory;
}

// Ghost rows of a state whose own rows are complete.
template <class T>
void StencilSweep<T>::close_state(const Context& context, T* first) const {
    for (int g = 0; g < context.n_samples; ++g) {
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
              fields(context.states.current), context.n_samples, fields(out), own);
        for (int g = 0; g < context.n_samples; ++g) {
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
              context.n_samples, next, rows);
        if (!is_last) close_local(context, next, rows);
        z = next;
    }
    for (int g = 0; g < context.n_samples; ++g) {
        layout.fill_inner(fields(out)[g], own.begin, own.end);
    }
}

// Ghosts of rows in a tile's own memory. What lies one inner reach beyond the outermost ghost row
// is read with weight zero and must be a number.
template <class T>
void StencilSweep<T>::close_local(const Context& context, Fields<T> local, Rows rows) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t reach = layout.inner_reach();
    for (int g = 0; g < context.n_samples; ++g) {
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

// Loss of the state at `layer`, if it has a target, and the cotangent it adds to lambda_layer.
template <class T>
void StencilSweep<T>::add_loss(Context& context, Crew& crew, const Cotangent& cotangent,
                               std::int64_t layer, const T* z, bool wants_cotangent) {
    if (!cotangent.target) return;
    const auto found = std::find(request_.at.begin(), request_.at.end(), layer);
    if (found == request_.at.end()) return;
    const auto n_at = static_cast<std::int64_t>(request_.at.size());
    const std::int64_t n_cells = model_.config.grid->n_cells();
    const Target<T>& target = *cotangent.target;
    for (int g = 0; g < context.n_samples; ++g) {
        const std::int64_t index =
            (context.first_sample + g) * n_at + (found - request_.at.begin());
        StateTarget<T> state{target.y + index * n_cells, target.weights,
                             model_.config.grid->mask()};
        if (target.weights && !target.weights_are_shared) state.weights += index * n_cells;
        T* lambda = wants_cotangent ? fields(context.lambda[0])[g] : nullptr;
        losses_[index] = sum_over_tiles(context, crew, [&](Rows rows) {
            return squared_distance(model_.geometry.layout(), state, fields(z)[g],
                                    1.0 / static_cast<double>(request_.batch), lambda, rows);
        });
    }
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
                  fields(context.states.current), context.n_samples, fields(next),
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
    context.n_samples = 1;
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
            layout.for_each_pencil(0, layout.n_rows(),
                                   [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                                       search.look(context.states.current + flat, cell, n);
                                   });
        }
        search.add_to(worst);
    }
    return worst;
}

template class StencilSweep<float>;
template class StencilSweep<double>;

}  // namespace relaxon
