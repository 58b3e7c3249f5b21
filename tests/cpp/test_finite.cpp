#include "relaxon/base/finite.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace relaxon {
namespace {

template <class T>
class FiniteTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(FiniteTest, Precisions);

TYPED_TEST(FiniteTest, FindsTheFirstOfThemWhereverItIs) {
    using T = TypeParam;
    using Limits = std::numeric_limits<T>;
    const std::int64_t n = 2500;
    for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
        for (const std::size_t at : {0, 1, 1023, 1024, 2047, 2048, 2499}) {
            std::vector<T> values(n, Limits::max());
            values[at] = bad;
            values.back() = bad;
            const FiniteScan<T> scan{values.data(), n, nullptr, 1, nullptr, 1};
            EXPECT_EQ(first_non_finite(scan), static_cast<std::int64_t>(at));
        }
    }
}

TYPED_TEST(FiniteTest, LargestAndSmallestNumbersAreNumbers) {
    using T = TypeParam;
    using Limits = std::numeric_limits<T>;
    const std::vector<T> values{Limits::max(), -Limits::max(), Limits::denorm_min(), T(-0.0)};
    EXPECT_EQ(first_non_finite(FiniteScan<T>{values.data(), 4, nullptr, 1, nullptr, 1}), -1);
    EXPECT_EQ(first_non_finite(FiniteScan<T>{values.data(), 0, nullptr, 1, nullptr, 1}), -1);
}

// Mask and weights of five cells repeat along the values.
TYPED_TEST(FiniteTest, PassesOverMaskedCellsAndMissingValues) {
    using T = TypeParam;
    const T bad = std::numeric_limits<T>::quiet_NaN();
    const bool mask[] = {true, false, true, true, true};
    const T weights[] = {T(1), T(1), T(0), T(2), T(1)};
    std::vector<T> values(3000, T(1));
    FiniteScan<T> scan{values.data(), 3000, mask, 5, weights, 5};
    for (std::size_t i = 0; i < 2000; ++i) {
        if (i % 5 == 1 || i % 5 == 2) values[i] = bad;
    }
    EXPECT_EQ(first_non_finite(scan), -1);
    values[1503] = bad;
    EXPECT_EQ(first_non_finite(scan), 1503);
    scan.mask = nullptr;
    EXPECT_EQ(first_non_finite(scan), 1);
    scan.weights = nullptr;
    scan.mask = mask;
    EXPECT_EQ(first_non_finite(scan), 2);
}

}  // namespace
}  // namespace relaxon
