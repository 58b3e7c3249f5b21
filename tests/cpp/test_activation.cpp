// Values and derivatives of all activations against long double, and the promises of the header:
// the same bits wherever an element lies, left derivatives at kinks, limits at infinities.
#include "relaxon/pointwise/activation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "activation_reference.hpp"

namespace relaxon {
namespace {

using Reference = long double;

void add_neighbours(double x, int n, std::vector<double>& points) {
    double low = x;
    double high = x;
    points.push_back(x);
    for (int i = 0; i < n; ++i) {
        low = std::nextafter(low, -INFINITY);
        high = std::nextafter(high, INFINITY);
        points.insert(points.end(), {low, high});
    }
}

// Every 4093rd (a prime) bit pattern.
std::vector<float> sample(float) {
    std::vector<float> points;
    for (std::uint64_t bits = 0; bits < (std::uint64_t(1) << 32); bits += 4093) {
        const auto pattern = static_cast<std::uint32_t>(bits);
        float x;
        std::memcpy(&x, &pattern, sizeof x);
        if (std::isfinite(x)) points.push_back(x);
    }
    return points;
}

// All binades, the range where something happens, and the places where code changes its mind: the
// boundaries (k + 1/2) ln 2 of the argument reduction, and where results saturate or underflow.
std::vector<double> sample(double) {
    std::vector<double> points;
    std::mt19937_64 random(20250601);
    std::uniform_real_distribution<double> mantissa(1.0, 2.0);
    std::uniform_int_distribution<int> exponent(-1074, 1023);
    for (int i = 0; i < 100'000; ++i) {
        const double x = std::ldexp(mantissa(random), exponent(random));
        points.insert(points.end(), {x, -x});
    }
    for (const double range : {1e-3, 0.5, 3.0, 20.0, 60.0, 800.0}) {
        std::uniform_real_distribution<double> uniform(-range, range);
        for (int i = 0; i < 100'000; ++i) points.push_back(uniform(random));
    }
    for (int k = -1090; k <= 1090; ++k) {
        add_neighbours((k + 0.5) * std::log(2.0), 8, points);
        add_neighbours((k + 0.5) * std::log(2.0) / 2, 8, points);
    }
    for (const double x : {0.0, 1.0, 18.02, 18.7149738751, 19.0615474654, 20.0, 36.04, 37.5, 38.5,
                           40.0, 708.396418532, 744.4400719, 745.1332191, 751.75, 752.0}) {
        add_neighbours(x, 100, points);
        add_neighbours(-x, 100, points);
    }
    return points;
}

template <class T>
class ActivationTest : public testing::Test {};

using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ActivationTest, Precisions);

TYPED_TEST(ActivationTest, IsAsAccurateAsStated) {
    using T = TypeParam;
    constexpr std::size_t precision = sizeof(T) / 8;
    const std::vector<T> points = sample(T());
    std::vector<T> f(points.size());
    std::vector<T> derivative(points.size());
    for (const Activation kind : kActivations) {
        const Bound bound = bound_of(kind);
        activate_with_derivative(kind, points.data(), f.data(), derivative.data(), points.size());
        Reference worst = 0;
        Reference worst_slope = 0;
        T at = 0;
        T at_slope = 0;
        for (std::size_t i = 0; i < points.size(); ++i) {
            const Exact<Reference> expected = exact<Reference>(kind, points[i]);
            const Reference error = error_in_ulp(f[i], expected.f);
            if (error > worst) {
                worst = error;
                at = points[i];
            }
            const Reference slope_error =
                derivative_error(kind, derivative[i], expected.derivative);
            if (!(slope_error <= worst_slope)) {
                worst_slope = slope_error;
                at_slope = points[i];
            }
        }
        testing::Test::RecordProperty(std::string(name(kind)) + "_ulp",
                                      std::to_string(double(worst)));
        testing::Test::RecordProperty(std::string(name(kind)) + "_derivative",
                                      std::to_string(double(worst_slope)));
        EXPECT_LE(worst, bound.ulp[precision]) << name(kind) << " at " << at;
        EXPECT_LE(worst_slope, bound.derivative[precision])
            << "derivative of " << name(kind) << " at " << at_slope;
    }
}

template <class T>
std::vector<T> mixed_values(std::size_t n) {
    std::vector<T> values(n);
    std::mt19937 random(7);
    std::normal_distribution<double> normal(0.0, 4.0);
    for (T& value : values) value = static_cast<T>(normal(random));
    const T special[] = {T(0),
                         -T(0),
                         std::numeric_limits<T>::infinity(),
                         -std::numeric_limits<T>::infinity(),
                         std::numeric_limits<T>::denorm_min(),
                         T(1),
                         T(-1),
                         T(-104),
                         T(-745)};
    for (std::size_t i = 0; i < std::size(special) && 7 * i < n; ++i) values[7 * i] = special[i];
    return values;
}

template <class T>
bool same_bits(const T* a, const T* b, std::size_t n) {
    return n == 0 || std::memcmp(a, b, n * sizeof(T)) == 0;
}

TYPED_TEST(ActivationTest, HasTheSameBitsWhereverARangeStartsAndEnds) {
    using T = TypeParam;
    constexpr std::size_t n_most = 70;
    constexpr std::size_t n_offsets = 17;
    const std::vector<T> pre = mixed_values<T>(n_most + n_offsets);
    for (const Activation kind : kActivations) {
        std::vector<T> f(pre.size());
        std::vector<T> derivative(pre.size());
        activate_with_derivative(kind, pre.data(), f.data(), derivative.data(), pre.size());
        for (std::size_t n = 0; n <= n_most; ++n) {
            for (std::size_t offset = 0; offset < n_offsets; ++offset) {
                const std::vector<T> part(pre.begin() + offset, pre.begin() + offset + n);
                std::vector<T> f_part(n);
                std::vector<T> f_only(n);
                std::vector<T> derivative_part(n);
                activate_with_derivative(kind, part.data(), f_part.data(), derivative_part.data(),
                                         n);
                activate(kind, part.data(), f_only.data(), n);
                ASSERT_TRUE(same_bits(f_part.data(), f.data() + offset, n))
                    << name(kind) << " n " << n << " offset " << offset;
                ASSERT_TRUE(same_bits(f_only.data(), f.data() + offset, n))
                    << name(kind) << " n " << n << " offset " << offset;
                ASSERT_TRUE(same_bits(derivative_part.data(), derivative.data() + offset, n))
                    << name(kind) << " n " << n << " offset " << offset;
            }
        }
    }
}

TYPED_TEST(ActivationTest, GivesTheSameValueWithAndWithoutItsDerivative) {
    using T = TypeParam;
    const std::vector<T> all = sample(T());
    std::vector<T> points;
    for (std::size_t i = 0; i < all.size(); i += 5) points.push_back(all[i]);
    std::vector<T> f(points.size());
    std::vector<T> f_only(points.size());
    std::vector<T> derivative(points.size());
    for (const Activation kind : kActivations) {
        activate_with_derivative(kind, points.data(), f.data(), derivative.data(), points.size());
        activate(kind, points.data(), f_only.data(), points.size());
        EXPECT_TRUE(same_bits(f.data(), f_only.data(), points.size())) << name(kind);
    }
}

TYPED_TEST(ActivationTest, MayOverwriteItsInput) {
    using T = TypeParam;
    const std::vector<T> pre = mixed_values<T>(67);
    for (const Activation kind : kActivations) {
        std::vector<T> f(pre.size());
        std::vector<T> derivative(pre.size());
        activate_with_derivative(kind, pre.data(), f.data(), derivative.data(), pre.size());
        std::vector<T> in_place = pre;
        activate(kind, in_place.data(), in_place.data(), pre.size());
        EXPECT_TRUE(same_bits(in_place.data(), f.data(), pre.size())) << name(kind);
        in_place = pre;
        std::vector<T> derivative_in_place(pre.size());
        activate_with_derivative(kind, in_place.data(), in_place.data(), derivative_in_place.data(),
                                 pre.size());
        EXPECT_TRUE(same_bits(in_place.data(), f.data(), pre.size())) << name(kind);
        EXPECT_TRUE(same_bits(derivative_in_place.data(), derivative.data(), pre.size()))
            << name(kind);
    }
}

TYPED_TEST(ActivationTest, WritesNothingBeyondItsRange) {
    using T = TypeParam;
    for (const Activation kind : kActivations) {
        for (std::size_t n = 0; n < 40; ++n) {
            const std::vector<T> pre(n, T(0.5));
            std::vector<T> f(n + 1, T(99));
            std::vector<T> derivative(n + 1, T(99));
            activate_with_derivative(kind, pre.data(), f.data(), derivative.data(), n);
            EXPECT_EQ(f[n], T(99)) << name(kind);
            EXPECT_EQ(derivative[n], T(99)) << name(kind);
        }
    }
}

template <class T>
struct Point {
    T f;
    T derivative;
};

template <class T>
Point<T> at(Activation kind, T x) {
    Point<T> point;
    activate_with_derivative(kind, &x, &point.f, &point.derivative, 1);
    return point;
}

TYPED_TEST(ActivationTest, TakesLeftDerivativesAtKinks) {
    using T = TypeParam;
    const T tiny = std::numeric_limits<T>::denorm_min();
    for (const T zero : {T(0), -T(0)}) {
        EXPECT_EQ(at(Activation::relu, zero).derivative, T(0));
        EXPECT_EQ(at(Activation::leaky_relu, zero).derivative, T(0.01));
    }
    EXPECT_EQ(at(Activation::relu, tiny).derivative, T(1));
    EXPECT_EQ(at(Activation::leaky_relu, tiny).derivative, T(1));
    EXPECT_EQ(at(Activation::hard_tanh, T(-1)).derivative, T(0));
    EXPECT_EQ(at(Activation::hard_tanh, std::nextafter(T(-1), T(0))).derivative, T(1));
    EXPECT_EQ(at(Activation::hard_tanh, T(1)).derivative, T(1));
    EXPECT_EQ(at(Activation::hard_tanh, std::nextafter(T(1), T(2))).derivative, T(0));
}

TYPED_TEST(ActivationTest, HasItsLimitsAtInfinities) {
    using T = TypeParam;
    const T inf = std::numeric_limits<T>::infinity();
    const struct {
        Activation kind;
        Point<T> low;
        Point<T> high;
    } limits[] = {{Activation::identity, {-inf, 1}, {inf, 1}},
                  {Activation::tanh, {-1, 0}, {1, 0}},
                  {Activation::logistic, {0, 0}, {1, 0}},
                  {Activation::relu, {0, 0}, {inf, 1}},
                  {Activation::leaky_relu, {-inf, T(0.01)}, {inf, 1}},
                  {Activation::softplus, {0, 0}, {inf, 1}},
                  {Activation::silu, {0, 0}, {inf, 1}},
                  {Activation::gelu, {0, 0}, {inf, 1}},
                  {Activation::square, {inf, -inf}, {inf, inf}},
                  {Activation::hard_tanh, {-1, 0}, {1, 0}}};
    for (const auto& limit : limits) {
        EXPECT_EQ(at(limit.kind, -inf).f, limit.low.f) << name(limit.kind);
        EXPECT_EQ(at(limit.kind, -inf).derivative, limit.low.derivative) << name(limit.kind);
        EXPECT_EQ(at(limit.kind, inf).f, limit.high.f) << name(limit.kind);
        EXPECT_EQ(at(limit.kind, inf).derivative, limit.high.derivative) << name(limit.kind);
    }
    EXPECT_TRUE(std::isnan(at(Activation::sin, inf).f));
}

TYPED_TEST(ActivationTest, LetsNanThrough) {
    using T = TypeParam;
    const T nan = std::numeric_limits<T>::quiet_NaN();
    for (const Activation kind : kActivations) {
        EXPECT_TRUE(std::isnan(at(kind, nan).f)) << name(kind);
    }
    for (const Activation kind : {Activation::tanh, Activation::logistic, Activation::softplus,
                                  Activation::silu, Activation::gelu, Activation::sin}) {
        EXPECT_TRUE(std::isnan(at(kind, nan).derivative)) << name(kind);
    }
}

TYPED_TEST(ActivationTest, KeepsTinyArgumentsAndTheSignOfZero) {
    using T = TypeParam;
    for (const T tiny : {std::numeric_limits<T>::denorm_min(), std::numeric_limits<T>::min(),
                         3 * std::numeric_limits<T>::denorm_min()}) {
        for (const Activation kind : {Activation::tanh, Activation::sin, Activation::hard_tanh}) {
            EXPECT_EQ(at(kind, tiny).f, tiny) << name(kind);
            EXPECT_EQ(at(kind, -tiny).f, -tiny) << name(kind);
        }
    }
    for (const Activation kind : {Activation::tanh, Activation::sin, Activation::silu}) {
        EXPECT_FALSE(std::signbit(at(kind, T(0)).f)) << name(kind);
        EXPECT_TRUE(std::signbit(at(kind, -T(0)).f)) << name(kind);
    }
}

TYPED_TEST(ActivationTest, IsOddWhereTheFunctionIs) {
    using T = TypeParam;
    const std::vector<T> points = mixed_values<T>(500);
    for (const Activation kind : {Activation::tanh, Activation::sin, Activation::hard_tanh}) {
        for (const T x : points) {
            if (!std::isfinite(x)) continue;
            EXPECT_EQ(at(kind, -x).f, -at(kind, x).f) << name(kind) << " at " << x;
            EXPECT_EQ(at(kind, -x).derivative, kind == Activation::hard_tanh && std::abs(x) == 1
                                                   ? T(x == 1 ? 0 : 1)
                                                   : at(kind, x).derivative)
                << name(kind) << " at " << x;
        }
    }
}

TEST(ActivationNames, ReadBack) {
    for (const Activation expected : kActivations) {
        Activation kind = expected == Activation::sin ? Activation::tanh : Activation::sin;
        EXPECT_TRUE(parse(name(expected), kind));
        EXPECT_EQ(kind, expected);
    }
}

TEST(ActivationNames, RefuseAnythingElse) {
    for (const char* text : {"", "Tanh", "tanh ", "sigmoid", "leaky-relu"}) {
        Activation kind = Activation::sin;
        EXPECT_FALSE(parse(text, kind)) << text;
        EXPECT_EQ(kind, Activation::sin);
    }
}

TEST(ActivationSlope, StaysWithinItsRangeAndFillsIt) {
    for (const Activation kind : kActivations) {
        const SlopeRange range = slope_range(kind);
        double least = slope_at_zero(kind), largest = least;
        for (double x = -20.0; x <= 20.0; x += 1e-3) {
            const double slope = static_cast<double>(exact<long double>(kind, x).derivative);
            least = std::min(least, slope);
            largest = std::max(largest, slope);
        }
        EXPECT_LE(range.low, least) << name(kind);
        EXPECT_GE(range.high, largest) << name(kind);
        if (kind == Activation::square) {
            EXPECT_TRUE(std::isinf(range.low) && std::isinf(range.high));
        } else {
            EXPECT_LE(least - range.low + range.high - largest, 1e-6) << name(kind);
        }
    }
}

TEST(ActivationSlope, IsTheDerivativeAtZero) {
    for (const Activation kind : kActivations) {
        EXPECT_EQ(slope_at_zero(kind), at(kind, 0.0).derivative) << name(kind);
    }
}

}  // namespace
}  // namespace relaxon
