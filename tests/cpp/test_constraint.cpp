// Retractions of coefficients: feasible, the identity on what is feasible, per cell and set.
#include "relaxon/training/constraint.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace relaxon {
namespace {

template <class T>
class ConstraintTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ConstraintTest, Precisions);

// R, U and D of one set behind each other, all cells of the same omega.
Constraint make(ConstraintKind kind, AdrScheme scheme, int ndim, std::int64_t n, double omega) {
    Constraint c;
    c.kind = kind;
    c.scheme = scheme;
    c.ndim = ndim;
    c.n_cells = n;
    c.velocity = n;
    c.diffusion = (1 + ndim) * n;
    c.low.assign(static_cast<std::size_t>(n), omega);
    c.high = c.low;
    return c;
}

TYPED_TEST(ConstraintTest, CutsTheVelocityThenShrinks) {
    using T = TypeParam;
    const Constraint c = make(ConstraintKind::monotone, AdrScheme::central, 1, 3, 0.5);
    std::vector<T> p = {0, T(-1), -5, 3, T(-0.25), 1, 2, 0.25, 1};
    retract(c, p.data());
    // 2 d <= R + 2: the first cell is cut to u = 4, then halved; the last has no room left.
    const std::vector<T> expected = {0, -1, -2, 1.5, -0.25, 0, 1, 0.25, 0};
    for (std::size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(p[i], expected[i], 1e-6) << i;
}

TYPED_TEST(ConstraintTest, StableNumbersEndAtTheirBounds) {
    using T = TypeParam;
    const Constraint c = make(ConstraintKind::stable, AdrScheme::central, 1, 3, 0.5);
    std::vector<T> p = {0, 7, 0, 3, 0.5, -1, 2, 0.25, -1};
    retract(c, p.data());
    const std::vector<T> expected = {0, 7, 0, 2, 0.5, 0, 1, 0.25, 0};
    for (std::size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(p[i], expected[i], 1e-6) << i;
}

TYPED_TEST(ConstraintTest, RetractionsAreIdempotentForEverySchemeAndDimension) {
    using T = TypeParam;
    std::mt19937 random(0);
    std::normal_distribution<double> normal;
    constexpr std::int64_t n = 50;
    for (const ConstraintKind kind : {ConstraintKind::monotone, ConstraintKind::stable}) {
        for (const AdrScheme scheme :
             {AdrScheme::central, AdrScheme::upwind, AdrScheme::lax_wendroff}) {
            for (int ndim = 1; ndim <= 3; ++ndim) {
                Constraint c = make(kind, scheme, ndim, n, 0.9);
                for (auto& omega : c.low) omega *= 0.5;
                const auto size = static_cast<std::size_t>((1 + ndim + ndim * (ndim + 1) / 2) * n);
                std::vector<T> p(size);
                for (T& value : p) value = static_cast<T>(2 * normal(random));
                retract(c, p.data());
                const std::vector<T> once = p;
                retract(c, p.data());
                EXPECT_EQ(p, once);
                for (std::int64_t i = 0; i < n; ++i) {
                    EXPECT_GE(p[static_cast<std::size_t>(c.diffusion + i)], T(0));
                }
            }
        }
    }
}

TYPED_TEST(ConstraintTest, NaNAndCellsThatDoNotExistStay) {
    using T = TypeParam;
    Constraint c = make(ConstraintKind::monotone, AdrScheme::central, 1, 2, 0.5);
    c.high[1] = -1.0;
    const T nan = std::numeric_limits<T>::quiet_NaN();
    std::vector<T> p = {0, -9, nan, 9, 1, -9};
    retract(c, p.data());
    EXPECT_TRUE(std::isnan(p[2]));
    EXPECT_EQ(p[1], T(-9));
    EXPECT_EQ(p[3], T(9));
    EXPECT_EQ(p[5], T(-9));
}

}  // namespace
}  // namespace relaxon
