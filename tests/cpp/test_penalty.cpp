#include "relaxon/training/penalty.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "grids.hpp"

namespace relaxon {
namespace {

template <class T>
class PenaltyTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(PenaltyTest, Precisions);

TYPED_TEST(PenaltyTest, L2SumsSquaresOfExistingCells) {
    using T = TypeParam;
    const Grid grid({4}, {{kNeumann, kNeumann}}, {1, 0, 1, 1}, kNeumann, 1.0);
    const std::vector<T> p{1, 100, 2, 3, -1, 100, 0, 2};
    std::vector<T> bar(8, T(1));
    EXPECT_EQ(l2_penalty(grid, true, 0.5, p.data(), 2, bar.data()), 0.5 * (14 + 5));
    EXPECT_EQ(bar, (std::vector<T>{2, 1, 3, 4, 0, 1, 1, 3}));
    // Plain numbers know no mask.
    std::fill(bar.begin(), bar.end(), T(0));
    EXPECT_EQ(l2_penalty(grid, false, 0.5, p.data(), 3, bar.data()), 0.5 * 10005);
    EXPECT_EQ(bar, (std::vector<T>{1, 100, 2, 0, 0, 0, 0, 0}));
}

TYPED_TEST(PenaltyTest, SmoothnessByHand) {
    using T = TypeParam;
    const std::vector<T> p{1, 3, 3, 0};
    std::vector<T> bar(4, T(0));
    const Grid open({4}, {{kNeumann, dirichlet(5)}}, {}, kNeumann, 1.0);
    EXPECT_EQ(smoothness_penalty(open, 2.0, p.data(), 1, bar.data()), 2.0 * (4 + 0 + 9) / 4);
    EXPECT_EQ(bar, (std::vector<T>{-2, 2, 3, -3}));
    const Grid ring({4}, {{kPeriodic, kPeriodic}}, {}, kNeumann, 1.0);
    EXPECT_EQ(smoothness_penalty(ring, 2.0, p.data(), 1, bar.data()), 2.0 * (4 + 0 + 9 + 1) / 4);
    const Grid masked({4}, {{kPeriodic, kPeriodic}}, {1, 0, 1, 1}, kNeumann, 1.0);
    EXPECT_EQ(smoothness_penalty(masked, 3.0, p.data(), 1, bar.data()), 3.0 * (9 + 1) / 3);
    const std::vector<T> level(4, T(7));
    EXPECT_EQ(smoothness_penalty(ring, 2.0, level.data(), 1, bar.data()), 0.0);
}

// Quadratic forms: F(p + d) - F(p - d) = 2 <F'(p), d> without an error term.
TYPED_TEST(PenaltyTest, GradientsAreThoseOfTheValues) {
    using T = TypeParam;
    for (const Shape& shape : {Shape{9}, Shape{5, 6}, Shape{3, 4, 5}}) {
        for (const Condition side : {kPeriodic, kNeumann}) {
            const auto grid = make_grid(shape, all_axes(shape, side, side), MaskKind::neumann);
            const std::int64_t n = 2 * grid->n_cells();
            const std::vector<T> p = coarse_values<T>(n, 1), d = coarse_values<T>(n, 2);
            std::vector<T> high = p, low = p;
            for (std::size_t i = 0; i < p.size(); ++i) {
                high[i] += d[i];
                low[i] -= d[i];
            }
            for (const bool is_smoothness : {false, true}) {
                const auto value = [&](const std::vector<T>& at, std::vector<T>& bar) {
                    bar.assign(at.size(), T(0));
                    if (is_smoothness) {
                        return smoothness_penalty(*grid, 0.5, at.data(), 2, bar.data());
                    }
                    return l2_penalty(*grid, true, 0.5, at.data(), 2, bar.data());
                };
                std::vector<T> bar, unused;
                value(p, bar);
                double slope = 0.0;
                for (std::size_t i = 0; i < p.size(); ++i) {
                    slope += static_cast<double>(bar[i]) * d[i];
                }
                const double difference = (value(high, unused) - value(low, unused)) / 2;
                const double epsilon = std::numeric_limits<T>::epsilon();
                EXPECT_NEAR(slope, difference, 64 * epsilon * value(high, unused)) << shape.size();
            }
        }
    }
}

}  // namespace
}  // namespace relaxon
