#include "relaxon/sweeps/stencil/tiling.hpp"

#include <gtest/gtest.h>

#include "grids.hpp"
#include "relaxon/operators/stencil/adr.hpp"

namespace relaxon {
namespace {

NetworkConfig config_of(const Shape& shape, bool is_local = false) {
    NetworkConfig config;
    config.grid = make_grid(shape, all_axes(shape, kNeumann, kNeumann));
    config.op = adr(AdrScheme::central, is_local, false);
    config.dynamics = Explicit{100};
    return config;
}

const std::vector<Shape> kLarge{{20000},   {100003},     {300, 60},      {1000, 1000},
                                {9000, 2}, {40, 24, 24}, {128, 128, 16}, {33, 200, 7}};

TEST(Tiling, TilesCoverEveryRowOnce) {
    for (const Shape& shape : kLarge) {
        for (const int radius : {1, 2, 4}) {
            if (shape.size() > 1 && radius > 1) continue;  // wider stencils are one-dimensional
            const Tiling tiling = choose_tiling(config_of(shape), radius, 3, 1, 4);
            // Tiles of a wide stencil need more rows than some of these have.
            if (radius == 1) {
                EXPECT_FALSE(tiling.is_whole()) << shape[0];
            }
            std::int64_t reached = 0;
            for (std::int64_t tile = 0; tile < tiling.n_tiles; ++tile) {
                const Rows own = tiling.own(tile);
                EXPECT_EQ(own.begin, reached);
                EXPECT_LT(own.begin, own.end);
                reached = own.end;
            }
            EXPECT_EQ(reached, shape[0]);
        }
    }
}

// 4 r K rows of a tile are computed twice: at most one in eight.
TEST(Tiling, OverlapStaysSmall) {
    for (const Shape& shape : kLarge) {
        for (const int radius : {1, 2, 4}) {
            for (const bool is_local : {false, true}) {
                const Tiling tiling = choose_tiling(config_of(shape, is_local), radius, 9, 1, 8);
                if (tiling.segment == 1) continue;
                EXPECT_LE(8 * 4 * radius * tiling.segment, tiling.tile_rows) << shape[0];
            }
        }
    }
    EXPECT_GT(choose_tiling(config_of({20000}), 1, 3, 1, 4).segment, 1);
}

TEST(Tiling, SmallFieldsAndManySamplesStayWhole) {
    EXPECT_TRUE(choose_tiling(config_of({256}), 1, 3, 1, 4).is_whole());
    EXPECT_TRUE(choose_tiling(config_of({18, 432}), 1, 9, 1, 8).is_whole());
    EXPECT_TRUE(choose_tiling(config_of({20000}), 1, 3, 64, 4).is_whole());
    EXPECT_FALSE(choose_tiling(config_of({1000, 1000}), 1, 9, 64, 4).is_whole());
}

TEST(Tiling, NormalisationCouplesAllCellsSoSegmentsAreSingleLayers) {
    NetworkConfig config = config_of({20000});
    config.dynamics = Explicit{100, OmegaKind::scalar, 0.1};
    const Tiling tiling = choose_tiling(config, 1, 3, 1, 4);
    EXPECT_FALSE(tiling.is_whole());
    EXPECT_EQ(tiling.segment, 1);
}

TEST(Tiling, SegmentsAreNoLongerThanTheNetwork) {
    NetworkConfig config = config_of({20000});
    config.dynamics = Explicit{3};
    EXPECT_LE(choose_tiling(config, 1, 3, 1, 4).segment, 3);
}

}  // namespace
}  // namespace relaxon
