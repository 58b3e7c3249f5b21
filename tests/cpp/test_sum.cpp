#include "relaxon/base/sum.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "grids.hpp"

namespace relaxon {
namespace {

TEST(OrderedSum, KeepsWhatPlainSummationLoses) {
    OrderedSum sum;
    double plain = 0.0;
    for (const double term : {1.0, 1e100, 1.0, -1e100}) {
        sum.add(term);
        plain += term;
    }
    EXPECT_EQ(sum.value(), 2.0);
    EXPECT_EQ(plain, 0.0);
}

// A million tenths: the plain sum drifts by thousands of ULP.
TEST(OrderedSum, ErrorDoesNotGrowWithTheNumberOfTerms) {
    const int n = 1000000;
    const long double exact = static_cast<long double>(0.1) * n;
    OrderedSum sum;
    double plain = 0.0;
    for (int i = 0; i < n; ++i) {
        sum.add(0.1);
        plain += 0.1;
    }
    const double error = std::abs(static_cast<double>(sum.value() - exact));
    const double plain_error = std::abs(static_cast<double>(plain - exact));
    EXPECT_LE(error, std::nextafter(1e5, 2e5) - 1e5);
    EXPECT_GT(plain_error, 1000 * error);
}

TEST(OrderedSum, PartialSumsAddUpToTheWhole) {
    const std::vector<double> terms = random_values<double>(1000, 5, 0.0, 1e10);
    OrderedSum whole, parts;
    for (std::size_t begin = 0; begin < terms.size(); begin += 100) {
        OrderedSum part;
        for (std::size_t i = begin; i < begin + 100; ++i) part.add(terms[i]);
        parts.add(part);
    }
    for (const double term : terms) whole.add(term);
    EXPECT_NEAR(parts.value(), whole.value(), 1e-15 * std::abs(whole.value()));
}

TEST(OrderedSum, BadNumbersAreSeen) {
    OrderedSum sum;
    sum.add(1.0);
    sum.add(std::nan(""));
    EXPECT_TRUE(std::isnan(sum.value()));
    OrderedSum infinite;
    infinite.add(HUGE_VAL);
    infinite.add(1.0);
    EXPECT_FALSE(std::isfinite(infinite.value()));
}

}  // namespace
}  // namespace relaxon
