// The local nonlinearity f and its derivative over contiguous blocks.
//
// f may be the same array as pre; otherwise arrays do not overlap. Every element gets the same
// bits wherever it lies in a block, and the same f from both functions. NaN stays NaN in f, and in
// the derivative of the smooth functions; at infinities both are the limits. At kinks the
// derivative is the left one.
//
// Errors in units in the last place (ULP) are asserted by tests/cpp/test_activation.cpp.
#pragma once

#include <cstddef>
#include <string_view>

#include "relaxon/pointwise/activation_table.hpp"

namespace relaxon {

enum class Activation {
#define RELAXON_ENTRY(name, Function, slope, low, high) name,
    RELAXON_ACTIVATIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
};

inline constexpr Activation kActivations[] = {
#define RELAXON_ENTRY(name, Function, slope, low, high) Activation::name,
    RELAXON_ACTIVATIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
};

// f[i] = f(pre[i]), i < n.
template <class T>
void activate(Activation kind, const T* pre, T* f, std::size_t n);

// f[i] = f(pre[i]) and derivative[i] = f'(pre[i]), i < n.
template <class T>
void activate_with_derivative(Activation kind, const T* pre, T* f, T* derivative, std::size_t n);

// Whether f' follows from f alone without loss of digits: tanh, f' = 1 - f^2, and logistic,
// f' = f (1 - f).
bool has_derivative_of_value(Activation kind);

// That derivative as a function of a pack of f, for the two above only: start + f (slope - f).
template <class T>
class DerivativeOfValue {
public:
    explicit DerivativeOfValue(Activation kind)
        : start_(kind == Activation::tanh ? T(1) : T(0)),
          slope_(kind == Activation::tanh ? T(0) : T(1)) {}

    [[gnu::always_inline]] Pack<T> operator()(Pack<T> f) const {
        return broadcast(start_) + f * (broadcast(slope_) - f);
    }

private:
    T start_, slope_;
};

// f'(0), the slope s of linearised reports.
double slope_at_zero(Activation kind);

// All slopes f'(x) lie between these; infinite where they have no bound.
struct SlopeRange {
    double low, high;
};
SlopeRange slope_range(Activation kind);

const char* name(Activation kind);

// The activation of that name; false, and kind untouched, where there is none.
bool parse(std::string_view name, Activation& kind);

}  // namespace relaxon
