// gelu(x) = x Phi(x), Phi the normal distribution function, on packs of double.
//
//   a = |x|,  E = exp(-a^2 / 2),  Phi(-a) = E Q,  Q = P(t) / (a + 5/4),  t = (a - 5) / (a + 5)
//   gelu(x) = max(x, 0) - a E Q;   gelu'(x) = p or 1 - p,  p = E (Q - a / sqrt(2 pi))
//
// P is smooth and between 0.39 and 0.59 on the whole half line, as Q decays like 1 / a. E
// multiplies an error of a^2 / 2 by itself, 760 at the end, so the square is taken with its
// rounding error. Two divisions and one exponential. Below 2 ULP.
#pragma once

#include <cstdint>

#include "relaxon/base/simd.hpp"
#include "relaxon/pointwise/activation_exponential.hpp"

namespace relaxon {

struct Gelu {
    // Beyond, E is below the smallest number.
    static constexpr double kLargest = 39.0;
    static constexpr double kCentre = 5.0;
    static constexpr double kInverseRootTwoPi = 0x1.9884533d43651p-2;
    // Interpolation at 88 Chebyshev nodes of t in [-1, t(39)], relative error 2e-17; the first
    // coefficient in two parts.
    static constexpr double kP0 = 0x1.ec4896da77b19p-2;
    static constexpr double kP0Low = 0x1.3cdfbe7017d24p-56;
    static constexpr double kP[] = {
        -0x1.04f3080b418b3p-3,  0x1.ebe8e26b67175p-5,   -0x1.4ed7f8c39da54p-7,
        -0x1.d9140d6f7721bp-7,  0x1.321c3a9d86d17p-6,   -0x1.a77265b3b3f1ap-7,
        0x1.84736ad8c8345p-8,   -0x1.a8fbdc81d2318p-10, 0x1.5af5d9b733411p-15,
        0x1.5eb37fac3d953p-13,  -0x1.bfae3b1bfa906p-15, -0x1.1455b186ccb73p-17,
        0x1.2562e58232f80p-17,  -0x1.fe49b9d7e2a82p-23, -0x1.4f442de566272p-20,
        0x1.34fc025c575b3p-23,  0x1.95a11c87e1ae5p-23,  -0x1.a7f2820d7f1f5p-26,
        -0x1.0586ea4d95c26p-25, 0x1.d3dee29ea0499p-31,  0x1.06c76b4a6e55ap-28,
        0x1.7891ae82ecd63p-31};

    [[gnu::always_inline]] static Evaluated<double> evaluate(Pack<double> x) {
        using V = Pack<double>;
        const V a = min(broadcast(kLargest), abs(x));
        // square + square_low = a^2. Products of halves are exact.
        const V a_high = high_half(a);
        const V a_low = a - a_high;
        const V square = a * a;
        const V square_low = ((a_high * a_high - square) + 2.0 * a_high * a_low) + a_low * a_low;
        const exponential::Split<double> e =
            exponential::split_exp<double>(max(broadcast(kLowest), -0.5 * square));
        const V lost = e.lost - 0.5 * square_low * e.lead;

        const V t = (a - kCentre) / (a + kCentre);
        const V slope = t * exponential::polynomial(kP, t) + kP0Low;
        const V p = kP0 + slope;
        const V p_low = (kP0 - p) + slope;
        const V larger = max(broadcast(1.25), a), smaller = min(broadcast(1.25), a);
        const V denominator = larger + smaller;
        const V denominator_low = smaller - (denominator - larger);
        const V reciprocal = 1.0 / denominator;
        // q + q_low = P / (a + 5/4), the difference below exact.
        const V q = high_half(p * reciprocal);
        const V denominator_high = high_half(denominator);
        const V rest = (p - q * denominator_high) - q * (denominator - denominator_high);
        const V q_low = (rest + (p_low - q * denominator_low)) * reciprocal;
        const V lead_high = high_half(e.lead);
        const V tail = (e.lead - lead_high) * q + (e.lead * q_low + lost * q);
        const V product = lead_high * q + tail;
        const V product_low = (lead_high * q - product) + tail;
        const V below = a * product + a * product_low;
        const V f = max(broadcast(0.0), x) - below * e.scale;
        const V part = (e.lead * ((q + q_low) - kInverseRootTwoPi * a)) * e.scale;
        return {f, select(x > 0.0, 1.0 - part, part)};
    }

private:
    // The upper 26 digits.
    [[gnu::always_inline]] static Pack<double> high_half(Pack<double> x) {
        return bit_cast<Pack<double>>(bit_cast<BitPack<double>>(x) & (~std::uint64_t{0} << 27));
    }

    static constexpr double kLowest = exponential::Constants<double>::kLowest;
};

}  // namespace relaxon
