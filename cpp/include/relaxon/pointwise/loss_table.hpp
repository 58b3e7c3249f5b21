// The distances of single cells: their formulas, and the table from which everything else is made.
// With the residual r = z - y:
//
//     squared    r^2
//     absolute   sqrt(r^2 + epsilon^2) - epsilon, scale = epsilon
//     huber      r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2), scale = delta
//                (Huber, Ann. Math. Statist. 35 (1964) 73-101)
#pragma once

#include <cmath>

// Kind, name, function of residuals of T.
#define RELAXON_DISTANCES(X)                                                                       \
    X(squared, "squared", Squared<T>)                                                              \
    X(absolute, "absolute", Absolute<T>)                                                           \
    X(huber, "huber", Huber<T>)

namespace relaxon::distances {

// d(r), and d'(r) / kFactor, which spares the squared distance a product per cell; ratio is
// d'(r) / r / kFactor, the curvature of the parabola that touches d at r and -r from above.
template <class T>
struct Squared {
    static constexpr double kFactor = 2.0;
    explicit Squared(double) {}
    T value(T r) const { return r * r; }
    T slope(T r) const { return r; }
    T ratio(T) const { return T(1); }
};

template <class T>
struct Absolute {
    static constexpr double kFactor = 1.0;
    T epsilon;
    explicit Absolute(double scale) : epsilon(static_cast<T>(scale)) {}
    // Without the difference of two nearly equal numbers.
    T value(T r) const { return r * r / (std::sqrt(r * r + epsilon * epsilon) + epsilon); }
    T slope(T r) const { return r / std::sqrt(r * r + epsilon * epsilon); }
    T ratio(T r) const { return T(1) / std::sqrt(r * r + epsilon * epsilon); }
};

template <class T>
struct Huber {
    static constexpr double kFactor = 1.0;
    T delta;
    explicit Huber(double scale) : delta(static_cast<T>(scale)) {}
    T value(T r) const {
        const T size = std::abs(r);
        return size <= delta ? r * r / T(2) : delta * (size - delta / T(2));
    }
    T slope(T r) const { return std::abs(r) <= delta ? r : std::copysign(delta, r); }
    T ratio(T r) const { return std::abs(r) <= delta ? T(1) : delta / std::abs(r); }
};

}  // namespace relaxon::distances
