// The padded layout against `resolve`, and the transposes of its fills.
#include "relaxon/domain/layout.hpp"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "grids.hpp"
#include "relaxon/base/array.hpp"

namespace relaxon {
namespace {

std::vector<Shape> shapes_of(int ndim) {
    if (ndim == 1) return {{2}, {5}, {19}};
    if (ndim == 2) return {{2, 3}, {5, 4}};
    return {{2, 3, 2}, {3, 4, 5}};
}

// f(grid, radius, overlap, what) for many grids.
template <class F>
void for_each_grid(const F& f) {
    for (int ndim = 1; ndim <= 3; ++ndim) {
        for (const Shape& shape : shapes_of(ndim)) {
            for (const std::vector<Sides>& sides : all_boundaries(ndim)) {
                for (const MaskKind mask : {MaskKind::none, MaskKind::neumann}) {
                    const auto grid = make_grid(shape, sides, mask);
                    for (const int radius : {1, 2}) {
                        for (const int more : {0, 5}) {
                            f(*grid, radius, radius + more,
                              describe(*grid, mask) + ", radius " + std::to_string(radius) +
                                  ", overlap " + std::to_string(radius + more));
                        }
                    }
                }
            }
        }
    }
}

template <class T>
void fill(const Layout& layout, std::vector<T>& field) {
    layout.fill_inner(field.data(), 0, layout.n_rows());
    layout.fill_rows(field.data(), 0);
    layout.fill_rows(field.data(), 1);
}

template <class T>
void fold(const Layout& layout, std::vector<T>& field) {
    layout.fold_inner(field.data(), -layout.radius(), layout.n_rows() + layout.radius());
    layout.fold_rows(field.data(), 0);
    layout.fold_rows(field.data(), 1);
}

template <class T>
class LayoutTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(LayoutTest, Precisions);

TYPED_TEST(LayoutTest, PackKeepsCellsAndZeroesTheMask) {
    using T = TypeParam;
    for_each_grid([](const Grid& grid, int radius, int overlap, const std::string& what) {
        const Layout layout(grid, radius, overlap);
        std::vector<T> cells = coarse_values<T>(grid.n_cells(), 1);
        std::vector<T> field(static_cast<std::size_t>(layout.size()), T(99));
        layout.pack({cells.data()}, field.data(), 0, layout.n_rows());
        std::vector<T> back(cells.size(), T(77));
        layout.unpack(field.data(), {back.data()}, 0, layout.n_rows());
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const bool exists = grid.exists(static_cast<std::int64_t>(i));
            ASSERT_EQ(back[i], exists ? cells[i] : T(0)) << what << ", cell " << i;
        }
    });
}

TYPED_TEST(LayoutTest, PackOfSomeRowsLeavesTheOthers) {
    using T = TypeParam;
    const auto grid = make_grid({6, 5}, all_axes({6, 5}, kNeumann, kNeumann), MaskKind::neumann);
    const Layout layout(*grid, 1, 1);
    const std::vector<T> cells(30, T(1));
    std::vector<T> field(static_cast<std::size_t>(layout.size()), T(99));
    layout.pack({cells.data()}, field.data(), 2, 4);
    std::vector<T> back(30);
    layout.unpack(field.data(), {back.data()}, 0, 6);
    for (std::int64_t cell = 0; cell < 30; ++cell) {
        const bool is_packed = cell / 5 == 2 || cell / 5 == 3;
        const T packed = grid->exists(cell) ? T(1) : T(0);
        EXPECT_EQ(back[static_cast<std::size_t>(cell)], is_packed ? packed : T(99)) << cell;
    }
}

TYPED_TEST(LayoutTest, FillGivesEveryGhostItsSource) {
    using T = TypeParam;
    for_each_grid([](const Grid& grid, int radius, int overlap, const std::string& what) {
        const Layout layout(grid, radius, overlap);
        const std::vector<T> cells = coarse_values<T>(grid.n_cells(), 2);
        std::vector<T> field(static_cast<std::size_t>(layout.size()), T(99));
        layout.pack({cells.data()}, field.data(), 0, layout.n_rows());
        fill(layout, field);
        const std::int64_t rows = grid.is_periodic(0) ? overlap : radius;
        for_each_position(grid, layout, rows, radius, [&](const auto& position, std::int64_t flat) {
            const GhostSource source = resolve(grid, position);
            double expected = source.value;
            if (source.reads_cell() && grid.exists(source.cell)) {
                expected += source.factor * cells[static_cast<std::size_t>(source.cell)];
            }
            ASSERT_EQ(field[static_cast<std::size_t>(flat)], static_cast<T>(expected))
                << what << ", position " << position[0] << ' ' << position[1] << ' ' << position[2];
        });
    });
}

// Values are multiples of 1 / 8, so both sides of <fill a, b> = <a, fold b> are exact.
TYPED_TEST(LayoutTest, FoldIsTheTransposeOfFill) {
    using T = TypeParam;
    for_each_grid([](const Grid& given, int radius, int overlap, const std::string& what) {
        const Grid grid = given.with_zero_values();
        const Layout layout(grid, radius, overlap);
        const std::vector<T> a = coarse_values<T>(grid.n_cells(), 3);
        std::vector<T> filled(static_cast<std::size_t>(layout.size()));
        layout.pack({a.data()}, filled.data(), 0, layout.n_rows());
        fill(layout, filled);
        const std::vector<T> noise = coarse_values<T>(layout.size(), 4);
        std::vector<T> b(noise.size());
        double left = 0.0;
        for_each_position(grid, layout, radius, radius, [&](const auto&, std::int64_t flat) {
            const auto i = static_cast<std::size_t>(flat);
            b[i] = noise[i];
            left += static_cast<double>(filled[i]) * b[i];
        });
        fold(layout, b);
        layout.zero_masked(b.data(), 0, layout.n_rows());
        std::vector<T> folded(a.size());
        layout.unpack(b.data(), {folded.data()}, 0, layout.n_rows());
        double right = 0.0;
        for (std::size_t i = 0; i < a.size(); ++i) right += static_cast<double>(a[i]) * folded[i];
        ASSERT_EQ(left, right) << what;

        // What was given back is gone.
        for_each_position(grid, layout, radius, radius, [&](const auto& at, std::int64_t flat) {
            bool is_ghost = false;
            for (std::size_t axis = 0; axis < grid.shape().size(); ++axis) {
                is_ghost = is_ghost || at[axis] < 0 || at[axis] >= grid.shape()[axis];
            }
            if (is_ghost) {
                ASSERT_EQ(b[static_cast<std::size_t>(flat)], T(0)) << what;
            }
        });
    });
}

// A layout with lanes does to each of its samples what a layout without does to a sample alone.
TYPED_TEST(LayoutTest, LanesAreSamplesSideBySide) {
    using T = TypeParam;
    constexpr std::int64_t n_lanes = 4, n_samples = 3;
    for_each_grid([](const Grid& grid, int radius, int overlap, const std::string& what) {
        const Layout layout(grid, radius, overlap), laned(grid, radius, overlap, n_lanes);
        const std::int64_t n = grid.n_cells();
        const auto field_of = [](const Layout& of) {
            return std::vector<T>(static_cast<std::size_t>(of.size()), T(99));
        };
        const auto work = [&](const Layout& of, Cells<const T> cells, Cells<T> folded) {
            std::vector<T> field = field_of(of), bar = field_of(of);
            of.pack(cells, field.data(), 0, of.n_rows());
            fill(of, field);
            for (std::int64_t i = of.begin(-radius); i < of.begin(of.n_rows() + radius); ++i) {
                const auto k = static_cast<std::size_t>(i);
                bar[k] = field[k] * T(3) + T(1);
            }
            fold(of, bar);
            of.zero_masked(bar.data(), 0, of.n_rows());
            of.unpack(bar.data(), folded, 0, of.n_rows());
            return field;
        };
        const std::vector<T> cells = coarse_values<T>(n_samples * n, 5);
        std::vector<T> folded(cells.size(), T(77)), expected(cells.size());
        const std::vector<T> together =
            work(laned, {cells.data(), n, n_samples}, {folded.data(), n, n_samples});
        for (std::int64_t lane = 0; lane < n_lanes; ++lane) {
            const std::int64_t first = std::min(lane, n_samples - 1) * n;
            const std::vector<T> alone =
                work(layout, {cells.data() + first}, {expected.data() + first});
            for (std::int64_t i = layout.begin(-radius); i < layout.begin(layout.n_rows() + radius);
                 ++i) {
                const std::int64_t entry = laned.begin(0) + (i - layout.begin(0)) * n_lanes + lane;
                ASSERT_EQ(together[static_cast<std::size_t>(entry)],
                          alone[static_cast<std::size_t>(i)])
                    << what << ", lane " << lane << ", entry " << i;
            }
        }
        EXPECT_EQ(folded, expected) << what;
    });
}

TEST(Layout, LanesShareAValueAndCollectTheirSum) {
    const auto grid = make_grid({5}, {{kNeumann, kNeumann}});
    const Layout layout(*grid, 1, 1, 4);
    std::vector<double> field(static_cast<std::size_t>(layout.size()));
    const std::int64_t flat = layout.begin(1);
    std::iota(field.begin() + flat, field.begin() + flat + 3, 5.0);
    layout.spread(field.data(), flat, 3);
    for (std::int64_t i = 0; i < 12; ++i) {
        EXPECT_EQ(field[static_cast<std::size_t>(flat + i)], 5.0 + static_cast<double>(i / 4));
        field[static_cast<std::size_t>(flat + i)] += static_cast<double>(i % 4);
    }
    layout.collect(field.data(), flat, 3);
    for (std::int64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(field[static_cast<std::size_t>(flat + i)],
                  4 * (5.0 + static_cast<double>(i)) + 6);
    }
}

TYPED_TEST(LayoutTest, MaskRepeatsInTheGhostRowsOfAPeriodicAxis) {
    using T = TypeParam;
    for (const Shape& shape : {Shape{5}, Shape{4, 6}, Shape{3, 4, 2}}) {
        const auto grid =
            make_grid(shape, all_axes(shape, kPeriodic, kPeriodic), MaskKind::neumann);
        const std::int64_t overlap = 8;
        const Layout layout(*grid, 1, overlap);
        std::vector<T> field(static_cast<std::size_t>(layout.size()), T(1));
        layout.zero_masked(field.data(), -overlap, layout.n_rows() + overlap);
        for_each_position(*grid, layout, overlap, 0, [&](const auto& at, std::int64_t flat) {
            const GhostSource source = resolve(*grid, at);
            EXPECT_EQ(field[static_cast<std::size_t>(flat)], grid->exists(source.cell) ? 1 : 0);
        });
    }
}

TEST(Layout, ArmsAreConstantOffsetsToTheNeighbour) {
    for (int ndim = 1; ndim <= 3; ++ndim) {
        const Shape shape = shapes_of(ndim).back();
        const auto grid = make_grid(shape, all_axes(shape, kNeumann, kNeumann));
        const Layout layout(*grid, 2, 2);
        std::map<std::array<std::int64_t, 3>, std::int64_t> flat_of;
        std::set<std::int64_t> taken;
        for_each_position(*grid, layout, 2, 2, [&](const auto& position, std::int64_t flat) {
            flat_of[position] = flat;
            EXPECT_TRUE(taken.insert(flat).second) << "two positions share an entry";
            EXPECT_GE(flat, 0);
            EXPECT_LT(flat, layout.size());
        });
        for (const auto& [position, flat] : flat_of) {
            const auto next = flat_of.find({position[0] + 1, position[1], position[2]});
            if (next == flat_of.end()) continue;
            EXPECT_EQ(next->second - flat, layout.offset({1, 0, 0}));
        }
        EXPECT_EQ(layout.begin(0) % kAlignedEntries, 0);
    }
}

TEST(ForEachPeriod, CutsARangeAtTheTurns) {
    for (const std::int64_t origin : {-3, 0, 7}) {
        for (std::int64_t begin = -20; begin < 20; ++begin) {
            std::int64_t reached = begin;
            for_each_period(begin, 20, origin, 5,
                            [&](std::int64_t first, std::int64_t last, std::int64_t shift) {
                                EXPECT_EQ(first, reached);
                                EXPECT_LT(first, last);
                                EXPECT_GE(first - shift, origin);
                                EXPECT_LE(last - shift, origin + 5);
                                EXPECT_EQ(shift % 5, 0);
                                reached = last;
                            });
            EXPECT_EQ(reached, 20);
        }
    }
}

}  // namespace
}  // namespace relaxon
