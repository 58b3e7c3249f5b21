// Newton's method for F(z) = 0, damped: the step is halved until the largest |F| falls, and where
// no step makes it fall, implicit steps (J + 1 / w) step = -F from w = 1 on follow the relaxation
// dz/dt = -F(z) out of the trap. What is solved:
//
//     double residual(const T* z, T* out)      out = F(z), and its largest entry; not finite: NaN
//     bool is_solved(const T* z, double residual)   whether that is little enough
//     void factorise(T shift)                  J + shift at the z that residual saw last; throws
//                                              SingularError
//     void solve(T* step)                      in place; throws SingularError
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "relaxon/solvers/linear.hpp"

namespace relaxon {

enum class NewtonStatus { converged, max_iterations, stalled, singular, not_finite };

struct NewtonResult {
    NewtonStatus status = NewtonStatus::converged;
    std::int64_t n_iterations = 0;
    double residual = 0.0;  // of the iterate that is left
};

// Where the iterations write: n numbers each.
template <class T>
struct NewtonWork {
    T* z;
    T* residual;
    T* step;
    T* trial;
    T* trial_residual;
    T* best = nullptr;  // for the iterate of least residual, where that is wanted
};

// From work.z to the root that is left there, in at most max_iterations factorisations; polls
// between them. Without a root the last iterate is left, or that of least residual where there is
// room for it. The pointers change places.
template <class T, class Problem, class Poll>
NewtonResult newton(Problem& problem, std::int64_t n, NewtonWork<T>& work,
                    std::int64_t max_iterations, const Poll& poll) {
    constexpr double kDecrease = 1e-4;
    constexpr int kHalvings = 10;
    constexpr std::int64_t kImplicitSteps = 50;
    constexpr double kLargestWidth = 1e14;
    NewtonResult result;
    result.residual = problem.residual(work.z, work.residual);
    double width = 0.0;  // w of implicit steps; 0: plain ones
    double least_before = result.residual;
    double least = result.residual;  // of the iterate in work.best
    bool has_best = false;
    const auto fail = [&](NewtonStatus status) {
        result.status = status;
        if (has_best && !(result.residual <= least)) {
            std::swap(work.z, work.best);
            result.residual = least;
        }
        return result;
    };
    std::int64_t n_implicit = 0, n_stalls = 0;
    while (true) {
        if (!std::isfinite(result.residual)) return fail(NewtonStatus::not_finite);
        if (problem.is_solved(work.z, result.residual)) return result;
        if (result.n_iterations == max_iterations) return fail(NewtonStatus::max_iterations);
        poll();
        ++result.n_iterations;
        try {
            problem.factorise(width > 0.0 ? static_cast<T>(1.0 / width) : T(0));
            for (std::int64_t i = 0; i < n; ++i) work.step[i] = -work.residual[i];
            problem.solve(work.step);
        } catch (const SingularError&) {
            return fail(NewtonStatus::singular);
        }
        const auto try_step = [&](T t) {
            for (std::int64_t i = 0; i < n; ++i) work.trial[i] = work.z[i] + t * work.step[i];
            return problem.residual(work.trial, work.trial_residual);
        };
        double found = 0.0;
        if (width > 0.0) {
            found = try_step(T(1));
        } else {
            double t = 1.0;
            int halvings = 0;
            for (; halvings <= kHalvings; ++halvings, t /= 2) {
                found = try_step(static_cast<T>(t));
                if (found <= (1.0 - kDecrease * t) * result.residual) break;
            }
            if (halvings > kHalvings) {
                // Back to the iterate, which the next factorisation is to see.
                problem.residual(work.z, work.residual);
                width = 1.0;
                n_implicit = 0;
                least_before = result.residual;
                continue;
            }
        }
        // Implicit steps alone may lead away from the least residual so far.
        if (work.best && !(found <= result.residual) && !(has_best && least <= result.residual)) {
            std::copy(work.z, work.z + n, work.best);
            least = result.residual;
            has_best = true;
        }
        if (std::isfinite(found)) {
            std::swap(work.z, work.trial);
            std::swap(work.residual, work.trial_residual);
            if (width > 0.0) {
                width = std::min(1.2 * width * result.residual / found, kLargestWidth);
            }
        }
        result.residual = found;
        if (width == 0.0 || ++n_implicit < kImplicitSteps) continue;
        n_implicit = 0;
        if (found < least_before) {
            least_before = found;
            n_stalls = 0;
        } else if (++n_stalls == 2) {
            return fail(NewtonStatus::stalled);
        }
    }
}

}  // namespace relaxon
