// How a stencil sweep is cut into bundles and chunks, and the memory it takes.
#include <algorithm>

#include "relaxon/sweeps/stencil/layers.hpp"

namespace relaxon {

namespace {

// Gradient sums of chunks of samples: at most this many, and at most this many bytes beyond two,
// since clearing and adding up large ones costs more than a few workers bring.
constexpr std::int64_t kMaxChunks = 16;
constexpr std::int64_t kChunkBytes = std::int64_t{16} << 20;
// States of a bundle of whole fields, at most: beyond the second-level cache, but within what is
// left of the third one to every core.
constexpr std::int64_t kBundleBytes = std::int64_t{1} << 22;
// Coefficients, gradients and states of a field with lanes, at most.
constexpr std::int64_t kLaneBytes = std::int64_t{1} << 19;

template <class T>
Tiling tiling_for(const NetworkConfig& config, std::int64_t batch) {
    const auto op = config.op->template stencil<T>(*config.grid);
    return choose_tiling(config, op->radius(), static_cast<int>(op->arms().size()), batch,
                         static_cast<std::int64_t>(sizeof(T)));
}

// Samples that share the packs of a field: as many as make every arm of the stencil a whole number
// of cache lines, which lets small grids do without short blocks and shifted loads. By
// configuration and shape alone. Coefficients, their gradients and the states of a field have to
// stay in the second-level cache, which lanes multiply; and there are fields for every chunk.
template <class T>
std::int64_t choose_lanes(const NetworkConfig& config, const SweepRequest& request,
                          const Tiling& tiling) {
    if (!tiling.is_whole() || config.measures_states() || request.kind == SweepKind::tangent)
        return 1;
    constexpr std::int64_t n_lanes = kAlignment / static_cast<std::int64_t>(sizeof(T));
    if (request.batch < kMaxChunks * n_lanes) return 1;
    const auto op = config.op->template stencil<T>(*config.grid);
    const StencilShape shape(config, static_cast<int>(op->arms().size()), op->uses_omega());
    std::int64_t cells = 1;
    for (const std::int64_t n : config.grid->shape()) cells *= n + 2 * op->radius();
    const std::int64_t n_weights = shape.weights_are_local ? shape.n_weight_sets * shape.n_arms : 0;
    const std::int64_t n_biases = shape.bias_is_local ? shape.n_bias_sets : 0;
    const std::int64_t n_fields = 2 * (n_weights + n_biases) + config.depth() + 1;
    return cells * kAlignment * n_fields <= kLaneBytes ? n_lanes : 1;
}

// Fields that go through the layers together: by configuration and shape alone, since sums over
// samples and layers follow the bundles. Only local coefficients are worth sharing; whole fields
// leave samples for every chunk and keep all their states close.
template <class T>
int choose_bundle(const StencilModel<T>& model, const SweepRequest& request, const Tiling& tiling) {
    if (!model.shape.weights_are_local || model.config.measures_states()) return 1;
    if (request.kind == SweepKind::tangent) return 1;
    const std::int64_t field_bytes =
        model.geometry.field_length() * static_cast<std::int64_t>(sizeof(T));
    const auto fits = [&](std::int64_t bundle) {
        if (!tiling.is_whole()) return bundle <= request.batch;
        return bundle * kMaxChunks * model.geometry.layout().n_lanes() <= request.batch &&
               bundle * model.config.depth() * field_bytes <= kBundleBytes;
    };
    int bundle = kMaxBundle;
    while (bundle > 1 && !fits(bundle)) bundle /= 2;
    return bundle;
}

}  // namespace

template <class T>
StencilLayers<T>::StencilLayers(const NetworkConfig& config, const SweepRequest& request)
    : request_(request), tiling_(tiling_for<T>(config, request.batch)),
      // Tiles at a periodic end read the ghosts of a whole segment, there and back.
      model_(config, tiling_.is_whole() ? 0 : 2 * tiling_.segment,
             choose_lanes<T>(config, request, tiling_)),
      bundle_size_(choose_bundle(model_, request, tiling_)),
      stride_(round_up(model_.geometry.field_length(), kAlignedEntries)),
      segments_(request.at, tiling_.segment, request.first), n_chunks_(1) {
    if (tiling_.is_whole()) {
        const std::int64_t samples = bundle_size_ * model_.geometry.layout().n_lanes();
        n_chunks_ = (request.batch + samples - 1) / samples;
    }
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
}

// own_bytes: what the walk keeps beside the layers.
template <class T>
Plan StencilLayers<T>::plan(std::int64_t own_bytes) {
    PlanInput input;
    input.segments = segments_;
    input.max_blocks =
        tiling_.is_whole() ? std::min<std::int64_t>(request_.n_threads, n_chunks_) : 1;
    input.memory_bytes = request_.memory_bytes;
    input.has_gradient = request_.kind == SweepKind::gradient;
    input.has_output = input.has_gradient;
    input.has_state_loss = request_.has_state_loss;
    Arena field, fixed, bundle;
    take_field(field);
    input.state_bytes = field.used_bytes();
    input.slot_bytes = static_cast<std::int64_t>(sizeof(T*) + sizeof(std::int64_t));
    carve_fixed(fixed);
    input.fixed_bytes = fixed.used_bytes() + own_bytes + returned_bytes<T>(model_.config, request_);
    carve_bundle(bundle, 0);
    input.block_bytes = bundle.used_bytes() + 2 * kAlignment;
    return make_plan(input);
}

template <class T>
void StencilLayers<T>::carve(Arena& arena, const Plan& plan) {
    carve_fixed(arena);
    bundles_.clear();
    for (std::int64_t i = 0; i < plan.blocks_in_flight; ++i) {
        bundles_.push_back(carve_bundle(arena, plan.n_snapshots));
    }
}

template <class T>
void StencilLayers<T>::carve_fixed(Arena& arena) {
    const int n_workers = request_.n_threads;
    coefficients_.emplace(model_, n_workers, arena);
    if (request_.kind == SweepKind::tangent) coefficients_dot_.emplace(model_, n_workers, arena);
    gradients_.clear();
    if (request_.kind == SweepKind::gradient) {
        for (std::int64_t chunk = 0; chunk < n_chunks_; ++chunk) {
            gradients_.emplace_back(model_, tiling_.n_tiles, request_.wants_omega, arena);
        }
    }
}

template <class T>
T* StencilLayers<T>::take_field(Arena& arena) const {
    T* field = arena.take_zeroed<T>(bundle_size_ * stride_);
    return arena.is_measuring() ? nullptr : field + model_.geometry.margin();
}

// Rows of a tile and all that it reads or writes around them; see reverse_tile.
template <class T>
std::int64_t StencilLayers<T>::local_length() const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t margins = 2 * model_.geometry.wide_margin() + kAlignedEntries;
    const std::int64_t extra = 4 * layout.radius() * (tiling_.segment + 1);
    const std::int64_t cells =
        tiling_.is_whole() ? layout.size() : (tiling_.tile_rows + extra) * layout.row_length();
    return round_up(cells + margins, kAlignedEntries);
}

// States of a segment but the first, the source s and two cotangents, the source alone where the
// segment has one layer; or two states to go forward.
template <class T>
std::int64_t StencilLayers<T>::n_local() const {
    const std::int64_t k = tiling_.segment;
    if (request_.kind == SweepKind::gradient) return k > 1 ? k + 3 : 1;
    return k > 1 ? 2 : 0;
}

template <class T>
typename StencilLayers<T>::Bundle StencilLayers<T>::carve_bundle(Arena& arena,
                                                                 std::int64_t n_snapshots) const {
    Bundle bundle;
    const int n_scratch = request_.kind == SweepKind::gradient ? 3 : 2;
    for (int i = 0; i < n_scratch; ++i) bundle.states.scratch[i] = take_field(arena);
    if (request_.kind == SweepKind::tangent) {
        for (T*& field : bundle.tangents) field = take_field(arena);
    }
    if (model_.config.drive()) {
        bundle.drive = take_field(arena);
        if (request_.kind == SweepKind::tangent) bundle.drive_dot = take_field(arena);
        if (request_.wants_input) bundle.drive_bar = take_field(arena);
    }
    if (model_.config.is_normalised()) bundle.sizes = arena.take<double>(segments_.n_layers());
    bundle.tile_sums = arena.take<OrderedSum>(bundle_size_ * tiling_.n_tiles);
    const std::int64_t n_workers = tiling_.is_whole() ? 1 : request_.n_threads;
    bundle.local = arena.take<T*>(n_workers * n_local());
    for (std::int64_t i = 0; i < n_workers * n_local(); ++i) {
        T* field = arena.take_zeroed<T>(bundle_size_ * local_length());
        if (!arena.is_measuring()) bundle.local[i] = field;
    }
    if (request_.kind != SweepKind::gradient) return bundle;
    for (T*& field : bundle.lambda) field = take_field(arena);
    bundle.states.slots = arena.take<T*>(n_snapshots);
    bundle.schedule = arena.take<std::int64_t>(n_snapshots);
    const std::int64_t margin = model_.geometry.margin();
    const Layout& layout = model_.geometry.layout();
    const std::int64_t first_ghost = layout.begin(-layout.overlap());
    for (std::int64_t slot = 0; slot < n_snapshots; ++slot) {
        // Not touched before use: a plan may have room for more than a sweep reaches.
        T* memory = arena.take<T>(bundle_size_ * stride_);
        if (arena.is_measuring()) continue;
        bundle.states.slots[slot] = memory + margin;
        for (int g = 0; g < bundle_size_; ++g) {
            T* field = memory + g * stride_;
            std::fill(field, field + margin + first_ghost, T(0));
            std::fill(field + model_.geometry.field_length() - margin,
                      field + model_.geometry.field_length(), T(0));
        }
    }
    return bundle;
}

template <class T>
Fields<T> StencilLayers<T>::local_fields(const Bundle& bundle, int worker, std::int64_t buffer,
                                         std::int64_t tile) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t lowest =
        tiling_.is_whole() ? -layout.overlap()
                           : tiling_.own(tile).begin - 2 * layout.radius() * (tiling_.segment + 1);
    T* start = bundle.local[worker * n_local() + buffer] + model_.geometry.wide_margin();
    // Flat indices of the field hold, and its aligned entries are aligned here.
    const std::int64_t begin = layout.begin(lowest);
    return {start - begin / kAlignedEntries * kAlignedEntries, local_length()};
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template StencilLayers<T>::StencilLayers(const NetworkConfig&, const SweepRequest&);           \
    template Plan StencilLayers<T>::plan(std::int64_t);                                            \
    template void StencilLayers<T>::carve(Arena&, const Plan&);                                    \
    template Fields<T> StencilLayers<T>::local_fields(const Bundle&, int, std::int64_t,            \
                                                      std::int64_t) const;
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
