// Activations: one switch per call, then a loop over packs with the function inlined.
#include "relaxon/pointwise/activation.hpp"

#include <cstddef>
#include <exception>

#include "relaxon/base/error.hpp"

namespace relaxon {
namespace {

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

[[noreturn]] void refuse(Activation kind) {
    require(false, "activation", "one of the table", static_cast<int>(kind));
    std::terminate();
}

}  // namespace

template <class T>
void activate(Activation kind, const T* pre, T* f, std::size_t n) {
    switch (kind) {
#define RELAXON_ENTRY(name, Function, slope, low, high)                                            \
    case Activation::name:                                                                         \
        return map_packs<T, Function>(pre, f, n);
        RELAXON_ACTIVATIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    }
    refuse(kind);
}

template <class T>
void activate_with_derivative(Activation kind, const T* pre, T* f, T* derivative, std::size_t n) {
    switch (kind) {
#define RELAXON_ENTRY(name, Function, slope, low, high)                                            \
    case Activation::name:                                                                         \
        return map_packs_with_derivative<T, Function>(pre, f, derivative, n);
        RELAXON_ACTIVATIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    }
    refuse(kind);
}

bool has_derivative_of_value(Activation kind) {
    return kind == Activation::tanh || kind == Activation::logistic;
}

double slope_at_zero(Activation kind) {
    switch (kind) {
#define RELAXON_ENTRY(name, Function, slope, low, high)                                            \
    case Activation::name:                                                                         \
        return slope;
        RELAXON_ACTIVATIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    }
    refuse(kind);
}

SlopeRange slope_range(Activation kind) {
    switch (kind) {
#define RELAXON_ENTRY(name, Function, slope, low, high)                                            \
    case Activation::name:                                                                         \
        return {low, high};
        RELAXON_ACTIVATIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    }
    refuse(kind);
}

const char* name(Activation kind) {
    switch (kind) {
#define RELAXON_ENTRY(name, Function, slope, low, high)                                            \
    case Activation::name:                                                                         \
        return #name;
        RELAXON_ACTIVATIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    }
    refuse(kind);
}

bool parse(std::string_view text, Activation& kind) {
    for (const Activation candidate : kActivations) {
        if (name(candidate) == text) {
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
