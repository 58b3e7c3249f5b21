// The activations: their functions on packs, and the table from which everything else is made.
//
// A function gives f and f' of a pack; what nobody reads of them costs nothing. At kinks f' is the
// left one. gelu and sin are computed in double for both precisions.
#pragma once

#include <cmath>
#include <cstring>

#include "relaxon/base/simd.hpp"
#include "relaxon/pointwise/activation_exponential.hpp"
#include "relaxon/pointwise/activation_gelu.hpp"
#include "relaxon/pointwise/activation_sine.hpp"

// Name, function of packs of T, f'(0), and the least and the largest slope, rounded outwards.
//
// logistic 1 / (1 + exp(-x)); leaky_relu x, slope 0.01 below 0; softplus log(1 + exp(x)); silu
// x logistic(x); gelu x Phi(x), Phi the normal distribution function (not its tanh approximation);
// hard_tanh x cut to [-1, 1].
#define RELAXON_ACTIVATIONS(X)                                                                     \
    X(identity, Identity<T>, 1.0, 1.0, 1.0)                                                        \
    X(tanh, exponential::Tanh<T>, 1.0, 0.0, 1.0)                                                   \
    X(logistic, exponential::Logistic<T>, 0.25, 0.0, 0.25)                                         \
    X(relu, Relu<T>, 0.0, 0.0, 1.0)                                                                \
    X(leaky_relu, LeakyRelu<T>, 0.01, 0.01, 1.0)                                                   \
    X(softplus, exponential::Softplus<T>, 0.5, 0.0, 1.0)                                           \
    X(silu, exponential::Silu<T>, 0.5, -0.09983932013, 1.09983932013)                              \
    X(gelu, InDouble<T RELAXON_COMMA Gelu>, 0.5, -0.1289042569, 1.1289042569)                      \
    X(sin, InDouble<T RELAXON_COMMA Sine>, 1.0, -1.0, 1.0)                                         \
    X(square, Square<T>, 0.0, -HUGE_VAL, HUGE_VAL)                                                 \
    X(hard_tanh, HardTanh<T>, 1.0, 0.0, 1.0)
#define RELAXON_COMMA ,

namespace relaxon {

template <class T>
struct Identity {
    static Evaluated<T> evaluate(Pack<T> x) { return {x, broadcast(T(1))}; }
};

template <class T>
struct Relu {
    static Evaluated<T> evaluate(Pack<T> x) {
        const Pack<T> zero = broadcast(T(0));
        const auto off = x <= T(0);
        return {select(off, zero, x), select(off, zero, broadcast(T(1)))};
    }
};

template <class T>
struct LeakyRelu {
    static Evaluated<T> evaluate(Pack<T> x) {
        constexpr T slope = T(0.01);
        const auto leaky = x <= T(0);
        return {select(leaky, x * slope, x), select(leaky, broadcast(slope), broadcast(T(1)))};
    }
};

template <class T>
struct Square {
    static Evaluated<T> evaluate(Pack<T> x) { return {x * x, x + x}; }
};

template <class T>
struct HardTanh {
    static Evaluated<T> evaluate(Pack<T> x) {
        const Pack<T> zero = broadcast(T(0));
        const Pack<T> one = broadcast(T(1));
        return {max(-one, min(one, x)), select(x <= T(-1), zero, select(x <= T(1), one, zero))};
    }
};

// A function of packs of double, for float too: each half of a pack is widened.
template <class T, class Function>
struct InDouble {
    [[gnu::always_inline]] static Evaluated<T> evaluate(Pack<T> x) {
        if constexpr (sizeof(T) == sizeof(double)) {
            return Function::evaluate(x);
        } else {
            typedef float Half __attribute__((vector_size(kPackBytes / 2)));
            Half in[2], f[2], derivative[2];
            std::memcpy(in, &x, sizeof x);
            for (int half = 0; half < 2; ++half) {
                const Evaluated<double> at =
                    Function::evaluate(__builtin_convertvector(in[half], Pack<double>));
                f[half] = __builtin_convertvector(at.f, Half);
                derivative[half] = __builtin_convertvector(at.derivative, Half);
            }
            return {bit_cast<Pack<T>>(f), bit_cast<Pack<T>>(derivative)};
        }
    }
};

}  // namespace relaxon
