// Steps of every rule on a few numbers, with and without bounds.
#include "relaxon/training/iterate.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace relaxon {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Two arrays of two numbers; the second is kept.
template <class T>
struct Numbers {
    Numbers() {
        it.offsets = {0, 2, 4};
        it.rates = {0.5, 0.0};
        T** const places[] = {&it.parameters,        &it.gradient, &it.previous,
                              &it.previous_gradient, &it.velocity, &it.square};
        for (std::size_t i = 0; i < 6; ++i) *places[i] = values[i].data();
    }

    void bound(std::vector<T> low, std::vector<T> high) {
        lower = low;
        upper = high;
        it.lower = lower.data();
        it.upper = upper.data();
    }

    std::vector<std::vector<T>> values = {{1, 2, 3, 4},  {4, -2, 5, 6}, {1, 2, 3, 4},
                                          {4, -2, 5, 6}, {0, 0, 0, 0},  {0, 0, 0, 0}};
    std::vector<T> lower, upper;
    Iterate<T> it;
};

template <class T>
class IterateTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(IterateTest, Precisions);

TYPED_TEST(IterateTest, FixedStepsRemember) {
    using T = TypeParam;
    Numbers<T> numbers;
    take_fixed_step(numbers.it, 0.5, 0.25);  // v = -r g / 2
    EXPECT_EQ(numbers.values[0], (std::vector<T>{0, 2.5, 3, 4}));
    take_fixed_step(numbers.it, 1.0, 0.25);  // v = v / 4 - r g
    EXPECT_EQ(numbers.values[0], (std::vector<T>{-2.25, 3.625, 3, 4}));
}

TYPED_TEST(IterateTest, WhereABoundCutsTheVelocityIsTheWayThatWasLeft) {
    using T = TypeParam;
    Numbers<T> numbers;
    numbers.bound({T(0.5), T(-kInfinity), 3, 4}, {T(kInfinity), T(2.25), 3, 4});
    take_fixed_step(numbers.it, 1.0, 0.5);
    EXPECT_EQ(numbers.values[0], (std::vector<T>{0.5, 2.25, 3, 4}));
    EXPECT_EQ(numbers.values[4], (std::vector<T>{-0.5, 0.25, 0, 0}));
}

TYPED_TEST(IterateTest, AdamsFirstStepIsTheRateInTheDirectionOfTheSigns) {
    using T = TypeParam;
    Numbers<T> numbers;
    AdamDecay decay;
    take_adam_step(numbers.it, 0.5, decay, 1);
    const T tolerance = 16 * std::numeric_limits<T>::epsilon();
    EXPECT_NEAR(numbers.values[0][0], 1 - 0.25, tolerance + 1e-8);
    EXPECT_NEAR(numbers.values[0][1], 2 + 0.25, tolerance + 1e-8);
    EXPECT_EQ(numbers.values[0][2], T(3));
    EXPECT_NEAR(numbers.values[4][0], 0.1 * 4, tolerance);
    EXPECT_NEAR(numbers.values[5][0], 0.001 * 16, tolerance);
}

TYPED_TEST(IterateTest, AdamKeepsANumberWithoutGradientAndStaysWithinBounds) {
    using T = TypeParam;
    Numbers<T> numbers;
    numbers.values[1][1] = 0;
    numbers.bound({T(0.875), 2, 3, 4}, {1, 3, 3, 4});
    take_adam_step(numbers.it, 1.0, {}, 1);
    EXPECT_EQ(numbers.values[0], (std::vector<T>{0.875, 2, 3, 4}));
}

TYPED_TEST(IterateTest, GradientStepsStartAtThePreviousPoint) {
    using T = TypeParam;
    Numbers<T> numbers;
    EXPECT_TRUE(take_gradient_step(numbers.it, 0.5));
    EXPECT_EQ(numbers.values[0], (std::vector<T>{0, 2.5, 3, 4}));
    EXPECT_EQ(promised_decrease(numbers.it), 4.0 * 1.0 + 2.0 * 0.5);
    EXPECT_TRUE(take_gradient_step(numbers.it, 0.25));
    EXPECT_EQ(numbers.values[0], (std::vector<T>{0.5, 2.25, 3, 4}));
    EXPECT_FALSE(take_gradient_step(numbers.it, 1e-30));
    numbers.bound({1, 2, 3, 4}, {1, 2, 3, 4});
    EXPECT_FALSE(take_gradient_step(numbers.it, 1.0));
}

TYPED_TEST(IterateTest, NormsLeaveOutWhatIsKeptOrPointsOutOfTheBounds) {
    using T = TypeParam;
    Numbers<T> numbers;
    EXPECT_DOUBLE_EQ(numbers.it.gradient_norm(), std::sqrt(20.0));
    numbers.bound({1, 0, 0, 0}, {5, 5, 5, 5});
    EXPECT_EQ(numbers.it.gradient_norm(), 2.0) << "the first would go down";
    numbers.bound({0, 0, 0, 0}, {1, 2, 5, 5});
    EXPECT_EQ(numbers.it.gradient_norm(), 4.0) << "the second would go up";
}

TYPED_TEST(IterateTest, NaNPassesTheProjection) {
    using T = TypeParam;
    Numbers<T> numbers;
    numbers.bound({0, 0, 0, 0}, {1, 1, 1, 1});
    EXPECT_TRUE(std::isnan(numbers.it.project(0, std::numeric_limits<T>::quiet_NaN())));
}

TYPED_TEST(IterateTest, SecantFactorIsThatOfAQuadratic) {
    using T = TypeParam;
    Numbers<T> numbers;
    // F = 2 p^2: g = 4 p, and the minimum from anywhere is at p - g / 4 = p - t r g.
    numbers.values[2] = {1, 2, 0, 0};
    numbers.values[0] = {0.5, 1, 0, 0};
    for (std::size_t i = 0; i < 2; ++i) {
        numbers.values[3][i] = 4 * numbers.values[2][i];
        numbers.values[1][i] = 4 * numbers.values[0][i];
    }
    EXPECT_DOUBLE_EQ(secant_factor(numbers.it, 1.0), 0.5);
    for (std::size_t i = 0; i < 2; ++i) numbers.values[1][i] = 8 * numbers.values[2][i];
    EXPECT_DOUBLE_EQ(secant_factor(numbers.it, 3.0), 6.0) << "no curvature";
}

}  // namespace
}  // namespace relaxon
