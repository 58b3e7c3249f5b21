// The padded layout against `resolve`, and the transposes of its fills.
#include "relaxon/grid.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "grids.hpp"
#include "relaxon/array.hpp"
#include "relaxon/error.hpp"

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
class GridTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(GridTest, Precisions);

TYPED_TEST(GridTest, PackKeepsCellsAndZeroesTheMask) {
    using T = TypeParam;
    for_each_grid([](const Grid& grid, int radius, int overlap, const std::string& what) {
        const Layout layout(grid, radius, overlap);
        std::vector<T> cells = coarse_values<T>(grid.n_cells(), 1);
        std::vector<T> field(static_cast<std::size_t>(layout.size()), T(99));
        layout.pack(cells.data(), field.data(), 0, layout.n_rows());
        std::vector<T> back(cells.size(), T(77));
        layout.unpack(field.data(), back.data(), 0, layout.n_rows());
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const bool exists = grid.exists(static_cast<std::int64_t>(i));
            ASSERT_EQ(back[i], exists ? cells[i] : T(0)) << what << ", cell " << i;
        }
    });
}

TYPED_TEST(GridTest, PackOfSomeRowsLeavesTheOthers) {
    using T = TypeParam;
    const auto grid = make_grid({6, 5}, all_axes({6, 5}, kNeumann, kNeumann), MaskKind::neumann);
    const Layout layout(*grid, 1, 1);
    const std::vector<T> cells(30, T(1));
    std::vector<T> field(static_cast<std::size_t>(layout.size()), T(99));
    layout.pack(cells.data(), field.data(), 2, 4);
    std::vector<T> back(30);
    layout.unpack(field.data(), back.data(), 0, 6);
    for (std::int64_t cell = 0; cell < 30; ++cell) {
        const bool is_packed = cell / 5 == 2 || cell / 5 == 3;
        const T packed = grid->exists(cell) ? T(1) : T(0);
        EXPECT_EQ(back[static_cast<std::size_t>(cell)], is_packed ? packed : T(99)) << cell;
    }
}

TYPED_TEST(GridTest, FillGivesEveryGhostItsSource) {
    using T = TypeParam;
    for_each_grid([](const Grid& grid, int radius, int overlap, const std::string& what) {
        const Layout layout(grid, radius, overlap);
        const std::vector<T> cells = coarse_values<T>(grid.n_cells(), 2);
        std::vector<T> field(static_cast<std::size_t>(layout.size()), T(99));
        layout.pack(cells.data(), field.data(), 0, layout.n_rows());
        fill(layout, field);
        const std::int64_t rows = grid.is_periodic(0) ? overlap : radius;
        for_each_position(grid, layout, rows, radius, [&](const auto& position, std::int64_t flat) {
            const GhostSource source = resolve(grid, position);
            T expected = static_cast<T>(source.value);
            if (!source.is_open) {
                const auto cell = static_cast<std::size_t>(source.cell);
                expected = grid.exists(source.cell) ? cells[cell] : T(0);
            }
            ASSERT_EQ(field[static_cast<std::size_t>(flat)], expected)
                << what << ", position " << position[0] << ' ' << position[1] << ' ' << position[2];
        });
    });
}

// Values are multiples of 1 / 8, so both sides of <fill a, b> = <a, fold b> are exact.
TYPED_TEST(GridTest, FoldIsTheTransposeOfFill) {
    using T = TypeParam;
    for_each_grid([](const Grid& given, int radius, int overlap, const std::string& what) {
        const Grid grid = given.with_zero_values();
        const Layout layout(grid, radius, overlap);
        const std::vector<T> a = coarse_values<T>(grid.n_cells(), 3);
        std::vector<T> filled(static_cast<std::size_t>(layout.size()));
        layout.pack(a.data(), filled.data(), 0, layout.n_rows());
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
        layout.unpack(b.data(), folded.data(), 0, layout.n_rows());
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

TYPED_TEST(GridTest, MaskRepeatsInTheGhostRowsOfAPeriodicAxis) {
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

TEST(Grid, RefusesWhatIsNoGrid) {
    const std::vector<Sides> one{{kPeriodic, kPeriodic}};
    EXPECT_THROW(Grid({}, {}, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({0}, one, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({3, 3}, one, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({3}, one, {1, 1}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({std::int64_t{1} << 41}, one, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_NO_THROW(Grid({3}, one, {1, 0, 1}, kNeumann, 1.0));
}

}  // namespace
}  // namespace relaxon
