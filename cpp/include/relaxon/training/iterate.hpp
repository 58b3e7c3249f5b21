// One iterate of a descent and the formulas that lead to the next, for every parameter p with
// gradient g, rate r > 0 and a common factor t. P is the projection on the bounds of p.
//
//   fixed       v <- mu v - t r g,  p <- P(p + v); where P cuts, v is the way that was left
//   adam        m <- beta_1 m + (1 - beta_1) g,  s <- beta_2 s + (1 - beta_2) g^2,
//               p <- P(p - t r (m / (1 - beta_1^k)) / (sqrt(s / (1 - beta_2^k)) + epsilon))
//               at step k = 1, 2, ... (Kingma and Ba, ICLR 2015, arXiv:1412.6980)
//   gradient    p <- P(q - t r g) from the point q before, with its gradient g
//
// With a constraint (constraint.hpp) its retraction follows P; it counts as cutting, too.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/base/sum.hpp"
#include "relaxon/training/constraint.hpp"

namespace relaxon {

struct AdamDecay {
    double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8;
};

// Arrays are flat and of equal length; the owner sets those that its rule uses.
template <class T>
struct Iterate {
    std::vector<std::int64_t> offsets;  // of each parameter array, and the end
    std::vector<double> rates;          // per parameter array; 0: kept as it is
    T* parameters = nullptr;
    T* gradient = nullptr;
    T* previous = nullptr;           // parameters before the step
    T* previous_gradient = nullptr;  // gradient rule
    T* velocity = nullptr;           // v, or m
    T* square = nullptr;             // s
    T* lower = nullptr;              // bounds; null: none
    T* upper = nullptr;
    std::shared_ptr<const Constraint> constraint;  // null: none

    std::int64_t size() const { return offsets.back(); }

    // NaN stays what it is.
    T project(std::int64_t i, T value) const {
        if (!lower) return value;
        if (value < lower[i]) return lower[i];
        return value > upper[i] ? upper[i] : value;
    }

    // The gradient without what points out of the bounds.
    T projected_gradient(std::int64_t i) const {
        const bool is_blocked = lower && ((gradient[i] > 0 && parameters[i] <= lower[i]) ||
                                          (gradient[i] < 0 && parameters[i] >= upper[i]));
        return is_blocked ? T(0) : gradient[i];
    }

    // Sum of term(i, rate) over all parameters that are not kept.
    template <class Term>
    double sum(const Term& term) const {
        OrderedSum total;
        for (std::size_t array = 0; array < rates.size(); ++array) {
            if (rates[array] == 0.0) continue;
            for (std::int64_t i = offsets[array]; i < offsets[array + 1]; ++i) {
                total.add(term(i, rates[array]));
            }
        }
        return total.value();
    }

    double gradient_norm() const {
        return std::sqrt(sum([&](std::int64_t i, double) {
            const double g = projected_gradient(i);
            return g * g;
        }));
    }
    // From `previous` to `parameters`.
    double step_length() const {
        return std::sqrt(sum([&](std::int64_t i, double) {
            const double s = static_cast<double>(parameters[i]) - previous[i];
            return s * s;
        }));
    }
};

template <class T>
void take_fixed_step(Iterate<T>& iterate, double factor, double momentum);

// k counts from 1.
template <class T>
void take_adam_step(Iterate<T>& iterate, double factor, const AdamDecay& decay, std::int64_t k);

// From `previous` along `previous_gradient`; whether any parameter has moved.
template <class T>
bool take_gradient_step(Iterate<T>& iterate, double factor);

// What the slope promises for that step: sum g (q - p).
template <class T>
double promised_decrease(const Iterate<T>& iterate);

// Barzilai and Borwein's factor from the last step; without curvature along it, twice the last.
template <class T>
double secant_factor(const Iterate<T>& iterate, double last);

}  // namespace relaxon
