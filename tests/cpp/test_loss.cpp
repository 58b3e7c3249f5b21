#include "relaxon/pointwise/loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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

// Against the formulas in long double, on residuals below, at and beyond the scale.
TYPED_TEST(LossTest, AbsoluteAndHuberDistanceFollowTheirFormulas) {
    using T = TypeParam;
    const long double scale = 0.5L;
    const std::vector<T> z{T(0), T(1e-4), T(-0.25), T(0.5), T(-0.5), T(0.75), T(-40), T(3e4)};
    const std::vector<T> y(z.size(), T(0)), weights(z.size(), T(2));
    const double epsilon = std::numeric_limits<T>::epsilon();
    for (const LossKind kind : {LossKind::absolute, LossKind::huber}) {
        for (std::size_t i = 0; i < z.size(); ++i) {
            const long double r = z[i], size = std::fabs(r);
            const bool is_small = size <= scale;
            const long double root = std::sqrt(r * r + scale * scale);
            const long double value = kind == LossKind::absolute
                                          ? r * r / (root + scale)
                                          : (is_small ? r * r / 2 : scale * (size - scale / 2));
            const long double slope =
                kind == LossKind::absolute ? r / root : (is_small ? r : std::copysign(scale, r));
            T lambda = T(1);
            const StateTarget<T> target{y.data(), weights.data(), nullptr,
                                        Loss{kind, static_cast<double>(scale)}};
            const double found = distance(target, &z[i], 0.25, &lambda, 1).value();
            EXPECT_NEAR(found, static_cast<double>(2 * value),
                        4 * epsilon * static_cast<double>(2 * value));
            EXPECT_NEAR(lambda, static_cast<double>(1 + slope / 2), 4 * epsilon);
        }
    }
}

// By central differences, away from the places where a formula changes.
TEST(LossTable, SlopesAreThoseOfTheValues) {
    const double step = 1e-5, weight = 3.0, y = 0.0;
    for (const LossKind kind : kDistances) {
        const StateTarget<double> target{&y, &weight, nullptr, Loss{kind, 0.5}};
        const auto value = [&](double z) {
            return distance(target, &z, 1.0, static_cast<double*>(nullptr), 1).value();
        };
        EXPECT_EQ(value(0.0), 0.0) << static_cast<int>(kind);
        for (const double z : {-4.0, -0.7, -0.2, -0.01, 0.0, 0.02, 0.3, 0.9, 6.0}) {
            double lambda = 1.0;
            distance(target, &z, 0.25, &lambda, 1);
            EXPECT_GE(value(z), 0.0) << static_cast<int>(kind);
            EXPECT_NEAR((lambda - 1.0) / 0.25, (value(z + step) - value(z - step)) / (2 * step),
                        1e-7)
                << static_cast<int>(kind) << " at " << z;
        }
    }
}

TYPED_TEST(LossTest, CrossEntropyIsThatOfTheSoftmaxAndDoesNotOverflow) {
    using T = TypeParam;
    const std::vector<std::vector<T>> outputs{
        {T(0.5), T(-1), T(2)}, {T(3e4), T(-3e4), T(2.9e4)}, {T(7)}, {T(0), T(0), T(0), T(0)}};
    const double epsilon = std::numeric_limits<T>::epsilon();
    for (const std::vector<T>& z : outputs) {
        const auto n = static_cast<std::int64_t>(z.size());
        const long double largest = *std::max_element(z.begin(), z.end());
        long double total = 0;
        for (const T value : z) total += std::exp(value - largest);
        for (std::int64_t label = 0; label < n; ++label) {
            std::vector<T> lambda(z.size());
            const double found = cross_entropy(z.data(), label, 3.0, lambda.data(), n);
            const auto at = static_cast<std::size_t>(label);
            const auto expected = static_cast<double>(std::log(total) + largest - z[at]);
            EXPECT_NEAR(found, expected, 4 * epsilon * (1 + expected));
            for (std::size_t k = 0; k < z.size(); ++k) {
                const long double share = std::exp(z[k] - largest) / total;
                EXPECT_NEAR(lambda[k], static_cast<double>(3 * (share - (k == at ? 1 : 0))),
                            8 * epsilon);
            }
            EXPECT_EQ(cross_entropy(z.data(), label, 3.0, static_cast<T*>(nullptr), n), found);
        }
    }
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
