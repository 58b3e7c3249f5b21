// Activations in a wider floating-point type, the errors of those in T, and the errors allowed: all
// that the tests know of a single one.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "relaxon/pointwise/activation.hpp"

namespace relaxon {

template <class Reference>
struct Exact {
    Reference f;
    Reference derivative;
};

template <class Reference>
Reference logistic(Reference x) {
    const Reference e = std::exp(-std::abs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

// Both terms of -x / sqrt(2), because erfc magnifies the rounding error of its argument.
template <class Reference>
Exact<Reference> gelu(Reference x) {
    const Reference root_half = std::sqrt(Reference(0.5));
    const Reference root_half_rest =
        std::fma(-root_half, root_half, Reference(0.5)) / (2 * root_half);
    const Reference y = -x * root_half;
    const Reference rest = std::fma(-x, root_half, -y) - x * root_half_rest;
    const Reference pi = std::acos(Reference(-1));
    const Reference bell = std::exp(-x * x / 2);
    const Reference phi = bell / std::sqrt(2 * pi);
    const Reference distribution = (std::erfc(y) - rest * 2 / std::sqrt(pi) * bell) / 2;
    return {x * distribution, distribution + x * phi};
}

// At finite x; T because the slope of leaky_relu is 0.01 rounded to T.
template <class Reference, class T>
Exact<Reference> exact(Activation kind, T at) {
    const Reference x = at;
    switch (kind) {
    case Activation::identity:
        return {x, 1};
    case Activation::tanh:
        return {std::tanh(x), 1 / (std::cosh(x) * std::cosh(x))};
    case Activation::logistic:
        return {logistic(x), logistic(x) * logistic(-x)};
    case Activation::relu:
        return {x > 0 ? x : 0, Reference(x > 0)};
    case Activation::leaky_relu:
        return {x > 0 ? x : x * T(0.01), x > 0 ? Reference(1) : Reference(T(0.01))};
    case Activation::softplus:
        return {std::max(x, Reference(0)) + std::log1p(std::exp(-std::abs(x))), logistic(x)};
    case Activation::silu:
        return {x * logistic(x), logistic(x) * (1 + x * logistic(-x))};
    case Activation::gelu:
        return gelu(x);
    case Activation::sin:
        return {std::sin(x), std::cos(x)};
    case Activation::square:
        return {x * x, 2 * x};
    case Activation::hard_tanh:
        return {std::clamp(x, Reference(-1), Reference(1)), Reference(x > -1 && x <= 1)};
    }
    return {};
}

// max |f'|, the measure of a derivative's error; square's is unbounded and exact.
inline double largest_slope(Activation kind) {
    switch (kind) {
    case Activation::logistic:
        return 0.25;
    case Activation::silu:
        return 1.0998;
    case Activation::gelu:
        return 1.1289;
    default:
        return 1.0;
    }
}

struct Bound {
    double ulp[2];         // of f; float, double
    double derivative[2];  // in eps max|f'|
};

// The worst measured with GCC 12 and clang 14, rounded up by a few percent; bench/README.md has the
// exhaustive figures. Without fused operations, which debug builds do not form, residuals of
// quotients are rounded.
inline Bound bound_of(Activation kind) {
#if defined(__FMA__) && defined(NDEBUG)
    constexpr bool kIsFused = true;
#else
    constexpr bool kIsFused = false;
#endif
    const auto pick = [](Bound fused, Bound rounded) { return kIsFused ? fused : rounded; };
    switch (kind) {
    case Activation::identity:
    case Activation::relu:
    case Activation::hard_tanh:
        return {{0, 0}, {0, 0}};
    case Activation::tanh:
        return pick({{0.95, 0.95}, {0.65, 0.65}}, {{1.05, 1.1}, {1.25, 1.3}});
    case Activation::logistic:
        return pick({{0.85, 0.85}, {0.8, 0.8}}, {{0.95, 0.95}, {0.85, 0.85}});
    case Activation::leaky_relu:
    case Activation::square:
        return {{0.5, 0.5}, {0, 0}};
    case Activation::softplus:
        return pick({{0.85, 0.85}, {0.45, 0.45}}, {{0.9, 0.95}, {0.5, 0.5}});
    case Activation::silu:
        return pick({{0.85, 0.9}, {1.2, 1.25}}, {{1.3, 1.4}, {1.2, 1.3}});
    case Activation::gelu:
        return {{0.51, 1.85}, {0.45, 0.75}};
    case Activation::sin:
        return pick({{0.51, 0.85}, {0.26, 0.45}}, {{0.51, 0.9}, {0.26, 0.45}});
    }
    return {{-1, -1}, {-1, -1}};  // none is as accurate: a new one states its own
}

// Spacing of the numbers of T around x.
template <class T, class Reference>
Reference ulp(Reference x) {
    using Limits = std::numeric_limits<T>;
    int exponent = 0;
    std::frexp(x, &exponent);
    return std::ldexp(Reference(1), std::max(exponent, Limits::min_exponent) - Limits::digits);
}

template <class T, class Reference>
Reference error_in_ulp(T value, Reference exact) {
    if (std::abs(exact) > Reference(std::numeric_limits<T>::max())) {
        // Overflow: infinity and the largest number are both within half a unit of the edge.
        return std::isinf(value) || value == std::numeric_limits<T>::max() ? 0 : INFINITY;
    }
    const Reference error = std::abs(Reference(value) - exact) / ulp<T>(exact);
    return std::isnan(error) ? Reference(INFINITY) : error;
}

// In eps max|f'|; where f' overflows, in units in its last place.
template <class T, class Reference>
Reference derivative_error(Activation kind, T value, Reference exact) {
    if (std::abs(exact) > Reference(std::numeric_limits<T>::max())) {
        return error_in_ulp(value, exact);
    }
    const Reference unit = std::numeric_limits<T>::epsilon() * Reference(largest_slope(kind));
    const Reference error = std::abs(Reference(value) - exact) / unit;
    return std::isnan(error) ? Reference(INFINITY) : error;
}

}  // namespace relaxon
