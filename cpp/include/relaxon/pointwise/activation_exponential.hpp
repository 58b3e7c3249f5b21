// The exponential on [-inf, 0] over packs, and the four activations made of it.
//
//   x = k ln 2 + r, |r| <= ln 2 / 2;   exp(x) = 2^k (1 + r + t),   t = r^2 q(r)
//
//   tanh      sign(x) d / (2 - d),  d = 1 - exp(-2 |x|)
//   logistic  e / (1 + e) for x < 0, else 1 - e / (1 + e),   e = exp(-|x|)
//   softplus  max(x, 0) + log1p(e)
//   silu      max(x, 0) - |x| e / (1 + e)
//
// One division each (softplus with its derivative two), no branch, no table. Arguments are never
// positive, so nothing overflows, and d loses no digits for small |x|. Sums that matter are kept
// with what rounding takes from them, and quotients are corrected by their residual, which also
// takes back the rounding of the denominator: below 1 ULP in all four, 1.3 on processors without
// fused multiply-adds. That costs 8 % of a gradient with local coefficients, beside 2 ULP (GCC 12,
// EPYC 9004, November 2026).
#pragma once

#include <cstddef>
#include <cstdint>

#include "relaxon/base/simd.hpp"

namespace relaxon {

// An activation and its derivative at one pack.
template <class T>
struct Evaluated {
    Pack<T> f;
    Pack<T> derivative;
};

namespace exponential {

// ln 2 is split so that k times its high part is exact for all k that occur.
// q: interpolation at Chebyshev nodes of [-ln 2 / 2, ln 2 / 2], with q_0 = 1/2.
// log: log1p(e) = 2 s + s v P(v), s = e / (2 + e), v = s^2 in [0, 1/9], by Remez.
template <class T>
struct Constants;

template <>
struct Constants<double> {
    static constexpr int kMantissaBits = 52;
    static constexpr int kBias = 1023;
    // exp(x) and x exp(x) round to zero from here on.
    static constexpr double kLowest = -752.0;
    // tanh(x) rounds to 1 where -2 x is less.
    static constexpr double kLowestTanh = -40.0;
    static constexpr double kLog2e = 0x1.71547652b82fep+0;
    static constexpr double kLn2High = 0x1.62e42fefa3800p-1;
    static constexpr double kLn2Low = 0x1.ef35793c76730p-45;
    // Relative error of r + t 8.4e-19.
    static constexpr double kQ[] = {
        0x1.0000000000000p-1,  0x1.5555555555557p-3,  0x1.5555555555557p-5,  0x1.11111111100dbp-7,
        0x1.6c16c16c15a68p-10, 0x1.a01a01abe824dp-13, 0x1.a01a01a9e9aaep-16, 0x1.71de02312a642p-19,
        0x1.27e4d4192b23bp-22, 0x1.af4dea43cc39ep-26, 0x1.1f7f27da618f1p-29};
    // Relative error of log1p 1.3e-18.
    static constexpr double kLog[] = {
        0x1.5555555555535p-1, 0x1.99999999a074ep-2, 0x1.249249208c70bp-2, 0x1.c71c741c67481p-3,
        0x1.745cb401b80cdp-3, 0x1.3b1ddb5194884p-3, 0x1.1067c68ceea77p-3, 0x1.efd839a4dd3ccp-4,
        0x1.55b13f4e094bbp-4, 0x1.5c78db275f7efp-3};
};

template <>
struct Constants<float> {
    static constexpr int kMantissaBits = 23;
    static constexpr int kBias = 127;
    static constexpr float kLowest = -109.0F;
    static constexpr float kLowestTanh = -20.0F;
    static constexpr float kLog2e = 0x1.715476p+0F;
    static constexpr float kLn2High = 0x1.62e400p-1F;
    static constexpr float kLn2Low = 0x1.7f7d1cp-20F;
    // Relative error of r + t 1.6e-9.
    static constexpr float kQ[] = {0x1.000000p-1F, 0x1.555556p-3F,  0x1.5554eap-5F,
                                   0x1.1110c6p-7F, 0x1.6d4328p-10F, 0x1.a1517cp-13F};
    // Relative error of log1p 4.5e-9.
    static constexpr float kLog[] = {0x1.555502p-1F, 0x1.99d1ccp-2F, 0x1.1ec040p-2F,
                                     0x1.1eca30p-2F};
};

// Even and odd powers apart: two chains of half the length keep the multipliers busy.
template <class T, std::size_t N>
[[gnu::always_inline]] inline Pack<T> polynomial(const T (&c)[N], Pack<T> x) {
    const Pack<T> square = x * x;
    constexpr std::size_t even_top = (N - 1) / 2 * 2;
    constexpr std::size_t odd_top = N / 2 * 2 - 1;
    Pack<T> even = broadcast(c[even_top]);
    for (std::size_t k = even_top; k > 0; k -= 2) even = even * square + broadcast(c[k - 2]);
    Pack<T> odd = broadcast(c[odd_top]);
    for (std::size_t k = odd_top; k > 1; k -= 2) odd = odd * square + broadcast(c[k - 2]);
    return odd * x + even;
}

// exp(x) = 2^k (high + low), high rounded from 1 + r, low all that is missing.
template <class T>
struct Reduced {
    Pack<T> high, low;
    BitPack<T> exponent;  // k + 2 bias in the low bits (mantissa bits + 1 of them at least)
};

// kLowest <= x <= 0, or NaN, which high and low inherit.
template <class T>
[[gnu::always_inline]] inline Reduced<T> reduce(Pack<T> x) {
    using C = Constants<T>;
    // Added, it rounds to an integer and leaves that in the low bits of the sum.
    constexpr T round = T(3) * T(std::uint64_t(1) << (C::kMantissaBits - 1)) + T(2 * C::kBias);
    const Pack<T> shifted = x * C::kLog2e + round;
    const Pack<T> k = shifted - round;
    // r = rough - k ln2Low, rough exact: t can do with r rounded, 1 + r cannot.
    const Pack<T> rough = x - k * C::kLn2High;
    const Pack<T> r = rough - k * C::kLn2Low;
    const Pack<T> t = (r * r) * polynomial(C::kQ, r);
    const Pack<T> high = T(1) + rough;
    const Pack<T> low = (((T(1) - high) + rough) - k * C::kLn2Low) + t;
    return {high, low, bit_cast<BitPack<T>>(shifted)};
}

// exp(x) = (lead + lost) * scale. lead is a normal number, scale a power of two, so that a product
// with lead may be taken before the result leaves the range of normal numbers.
template <class T>
struct Split {
    Pack<T> lead;
    Pack<T> lost;  // what rounding took from lead
    Pack<T> scale;
};

// As reduce.
template <class T>
[[gnu::always_inline]] inline Split<T> split_exp(Pack<T> x) {
    using C = Constants<T>;
    const Reduced<T> reduced = reduce<T>(x);
    // Both halves of k + 2 bias are biased exponents; the bits above them are shifted out.
    const BitPack<T> half = reduced.exponent >> 1;
    const BitPack<T> other = reduced.exponent - half;
    const Pack<T> first = bit_cast<Pack<T>>(half << C::kMantissaBits);
    const Pack<T> lead = reduced.high + reduced.low;
    return {first * lead, first * ((reduced.high - lead) + reduced.low),
            bit_cast<Pack<T>>(other << C::kMantissaBits)};
}

template <class T>
struct Tanh {
    [[gnu::always_inline]] static Evaluated<T> evaluate(Pack<T> x) {
        using C = Constants<T>;
        const Pack<T> below = -abs(x);
        const Pack<T> twice = max(broadcast(C::kLowestTanh), below + below);
        const Reduced<T> e = reduce<T>(twice);
        const Pack<T> power = bit_cast<Pack<T>>((e.exponent - C::kBias) << C::kMantissaBits);
        // 1 - exp = high + low + ..., every sum with what rounding takes from it.
        const Pack<T> high = T(1) - power * e.high;
        const Pack<T> low = ((T(1) - high) - power * e.high) - power * e.low;
        const Pack<T> below_one = high + low;
        const Pack<T> lost = (high - below_one) + low;
        const Pack<T> reciprocal = T(1) / (T(2) - below_one);
        const Pack<T> head = below_one * reciprocal;
        // below_one - head (2 - below_one), the first difference exact, and what `lost` adds to it.
        const Pack<T> rest = ((below_one - T(2) * head) + head * below_one) + (lost + lost * head);
        const Pack<T> magnitude = head + rest * reciprocal;
        const Pack<T> f = bit_cast<Pack<T>>(bit_cast<BitPack<T>>(magnitude) | sign_bits(x));
        return {f, T(1) - f * f};
    }
};

// logistic(-|x|) = (head + tail) scale, with the pieces it is made of.
template <class T>
struct Sigmoid {
    Pack<T> exponent;  // -|x|, not below kLowest
    Pack<T> exp;       // exp(-|x|)
    Pack<T> lost;      // what rounding took from it
    Pack<T> head;
    Pack<T> tail;
    Pack<T> scale;

    [[gnu::always_inline]] Pack<T> value() const { return (head + tail) * scale; }
};

template <class T>
[[gnu::always_inline]] inline Sigmoid<T> sigmoid(Pack<T> x) {
    const Pack<T> exponent = max(broadcast(Constants<T>::kLowest), -abs(x));
    const Split<T> e = split_exp<T>(exponent);
    const Pack<T> exp = e.lead * e.scale;
    const Pack<T> reciprocal = T(1) / (T(1) + exp);
    const Pack<T> head = e.lead * reciprocal;
    // lead + lost - head (1 + exp), the first difference exact; the derivative of e / (1 + e) is
    // the square of the reciprocal.
    const Pack<T> rest = ((e.lead - head) - head * exp) + e.lost * reciprocal;
    return {exponent, exp, e.lost * e.scale, head, rest * reciprocal, e.scale};
}

template <class T>
struct Logistic {
    [[gnu::always_inline]] static Evaluated<T> evaluate(Pack<T> x) {
        const Pack<T> small = sigmoid<T>(x).value();
        const Pack<T> large = T(1) - small;
        return {select(x < T(0), small, large), small * large};
    }
};

template <class T>
struct Silu {
    // x logistic(x) = max(x, 0) - |x| logistic(-|x|); |x| comes before the scale, since a
    // subnormal logistic would have lost its digits already.
    [[gnu::always_inline]] static Evaluated<T> evaluate(Pack<T> x) {
        const Sigmoid<T> s = sigmoid<T>(x);
        const Pack<T> below = s.exponent * s.head + s.exponent * s.tail;
        const Pack<T> f = below * s.scale + max(broadcast(T(0)), x);
        const Pack<T> small = s.value();
        const Pack<T> large = T(1) - small;
        const auto negative = x < T(0);
        const Pack<T> bounded = select(negative, s.exponent, -s.exponent);
        const Pack<T> own = select(negative, small, large);
        const Pack<T> other = select(negative, large, small);
        return {f, own * (T(1) + bounded * other)};
    }
};

template <class T>
struct Softplus {
    [[gnu::always_inline]] static Evaluated<T> evaluate(Pack<T> x) {
        const Sigmoid<T> s = sigmoid<T>(x);
        // log1p(e) = 2 t + t v P(v), t = e / (2 + e), v = t^2.
        const Pack<T> twice_reciprocal = T(2) / (T(2) + s.exp);
        const Pack<T> t = s.exp * (T(0.5) * twice_reciprocal);
        // e - t (2 + e), the first difference exact.
        const Pack<T> rest = ((s.exp - (t + t)) - t * s.exp) + s.lost * twice_reciprocal;
        const Pack<T> square = t * t;
        const Pack<T> tail =
            rest * twice_reciprocal + t * (square * polynomial(Constants<T>::kLog, square));
        // max(x, 0) + 2 t with what rounding takes from it.
        const auto positive = x > T(0);
        const Pack<T> linear = select(positive, -s.exponent, broadcast(T(0)));
        const Pack<T> large = max(linear, t + t);
        const Pack<T> small = min(linear, t + t);
        const Pack<T> sum = large + small;
        const Pack<T> bounded = sum + ((small - (sum - large)) + tail);
        const Pack<T> f = select(x > -Constants<T>::kLowest, x, bounded);
        const Pack<T> below = s.value();
        return {f, select(positive, T(1) - below, below)};
    }
};

}  // namespace exponential
}  // namespace relaxon
