// The search for one sample's attractor, z* = f(W z* - b + x), from a start: damped Newton steps,
// Anderson's mixing of the last five (H. F. Walker, P. Ni, SIAM J. Numer. Anal. 49 (2011)
// 1715-1735), or the layers themselves, z <- (1 - omega) z + omega f(W z - b + x), the only method
// that stays in a basin. It ends where max |F| <= tolerance max(1, max |z|) or where rounding
// leaves no more of F, and never throws: what is left is the iterate of least residual, and a
// status.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/network/dynamics.hpp"
#include "relaxon/solvers/newton.hpp"
#include "relaxon/sweeps/attractor/fixed_point.hpp"

namespace relaxon {

// Whoever waits for the search: called between iterations.
using Poll = std::function<void()>;

// Of one worker. Samples never see each other.
template <class T>
class AttractorSearcher {
public:
    // The method that is taken for a pattern.
    static AttractorMethod method_for(const AttractorSearch& search, const Pattern& pattern);

    void carve(Arena& arena, const Pattern& jacobian, AttractorMethod method);
    // Before the first search. A linear equation is solved with the solver of all workers.
    void take(const FixedPoint<T>& equation, LinearSolver<T>* shared, double omega);

    // From start to the attractor in z; source is x with drive, else null. Residuals of all
    // iterates are added to a history where there is one.
    AttractorResult find(const AttractorSearch& search, AttractorMethod method, const T* source,
                         const T* start, T* z, const Poll& poll, std::vector<double>* history);
    // max |F(z)|; NaN where a number is not finite. f and f' are left there.
    double residual(const T* source, const T* z);
    const T* f() const { return f_; }
    const T* slope() const { return slope_; }
    const T* pre() const { return pre_; }
    // One whole Newton step from z where it does not make the residual larger.
    void polish(const T* source, T* z);

    // The factorisation of a linear equation by one for all, with what is known of it.
    void factorise_for(std::vector<AttractorSearcher>& all);
    // J = shift + 1 - F' A with the slopes that residual left. Throws SingularError.
    void factorise(T shift);
    void solve(T* x, double relative) const;
    void solve_transposed(const T* b, T* x, double relative) const;
    // Whether max |b - J^T x| <= relative max |b|.
    bool solves_transposed(const T* b, const T* x, double relative);

private:
    class Problem;

    double evaluate(const T* source, const T* z, T* out);
    bool is_solved(const AttractorSearch& search, const T* source, const T* z, double residual,
                   AttractorResult& result) const;
    template <class Advance>
    AttractorResult iterate(const AttractorSearch& search, std::int64_t max_iterations,
                            const T* source, const Poll& poll, std::vector<double>* history,
                            const Advance& advance);
    const LinearSolver<T>& solver() const { return shared_ ? *shared_ : *own_; }

    const FixedPoint<T>* equation_ = nullptr;
    std::unique_ptr<LinearSolver<T>> own_;
    LinearSolver<T>* shared_ = nullptr;
    double omega_ = 1.0;
    double jacobian_norm_ = 0.0;
    T *pre_ = nullptr, *f_ = nullptr, *slope_ = nullptr, *entries_ = nullptr;
    T* history_ = nullptr;  // of Anderson's mixing
    NewtonWork<T> newton_{};
};

}  // namespace relaxon
