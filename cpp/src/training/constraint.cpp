#include "relaxon/training/constraint.hpp"

#include <cmath>

namespace relaxon {

namespace {

constexpr double kLeastFactor = 1e-12;  // what would have to shrink further becomes 0
constexpr int kBisections = 53;

// The largest factor for which a rule holds that holds for all smaller ones.
template <class Rule>
double largest_factor(const Rule& holds) {
    if (holds(1.0)) return 1.0;
    double high = 1.0;
    while (!holds(high / 2)) {
        high /= 2;
        if (high < kLeastFactor) return 0.0;
    }
    double low = high / 2;
    for (int i = 0; i < kBisections; ++i) {
        const double middle = (low + high) / 2;
        (holds(middle) ? low : high) = middle;
    }
    return low;
}

// The coefficients of one cell, of the type in which they are kept, so that a rule that holds here
// holds there.
template <class T>
struct Cell {
    const Constraint& constraint;
    double bound, scheme_low, scheme_high;  // omega times its factors
    T reaction, u[3], d[3];

    double diffusion(int a, double scheme_rate) const {
        const double speed = std::abs(static_cast<double>(u[a]));
        double value = d[a];
        if (constraint.scheme == AdrScheme::upwind) value += speed / 2;
        if (constraint.scheme == AdrScheme::lax_wendroff) value += scheme_rate * speed * speed / 2;
        return value;
    }

    double total_diffusion() const {
        double total = 0.0;
        for (int a = 0; a < constraint.ndim; ++a) total += diffusion(a, scheme_high);
        return total;
    }

    bool is_slow(int a) const {
        return std::abs(static_cast<double>(u[a])) <= 2 * diffusion(a, scheme_low);
    }
    bool keeps_signs() const { return bound * (2 * total_diffusion() - reaction) <= 1.0; }
    bool damps_short_waves() const { return bound * 2 * total_diffusion() <= 1.0; }
    bool damps_long_waves() const {
        double total = 0.0;
        for (int a = 0; a < constraint.ndim; ++a) {
            const double speed = u[a];
            if (speed != 0.0) total += speed * speed / (2 * diffusion(a, scheme_high));
        }
        return bound * total <= 1.0;
    }

    void shrink_velocity(int a, double factor) { u[a] = static_cast<T>(factor * u[a]); }
    void shrink_velocity(double factor) {
        for (int a = 0; a < constraint.ndim; ++a) shrink_velocity(a, factor);
    }
    void shrink_diffusion(double factor) {
        for (int a = 0; a < constraint.ndim; ++a) d[a] = static_cast<T>(factor * d[a]);
    }

    // Shrinks by the largest factor after which the rule holds.
    template <class Shrink, class Rule>
    void shrink(const Shrink& by, const Rule& holds) {
        const double factor = largest_factor([&](double trial) {
            Cell moved = *this;
            by(moved, trial);
            return holds(moved);
        });
        if (factor != 1.0) by(*this, factor);
    }

    void cut_velocity() {
        for (int a = 0; a < constraint.ndim; ++a) {
            shrink([a](Cell& cell, double factor) { cell.shrink_velocity(a, factor); },
                   [a](const Cell& cell) { return cell.is_slow(a); });
        }
    }

    void make_monotone() {
        if (bound * -static_cast<double>(reaction) > 1.0) {
            reaction = static_cast<T>(-1.0 / bound);
            while (bound * -static_cast<double>(reaction) > 1.0) {
                reaction = std::nextafter(reaction, T(0));
            }
        }
        cut_velocity();
        shrink(
            [](Cell& cell, double factor) {
                cell.shrink_diffusion(factor);
                cell.shrink_velocity(factor);
            },
            [](const Cell& cell) { return cell.keeps_signs(); });
        // Rounding, and the diffusion of Lax-Wendroff, which falls faster than the velocity.
        cut_velocity();
    }

    void make_stable() {
        const bool scheme_diffuses = constraint.scheme != AdrScheme::central;
        shrink(
            [scheme_diffuses](Cell& cell, double factor) {
                cell.shrink_diffusion(factor);
                if (scheme_diffuses) cell.shrink_velocity(factor);
            },
            [](const Cell& cell) { return cell.damps_short_waves(); });
        // Nothing damps waves along an axis without diffusion; the others need not suffer for it.
        for (int a = 0; a < constraint.ndim; ++a) {
            if (diffusion(a, scheme_high) == 0.0) u[a] = T(0);
        }
        shrink([](Cell& cell, double factor) { cell.shrink_velocity(factor); },
               [](const Cell& cell) { return cell.damps_long_waves(); });
    }
};

}  // namespace

template <class T>
void retract(const Constraint& constraint, T* parameters) {
    const int ndim = constraint.ndim;
    const int n_entries = ndim * (ndim + 1) / 2;
    const std::int64_t n = constraint.n_cells;
    for (std::int64_t set = 0; set < constraint.n_sets; ++set) {
        T* const reaction = parameters + constraint.reaction + set * n;
        T* const velocity = parameters + constraint.velocity + set * ndim * n;
        T* const diffusion = parameters + constraint.diffusion + set * n_entries * n;
        for (std::int64_t i = 0; i < n; ++i) {
            const auto at = static_cast<std::size_t>(set * n + i);
            const double high = constraint.high[at];
            // Where omega is 0 a layer is the identity, whatever its coefficients.
            if (!(high > 0.0)) continue;
            Cell<T> cell{constraint,
                         constraint.bound_factor * high,
                         constraint.scheme_factor * constraint.low[at],
                         constraint.scheme_factor * high,
                         reaction[i],
                         {},
                         {}};
            for (int a = 0, entry = 0; a < ndim; ++a) {
                cell.u[a] = velocity[a * n + i];
                T& d = diffusion[entry * n + i];
                if (d < T(0)) d = T(0);
                cell.d[a] = d;
                ++entry;
                for (int b = a + 1; b < ndim; ++b, ++entry) {
                    if (constraint.kind == ConstraintKind::monotone) {
                        diffusion[entry * n + i] = T(0);
                    }
                }
            }
            if (constraint.kind == ConstraintKind::monotone) {
                cell.make_monotone();
            } else {
                cell.make_stable();
            }
            reaction[i] = cell.reaction;
            for (int a = 0, entry = 0; a < ndim; entry += ndim - a, ++a) {
                velocity[a * n + i] = cell.u[a];
                diffusion[entry * n + i] = cell.d[a];
            }
        }
    }
}

template void retract<float>(const Constraint&, float*);
template void retract<double>(const Constraint&, double*);

}  // namespace relaxon
