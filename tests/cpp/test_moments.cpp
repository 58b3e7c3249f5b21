#include "relaxon/operators/stencil/vandermonde.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "relaxon/base/error.hpp"

namespace relaxon {
namespace {

double vandermonde(std::size_t k, int j) { return std::pow(static_cast<double>(j), k); }

TEST(InverseVandermonde, TimesVandermondeIsTheIdentity) {
    for (int radius = 0; radius <= 4; ++radius) {
        const auto inverse = inverse_vandermonde(radius);
        const auto n = static_cast<std::size_t>(2 * radius + 1);
        ASSERT_EQ(inverse.size(), n);
        for (std::size_t row = 0; row < n; ++row) {
            ASSERT_EQ(inverse[row].size(), n);
            for (std::size_t column = 0; column < n; ++column) {
                const int j = static_cast<int>(column) - radius;
                double sum = 0.0, size = 0.0;
                for (std::size_t k = 0; k < n; ++k) {
                    sum += inverse[row][k] * vandermonde(k, j);
                    size += std::abs(inverse[row][k] * vandermonde(k, j));
                }
                const double epsilon = std::numeric_limits<double>::epsilon();
                EXPECT_NEAR(sum, row == column ? 1.0 : 0.0, 4 * epsilon * size)
                    << "radius " << radius << ", entry " << row << ' ' << column;
            }
        }
    }
}

TEST(InverseVandermonde, HoldsTheWellKnownStencils) {
    const auto three = inverse_vandermonde(1);
    EXPECT_EQ(three, (std::vector<std::vector<double>>{{0, -0.5, 0.5}, {1, 0, -1}, {0, 0.5, 0.5}}));
    // Fourth-order first derivative: (1, -8, 0, 8, -1) / 12.
    const auto five = inverse_vandermonde(2);
    const double expected[] = {1.0 / 12, -8.0 / 12, 0.0, 8.0 / 12, -1.0 / 12};
    for (std::size_t j = 0; j < 5; ++j) EXPECT_EQ(five[j][1], expected[j]) << j;
}

// The condition numbers of section 3 of the numerics; with moments scaled by 1 / k!.
TEST(InverseVandermonde, ConditionNumbersAreThoseOfTheScaledSystem) {
    const double expected[] = {9, 57, 463, 4.1e3};
    for (int radius = 1; radius <= 4; ++radius) {
        const auto inverse = inverse_vandermonde(radius);
        double norm = 0.0, inverse_norm = 0.0;
        for (std::size_t k = 0; k < inverse.size(); ++k) {
            double row = 0.0, inverse_row = 0.0;
            for (int j = -radius; j <= radius; ++j) {
                row += std::abs(vandermonde(k, j)) / std::tgamma(k + 1.0);
            }
            for (std::size_t c = 0; c < inverse.size(); ++c) {
                inverse_row += std::abs(inverse[k][c]) * std::tgamma(c + 1.0);
            }
            norm = std::max(norm, row);
            inverse_norm = std::max(inverse_norm, inverse_row);
        }
        const double found = norm * inverse_norm;
        EXPECT_NEAR(found, expected[radius - 1], 0.02 * expected[radius - 1]) << radius;
    }
}

TEST(InverseVandermonde, RefusesOtherRadii) {
    EXPECT_THROW(inverse_vandermonde(-1), ArgumentError);
    EXPECT_THROW(inverse_vandermonde(5), ArgumentError);
}

}  // namespace
}  // namespace relaxon
