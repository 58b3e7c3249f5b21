// The exponential on [-inf, 0] over packs, and the four activations made of it.
//
//   x = k ln 2 + r, |r| <= ln 2 / 2;   exp(x) = 2^k (1 + r + t),   t = r^2 q(r)
//
//   tanh      sign(x) d / (2 - d),  d = 1 - exp(-2 |x|) = (1 - 2^k (1 + r)) - 2^k t
//   logistic  e / (1 + e) for x < 0, else 1 - e / (1 + e),   e = exp(-|x|)
//   softplus  max(x, 0) + log1p(e)
//   silu      max(x, 0) - |x| e / (1 + e)
//
// One division each (softplus with its derivative two), no branch, no table. Arguments are never
// positive, so nothing overflows, and d loses no digits for small |x|. Quotients are corrected by
// their residual, which also takes back the rounding of the denominator: below 2 ULP in all
// four.
#pragma once

#include <cstddef>
#include <cstdint>

#include "relaxon/simd.hpp"

namespace relaxon {

// An activation and its derivative at one pack.
template <class T>
struct Evaluated {
    Pack<T> f;
    Pack<T> derivative;
};

namespace exponential {

// ln 2 is split so that k times its high part is exact for all k that occur.
// q: weighted least squares (Lawson) on 160 Chebyshev nodes of [-ln 2 / 2, ln 2 / 2], relative
// error of r + t; q_0 = 1/2 kept, coefficients rounded one by one from the lowest, the rest
// refitted. log: the same for log1p(e) = 2 s + s v P(v), s = e / (2 + e), v = s^2 in [0, 1/9], by
// Remez.
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
    static constexpr double kLn2 = 0x1.62e42fefa39efp-1;
    static constexpr double kLn2High = 0x1.62e42fefa3800p-1;
    static constexpr double kLn2Low = 0x1.ef35793c76730p-45;
    // Relative error of r + t 2.4e-17.
    static constexpr double kQ[] = {
        0x1.0000000000000p-1,  0x1.555555555553ep-3,  0x1.5555555553b0cp-5,  0x1.1111111118d03p-7,
        0x1.6c16c179fedfdp-10, 0x1.a01a01718e799p-13, 0x1.a019b39d47354p-16, 0x1.71de9817eaaa4p-19,
        0x1.289764b6a6548p-22, 0x1.ae476e7afe111p-26};
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
    static constexpr float kLn2 = 0x1.62e430p-1F;
    static constexpr float kLn2High = 0x1.62e400p-1F;
    static constexpr float kLn2Low = 0x1.7f7d1cp-20F;
    // Relative error of r + t 1.4e-8.
    static constexpr float kQ[] = {0x1.000000p-1F, 0x1.5554b6p-3F, 0x1.5555aap-5F, 0x1.122408p-7F,
                                   0x1.6c67a8p-10F};
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

// exp(x) = 2^k (1 + r + t), unrounded.
template <class T>
struct Reduced {
    Pack<T> r;
    Pack<T> t;            // r^2 q(r)
    BitPack<T> exponent;  // k + 2 bias in the low bits (mantissa bits + 1 of them at least)
};

enum class Accuracy { relative, absolute };

// kLowest <= x <= 0, or NaN, which r and t inherit. For a small absolute error of exp(x), ln 2 in
// one part is enough: its error in r grows with |k|, but counts 2^k times, hardly at all.
template <class T, Accuracy accuracy>
[[gnu::always_inline]] inline Reduced<T> reduce(Pack<T> x) {
    using C = Constants<T>;
    // Added, it rounds to an integer and leaves that in the low bits of the sum.
    constexpr T round = T(3) * T(std::uint64_t(1) << (C::kMantissaBits - 1)) + T(2 * C::kBias);
    const Pack<T> shifted = x * C::kLog2e + round;
    const Pack<T> k = shifted - round;
    Pack<T> r;
    if constexpr (accuracy == Accuracy::relative) {
        r = (x - k * C::kLn2High) - k * C::kLn2Low;
    } else {
        r = x - k * C::kLn2;
    }
    return {r, (r * r) * polynomial(C::kQ, r), bit_cast<BitPack<T>>(shifted)};
}

// exp(x) = lead * scale. lead is a normal number, scale a power of two, so that a product with lead
// may be taken before the result leaves the range of normal numbers.
template <class T>
struct Split {
    Pack<T> lead;
    Pack<T> scale;
};

// As reduce.
template <class T>
[[gnu::always_inline]] inline Split<T> split_exp(Pack<T> x) {
    using C = Constants<T>;
    const Reduced<T> reduced = reduce<T, Accuracy::relative>(x);
    // Both halves of k + 2 bias are biased exponents; the bits above them are shifted out.
    const BitPack<T> half = reduced.exponent >> 1;
    const BitPack<T> other = reduced.exponent - half;
    const Pack<T> first = bit_cast<Pack<T>>(half << C::kMantissaBits);
    // high + low = 1 + r.
    const Pack<T> high = T(1) + reduced.r;
    const Pack<T> low = (T(1) - high) + reduced.r;
    return {first * (high + (low + reduced.t)), bit_cast<Pack<T>>(other << C::kMantissaBits)};
}

template <class T>
struct Tanh {
    [[gnu::always_inline]] static Evaluated<T> evaluate(Pack<T> x) {
        using C = Constants<T>;
        const Pack<T> below = -abs(x);
        const Pack<T> twice = max(broadcast(C::kLowestTanh), below + below);
        const Reduced<T> e = reduce<T, Accuracy::absolute>(twice);
        const Pack<T> power = bit_cast<Pack<T>>((e.exponent - C::kBias) << C::kMantissaBits);
        // high + low = 1 - 2^k (1 + r).
        const Pack<T> scaled = power * e.r;
        const Pack<T> top = T(1) - power;
        const Pack<T> high = top - scaled;
        const Pack<T> low = (top - high) - scaled;
        const Pack<T> below_one = high + (low - power * e.t);
        const Pack<T> reciprocal = T(1) / (T(2) - below_one);
        const Pack<T> head = below_one * reciprocal;
        // below_one - head (2 - below_one), the first difference exact.
        const Pack<T> rest = (below_one - (head + head)) + head * below_one;
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
    // lead - head (1 + exp), the first difference exact.
    const Pack<T> rest = (e.lead - head) - head * exp;
    return {exponent, exp, head, rest * reciprocal, e.scale};
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
        // log1p(e) = 2 t + t R with 2 t = e - t e: t enters the small term only.
        const Pack<T> t = s.exp / (T(2) + s.exp);
        const Pack<T> square = t * t;
        const Pack<T> rest = square * polynomial(Constants<T>::kLog, square);
        const Pack<T> f = max(broadcast(T(0)), x) + (s.exp - t * (s.exp - rest));
        const Pack<T> small = s.value();
        return {f, select(x < T(0), small, T(1) - small)};
    }
};

}  // namespace exponential
}  // namespace relaxon
