// The equation of an attractor, F(z) = z - f(W z - b + x) = 0, over the entries of W, and what its
// rows say before any solve: with the slopes of f in [lo, hi] and the Jacobian's rows
// phi A_ij, row i shrinks distances in the largest norm by
//
//     mu_i = max over phi in {lo, hi} of phi A_ii + |phi| sum_{j != i} |A_ij|
//
// where mu = max mu_i < 1 there is one attractor, and |z - z*| <= |F(z)| / (1 - mu).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "relaxon/domain/grid.hpp"
#include "relaxon/operators/matrix_vector.hpp"
#include "relaxon/pointwise/activation.hpp"
#include "relaxon/solvers/shifted_pattern.hpp"
#include "relaxon/sweeps/attractor/findings.hpp"

namespace relaxon {

// The largest of what rows say, in any order.
struct RowBounds {
    explicit RowBounds(Activation activation) : slopes(slope_range(activation)) {}

    // others: the sum of |A_ij|, j != i.
    void add(double diagonal, double others, double offset) {
        row_norm = std::max(row_norm, std::abs(diagonal) + others);
        offset_norm = std::max(offset_norm, std::abs(offset));
        for (const double slope : {slopes.low, slopes.high}) {
            mu = std::max(mu, slope * diagonal + std::abs(slope) * others);
            least = std::min(least, slope * diagonal);
        }
    }
    void add(const RowBounds& rows) {
        row_norm = std::max(row_norm, rows.row_norm);
        offset_norm = std::max(offset_norm, rows.offset_norm);
        mu = std::max(mu, rows.mu);
        least = std::min(least, rows.least);
    }

    SlopeRange slopes;
    double row_norm = 0.0, offset_norm = 0.0;
    double mu = -std::numeric_limits<double>::infinity(), least = 0.0;
};

// What all samples share. Entries in the order of the pattern; offset: what Dirichlet values add,
// less the bias.
template <class T>
struct FixedPoint {
    const Grid* grid = nullptr;
    Activation activation = Activation::identity;
    // Entries and offset, and the pattern of 1 - F' A, made where they are first asked for.
    std::function<void()> assemble;
    std::function<const ShiftedPattern&()> jacobian;
    const Pattern* pattern = nullptr;
    const T* entries = nullptr;
    const T* offset = nullptr;
    double row_norm = 0.0, offset_norm = 0.0;
    Contraction contraction;

    std::int64_t n() const { return grid->n_cells(); }
    bool is_linear() const { return activation == Activation::identity; }

    // Norms and contraction.
    void take(const RowBounds& bounds) {
        const SlopeRange slopes = slope_range(activation);
        row_norm = bounds.row_norm;
        offset_norm = bounds.offset_norm;
        // Slopes without bound make infinities or, of rows of zeros, no numbers.
        contraction = Contraction();
        if (!std::isfinite(slopes.high) || !std::isfinite(bounds.mu)) return;
        contraction.mu = bounds.mu;
        contraction.omega_max = 1.0 / (1.0 - bounds.least);
    }

    // What the entries say of them.
    void measure() {
        RowBounds bounds(activation);
        for (std::int64_t row = 0; row < n(); ++row) {
            if (!grid->exists(row)) continue;
            double diagonal = 0.0, others = 0.0;
            for (std::int64_t i = pattern->begin(row); i < pattern->begin(row + 1); ++i) {
                const double entry = entries[i];
                if (pattern->column(row, i) == row) {
                    diagonal = entry;
                } else {
                    others += std::abs(entry);
                }
            }
            bounds.add(diagonal, others, offset[row]);
        }
        take(bounds);
    }

    // Z = W z - b + x, 0 on masked cells; source is x or null.
    void evaluate(const T* z, const T* source, T* pre) const {
        multiply(*pattern, entries, z, pre);
        for (std::int64_t i = 0; i < n(); ++i) {
            const T value = pre[i] + offset[i] + (source ? source[i] : T(0));
            pre[i] = grid->exists(i) ? value : T(0);
        }
    }

    // The largest sum of the sizes of what a row of F is made of, what Z is made of times |f'|:
    // rounding of F is some of its last digits.
    double terms(const T* z, const T* source, const T* f, const T* slope) const {
        double largest = 0.0;
        for (std::int64_t row = 0; row < n(); ++row) {
            if (!grid->exists(row)) continue;
            double sum = std::abs(static_cast<double>(offset[row]));
            if (source) sum += std::abs(static_cast<double>(source[row]));
            for (std::int64_t i = pattern->begin(row); i < pattern->begin(row + 1); ++i) {
                sum += std::abs(static_cast<double>(entries[i]) * z[pattern->column(row, i)]);
            }
            largest = std::max(largest, std::abs(static_cast<double>(z[row])) +
                                            std::abs(static_cast<double>(f[row])) +
                                            std::abs(static_cast<double>(slope[row])) * sum);
        }
        return largest;
    }
};

}  // namespace relaxon
