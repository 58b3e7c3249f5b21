#include "relaxon/loss.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "grids.hpp"

namespace relaxon {
namespace {

template <class T>
class LossTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(LossTest, Precisions);

// Values are multiples of 1 / 8: every sum is exact.
TYPED_TEST(LossTest, IsTheWeightedSumOfSquaresAndItsGradient) {
    using T = TypeParam;
    const std::int64_t n = 1300;
    const std::vector<T> z = coarse_values<T>(n, 1), y = coarse_values<T>(n, 2);
    std::vector<T> weights(n);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<T>(i % 3);
    std::vector<T> lambda(n, T(1));
    double expected = 0.0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        expected += static_cast<double>(weights[i] * (z[i] - y[i]) * (z[i] - y[i]));
    }
    const StateTarget<T> target{y.data(), weights.data(), nullptr, Loss{}};
    EXPECT_EQ(distance(target, z.data(), 0.25, lambda.data(), n).value(), expected);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        EXPECT_EQ(lambda[i], T(1) + T(0.5) * weights[i] * (z[i] - y[i])) << i;
    }
}

// Missing targets may hold anything.
TYPED_TEST(LossTest, DoesNotReadMaskedCellsAndMissingValues) {
    using T = TypeParam;
    const T bad = std::numeric_limits<T>::quiet_NaN();
    const std::vector<T> z(4, T(1)), y{bad, bad, T(3), T(1.5)}, weights{T(0), T(1), T(2), T(4)};
    const std::vector<std::uint8_t> mask{1, 0, 1, 1};
    std::vector<T> lambda(4, T(0));
    const StateTarget<T> target{y.data(), weights.data(), mask.data(), Loss{}};
    EXPECT_EQ(distance(target, z.data(), 1.0, lambda.data(), 4).value(), 2.0 * 4 + 4 * 0.25);
    EXPECT_EQ(lambda, (std::vector<T>{0, 0, -8, -4}));
}

TYPED_TEST(LossTest, PaddedFieldsGiveTheSameAsCompactOnes) {
    using T = TypeParam;
    for (const Shape& shape : {Shape{600}, Shape{7, 9}, Shape{4, 5, 6}}) {
        const auto grid = make_grid(shape, all_axes(shape, kNeumann, kPeriodic), MaskKind::neumann);
        const Layout layout(*grid, 2, 2);
        const std::int64_t n = grid->n_cells();
        const std::vector<T> z = coarse_values<T>(n, 1), y = coarse_values<T>(n, 2);
        std::vector<T> field(static_cast<std::size_t>(layout.size())), lambda(field.size());
        layout.pack({z.data()}, field.data(), 0, layout.n_rows());
        std::vector<T> expected(z.size());
        const StateTarget<T> target{y.data(), nullptr, grid->mask(), Loss{}};
        const double whole = distance(target, z.data(), 1.0, expected.data(), n).value();
        OrderedSum sum;
        for (const Rows rows : {Rows{0, 2}, Rows{2, layout.n_rows()}}) {
            sum.add(distance(layout, target, field.data(), 1.0, lambda.data(), rows));
        }
        EXPECT_EQ(sum.value(), whole);
        EXPECT_EQ(distance(layout, target, field.data(), 1.0, static_cast<T*>(nullptr),
                           {0, layout.n_rows()})
                      .value(),
                  whole);
        std::vector<T> back(z.size());
        layout.unpack(lambda.data(), {back.data()}, 0, layout.n_rows());
        EXPECT_EQ(back, expected);
    }
}

}  // namespace
}  // namespace relaxon
