// How a field is cut into tiles of rows and its layers into segments: by shape alone, never by
// thread count or budget, since sums over cells follow the tiles.
//
// A tile advances a whole segment of K layers in its own memory. To that end it starts from rows
// beyond its own, r per layer (2 r K in the reverse sweep, which first goes forward again), and
// computes what the neighbouring tiles compute too, to the same bits.
#pragma once

#include <cstdint>

#include "relaxon/network/config.hpp"
#include "relaxon/sweeps/stencil/layer.hpp"

namespace relaxon {

struct Tiling {
    std::int64_t n_rows = 1;
    std::int64_t tile_rows = 1;
    std::int64_t n_tiles = 1;
    std::int64_t segment = 1;  // K

    bool is_whole() const { return n_tiles == 1; }
    Rows own(std::int64_t tile) const {
        const std::int64_t end = (tile + 1) * tile_rows;
        return {tile * tile_rows, end < n_rows ? end : n_rows};
    }
};

// Small fields stay whole and are shared out by samples; large ones are cut.
Tiling choose_tiling(const NetworkConfig& config, int radius, int n_arms, std::int64_t batch,
                     std::int64_t scalar_bytes);

}  // namespace relaxon
