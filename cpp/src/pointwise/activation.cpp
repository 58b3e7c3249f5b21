// Activations: one switch per call, then a loop over packs with the function inlined.
// gelu and sin are computed in double for both precisions.
#include "relaxon/pointwise/activation.hpp"

#include <cstddef>
#include <cstring>

#include "relaxon/base/simd.hpp"
#include "relaxon/pointwise/activation_exponential.hpp"
#include "relaxon/pointwise/activation_gelu.hpp"
#include "relaxon/pointwise/activation_sine.hpp"

namespace relaxon {
namespace {

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

// Derivatives are left out by the compiler where nothing reads them, so that both functions run the
// same code for f.
template <class T, class Function>
void map_packs(const T* pre, T* f, std::size_t n) {
    for_each_pack<T>(
        n, [&](std::size_t i, std::size_t count) __attribute__((always_inline)) {
            store_partial(f + i, Function::evaluate(load_partial(pre + i, count)).f, count);
        });
}

template <class T, class Function>
void map_packs_with_derivative(const T* pre, T* f, T* derivative, std::size_t n) {
    for_each_pack<T>(
        n, [&](std::size_t i, std::size_t count) __attribute__((always_inline)) {
            const Evaluated<T> at = Function::evaluate(load_partial(pre + i, count));
            store_partial(f + i, at.f, count);
            store_partial(derivative + i, at.derivative, count);
        });
}

struct Description {
    const char* name;
    double slope_at_zero;
};

Description describe(Activation kind) {
    switch (kind) {
    case Activation::identity:
        return {"identity", 1.0};
    case Activation::tanh:
        return {"tanh", 1.0};
    case Activation::logistic:
        return {"logistic", 0.25};
    case Activation::relu:
        return {"relu", 0.0};
    case Activation::leaky_relu:
        return {"leaky_relu", 0.01};
    case Activation::softplus:
        return {"softplus", 0.5};
    case Activation::silu:
        return {"silu", 0.5};
    case Activation::gelu:
        return {"gelu", 0.5};
    case Activation::sin:
        return {"sin", 1.0};
    case Activation::square:
        return {"square", 0.0};
    case Activation::hard_tanh:
        return {"hard_tanh", 1.0};
    }
    __builtin_unreachable();
}

}  // namespace

template <class T>
void activate(Activation kind, const T* pre, T* f, std::size_t n) {
    switch (kind) {
    case Activation::identity:
        return map_packs<T, Identity<T>>(pre, f, n);
    case Activation::tanh:
        return map_packs<T, exponential::Tanh<T>>(pre, f, n);
    case Activation::logistic:
        return map_packs<T, exponential::Logistic<T>>(pre, f, n);
    case Activation::relu:
        return map_packs<T, Relu<T>>(pre, f, n);
    case Activation::leaky_relu:
        return map_packs<T, LeakyRelu<T>>(pre, f, n);
    case Activation::softplus:
        return map_packs<T, exponential::Softplus<T>>(pre, f, n);
    case Activation::silu:
        return map_packs<T, exponential::Silu<T>>(pre, f, n);
    case Activation::gelu:
        return map_packs<T, InDouble<T, Gelu>>(pre, f, n);
    case Activation::sin:
        return map_packs<T, InDouble<T, Sine>>(pre, f, n);
    case Activation::square:
        return map_packs<T, Square<T>>(pre, f, n);
    case Activation::hard_tanh:
        return map_packs<T, HardTanh<T>>(pre, f, n);
    }
}

template <class T>
void activate_with_derivative(Activation kind, const T* pre, T* f, T* derivative, std::size_t n) {
    switch (kind) {
    case Activation::identity:
        return map_packs_with_derivative<T, Identity<T>>(pre, f, derivative, n);
    case Activation::tanh:
        return map_packs_with_derivative<T, exponential::Tanh<T>>(pre, f, derivative, n);
    case Activation::logistic:
        return map_packs_with_derivative<T, exponential::Logistic<T>>(pre, f, derivative, n);
    case Activation::relu:
        return map_packs_with_derivative<T, Relu<T>>(pre, f, derivative, n);
    case Activation::leaky_relu:
        return map_packs_with_derivative<T, LeakyRelu<T>>(pre, f, derivative, n);
    case Activation::softplus:
        return map_packs_with_derivative<T, exponential::Softplus<T>>(pre, f, derivative, n);
    case Activation::silu:
        return map_packs_with_derivative<T, exponential::Silu<T>>(pre, f, derivative, n);
    case Activation::gelu:
        return map_packs_with_derivative<T, InDouble<T, Gelu>>(pre, f, derivative, n);
    case Activation::sin:
        return map_packs_with_derivative<T, InDouble<T, Sine>>(pre, f, derivative, n);
    case Activation::square:
        return map_packs_with_derivative<T, Square<T>>(pre, f, derivative, n);
    case Activation::hard_tanh:
        return map_packs_with_derivative<T, HardTanh<T>>(pre, f, derivative, n);
    }
}

bool has_derivative_of_value(Activation kind) {
    return kind == Activation::tanh || kind == Activation::logistic;
}

double slope_at_zero(Activation kind) { return describe(kind).slope_at_zero; }

const char* name(Activation kind) { return describe(kind).name; }

bool parse(std::string_view name, Activation& kind) {
    for (const Activation candidate : kActivations) {
        if (describe(candidate).name == name) {
            kind = candidate;
            return true;
        }
    }
    return false;
}

template void activate(Activation, const float*, float*, std::size_t);
template void activate(Activation, const double*, double*, std::size_t);
template void activate_with_derivative(Activation, const float*, float*, float*, std::size_t);
template void activate_with_derivative(Activation, const double*, double*, double*, std::size_t);

}  // namespace relaxon
