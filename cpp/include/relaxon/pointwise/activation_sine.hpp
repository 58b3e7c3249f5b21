// sin and cos on packs of double.
//
//   x = k pi / 2 + r + ...,  |r| <= pi / 4;   sin(r) = r + r^3 S(r^2),   cos(r) = 1 - r^2 / 2 + r^4
//   C(r^2)
//
// pi / 2 comes in four parts, three of 33 bits: their products with |k| < 2^20 are exact, and each
// difference is kept with what rounding takes from it (Cody & Waite, Software Manual for the
// Elementary Functions, 1980, in doubled precision). Larger arguments go to the standard library,
// lane by lane. Below 1 ULP.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "relaxon/base/simd.hpp"
#include "relaxon/pointwise/activation_exponential.hpp"

namespace relaxon {

struct Sine {
    static constexpr double kLargest = 1.6e6;
    static constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
    static constexpr double kHalfPi[] = {0x1.921fb54400000p+0, 0x1.0b4611a600000p-34,
                                         0x1.3198a2e000000p-69, 0x1.b839a252049c1p-104};
    // Interpolation at 24 Chebyshev nodes of [0, (pi / 4)^2]; relative error of sin and cos 2e-17.
    static constexpr double kS[] = {-0x1.5555555555555p-3,  0x1.1111111110bb1p-7,
                                    -0x1.a01a019e8373ep-13, 0x1.71de37963e2d7p-19,
                                    -0x1.ae600aaff2b46p-26, 0x1.5e0afb18a708ap-33};
    static constexpr double kC[] = {0x1.5555555555555p-5,  -0x1.6c16c16c16966p-10,
                                    0x1.a01a019f4e92fp-16, -0x1.27e4fa17b248fp-22,
                                    0x1.1eeb68be2aafdp-29, -0x1.907d836f2826cp-37};

    [[gnu::always_inline]] static Evaluated<double> evaluate(Pack<double> x) {
        using V = Pack<double>;
        using Bits = BitPack<double>;
        // Added, it rounds to an integer and leaves that in the low bits of the sum.
        constexpr double round = 3.0 * (std::uint64_t{1} << 51);
        const V shifted = x * kTwoOverPi + round;
        const V k = shifted - round;
        const V first = x - k * kHalfPi[0];
        const V part = k * kHalfPi[1];
        const V second = first - part;
        const V finer = k * kHalfPi[2];
        const V third = second - finer;
        const V rest =
            (lost_of(first, part, second) + lost_of(second, finer, third)) - k * kHalfPi[3];
        const V r = third + rest;
        const V r_low = (third - r) + rest;

        const V square = r * r;
        const V half = 0.5 * square;
        const V sine =
            r + ((r * square) * exponential::polynomial(kS, square) + r_low * (1.0 - half));
        const V top = 1.0 - half;
        const V cosine =
            top + (((1.0 - top) - half) +
                   ((square * square) * exponential::polynomial(kC, square) - r * r_low));
        // Quadrant k mod 4.
        const Bits quadrant = bit_cast<Bits>(shifted);
        const auto is_odd = bit_cast<Mask<double>>(-(quadrant & 1));
        const V f = flip(select(is_odd, cosine, sine), quadrant);
        const V derivative = flip(select(is_odd, sine, cosine), quadrant + 1);
        Evaluated<double> result{select(x == 0.0, x, f), derivative};
        if (any(abs(x) > kLargest)) {
            for (std::size_t lane = 0; lane < kPackWidth<double>; ++lane) {
                if (!(std::abs(x[lane]) > kLargest)) continue;
                result.f[lane] = std::sin(x[lane]);
                result.derivative[lane] = std::cos(x[lane]);
            }
        }
        return result;
    }

private:
    // What rounding takes from difference = a - b.
    [[gnu::always_inline]] static Pack<double> lost_of(Pack<double> a, Pack<double> b,
                                                       Pack<double> difference) {
        const Pack<double> taken = difference - a;
        return (a - (difference - taken)) - (b + taken);
    }

    // The sign of quadrants 2 and 3.
    [[gnu::always_inline]] static Pack<double> flip(Pack<double> x, BitPack<double> quadrant) {
        return bit_cast<Pack<double>>(bit_cast<BitPack<double>>(x) ^ ((quadrant & 2) << 62));
    }
};

}  // namespace relaxon
