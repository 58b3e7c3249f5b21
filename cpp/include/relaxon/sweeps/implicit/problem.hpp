// One sample's layer as Newton's method sees it: F(z') = z' + e (z' - f(W z' - b)) - r.
#pragma once

#include <cmath>
#include <limits>

#include "relaxon/operators/matrix_vector.hpp"
#include "relaxon/sweeps/implicit/layers.hpp"

namespace relaxon {

template <class T>
class ImplicitLayers<T>::Problem {
public:
    Problem(ImplicitLayers& layers, const Layer& view, Work& work)
        : layers_(layers), view_(view), work_(work) {}

    double residual(const T* z, T* out) {
        const std::int64_t n = layers_.n_;
        layers_.evaluate(view_, z, work_.pre);
        activate_with_derivative(layers_.config_.activation, work_.pre, work_.f, work_.slope,
                                 static_cast<std::size_t>(n));
        double largest = 0.0;
        bool is_finite = true;
        for (std::int64_t i = 0; i < n; ++i) {
            const T rate = layers_.implicit_rate(view_, i);
            out[i] = layers_.exists(i) ? z[i] + rate * (z[i] - work_.f[i]) - work_.right[i] : T(0);
            const double size = std::abs(static_cast<double>(out[i]));
            is_finite = is_finite && std::isfinite(size);
            largest = std::max(largest, size);
        }
        last_ = is_finite ? largest : std::numeric_limits<double>::quiet_NaN();
        return last_;
    }

    // For the iterate that was evaluated last. The floor is what rounding leaves of F: its cheap
    // bound is asked first.
    bool is_solved(const T* z, double residual) const {
        constexpr double kTolerance = std::is_same<T, float>::value ? 1e-6 : 1e-13;
        constexpr double kRounding = 4.0 * std::numeric_limits<T>::epsilon();
        double size = 0.0, right = 0.0, rate = 0.0, shift = 0.0, image = 0.0, slope = 0.0;
        for (std::int64_t i = 0; i < layers_.n_; ++i) {
            if (!layers_.exists(i)) continue;
            size = std::max(size, std::abs(static_cast<double>(z[i])));
            right = std::max(right, std::abs(static_cast<double>(work_.right[i])));
            rate = std::max(rate, static_cast<double>(layers_.implicit_rate(view_, i)));
            image = std::max(image, std::abs(static_cast<double>(work_.f[i])));
            slope = std::max(slope, std::abs(static_cast<double>(work_.slope[i])));
            shift = std::max(
                shift, std::abs(static_cast<double>(layers_.shift_[i] - layers_.bias(view_, i))));
        }
        if (residual <= kTolerance * std::max(1.0, size)) return true;
        const double bound = right + (1.0 + rate) * size +
                             rate * (image + slope * (layers_.row_norm_ * size + shift));
        if (residual > kRounding * bound) return false;
        return residual <= kRounding * terms(z);
    }

    void factorise(T shift) {
        layers_.factorise(view_, shift, work_, layers_.solver_of(work_.solver));
    }
    void solve(T* step) const {
        constexpr double kInexact = 1e-2;
        work_.solver->set_tolerance(std::min(kInexact, last_));
        work_.solver->solve(step, step, 1);
    }

private:
    // The largest sum of the sizes of a row's terms, those of Z times |f'|.
    double terms(const T* z) const {
        const Pattern& pattern = layers_.matrix_->pattern();
        double largest = 0.0;
        for (std::int64_t row = 0; row < layers_.n_; ++row) {
            if (!layers_.exists(row)) continue;
            double sum = std::abs(layers_.shift_[row] - layers_.bias(view_, row));
            for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
                sum +=
                    std::abs(static_cast<double>(layers_.entries_[i]) * z[pattern.column(row, i)]);
            }
            const double rate = layers_.implicit_rate(view_, row);
            const double image = std::abs(static_cast<double>(work_.f[row]));
            const double slope = std::abs(static_cast<double>(work_.slope[row]));
            largest = std::max(largest, std::abs(static_cast<double>(work_.right[row])) +
                                            (1.0 + rate) * std::abs(static_cast<double>(z[row])) +
                                            rate * (image + slope * sum));
        }
        return largest;
    }

    ImplicitLayers& layers_;
    const Layer& view_;
    Work& work_;
    double last_ = 0.0;
};

}  // namespace relaxon
