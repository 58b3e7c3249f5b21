#include "relaxon/sweeps/stencil/tiling.hpp"

#include <algorithm>

#include "relaxon/base/array.hpp"

namespace relaxon {

namespace {

constexpr std::int64_t kTileCells = 4096;
// Below this many cells a field stays whole if there are samples enough to share out.
constexpr std::int64_t kWholeCells = 32768;
constexpr std::int64_t kEnoughSamples = 8;
// States and coefficients of a tile: within what is left of the third-level cache to every core, so
// that most networks are one segment, whose layers are evaluated once.
constexpr std::int64_t kTileBytes = std::int64_t{5} << 20;
constexpr std::int64_t kMaxSegment = 128;
// Rows computed twice are at most one in this many.
constexpr std::int64_t kOverlapShare = 8;

}  // namespace

Tiling choose_tiling(const NetworkConfig& config, int radius, int n_arms, std::int64_t batch,
                     std::int64_t scalar_bytes) {
    const std::int64_t n_cells = config.grid->n_cells();
    Tiling tiling;
    tiling.n_rows = config.grid->shape()[0];
    tiling.tile_rows = tiling.n_rows;
    const std::int64_t row_cells = n_cells / tiling.n_rows;
    const bool stays_whole =
        n_cells < 2 * kTileCells || (n_cells < kWholeCells && batch >= kEnoughSamples);
    if (stays_whole || radius == 0) return tiling;

    const std::int64_t rows =
        std::max({(kTileCells + row_cells - 1) / row_cells, 2 * kOverlapShare * radius});
    const std::int64_t n_tiles = std::max<std::int64_t>(tiling.n_rows / rows, 1);
    tiling.tile_rows = (tiling.n_rows + n_tiles - 1) / n_tiles;
    if (row_cells == 1) tiling.tile_rows = round_up(tiling.tile_rows, kAlignedEntries);
    tiling.n_tiles = (tiling.n_rows + tiling.tile_rows - 1) / tiling.tile_rows;
    if (tiling.is_whole() || config.measures_states()) return tiling;

    // Layers of a segment: as many as the overlap (4 r K rows) and the cache allow.
    const std::int64_t n_fields = config.op->is_local() ? 2 * n_arms + 4 : 4;
    for (std::int64_t k = 2; k <= std::min(kMaxSegment, config.depth()); ++k) {
        const std::int64_t slab_rows = tiling.tile_rows + 4 * radius * k;
        const std::int64_t slab_bytes = slab_rows * row_cells * scalar_bytes * (k + n_fields);
        if (4 * radius * k * kOverlapShare > tiling.tile_rows || slab_bytes > kTileBytes) break;
        tiling.segment = k;
    }
    return tiling;
}

}  // namespace relaxon
