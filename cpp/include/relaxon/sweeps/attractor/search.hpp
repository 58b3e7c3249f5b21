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
#include "relaxon/sweeps/implicit/line_newton.hpp"
#include "relaxon/sweeps/implicit/matrix.hpp"

namespace relaxon {

// Whoever waits for the search: called between iterations.
using Poll = std::function<void()>;

// Of one worker. Samples never see each other.
template <class T>
class AttractorSearcher {
public:
    // The method that is taken for a matrix.
    static AttractorMethod method_for(const AttractorSearch& search, const LayerMatrix<T>& matrix);

    // Of n cells, with a Jacobian of n_entries.
    void carve(Arena& arena, std::int64_t n, std::int64_t n_entries, AttractorMethod method);
    // Of cells that see their neighbours alone; has_source: of networks with drive. What the
    // general way needs is taken by the first sample that has to go it.
    void carve(Arena& arena, const LineNewton<T>& line, bool has_source);
    // Before the first search. A linear equation is solved with the solver of all workers.
    void take(const FixedPoint<T>& equation, LinearSolver<T>* shared, double omega);

    // From start, null: 0, to the attractor in z; source is x with drive, else null. Where it is to
    // be polished, one whole Newton step follows if it does not make the residual larger. Residuals
    // of all iterates are added to a history where there is one. Cells of a line are shared by a
    // team, if there is one.
    AttractorResult find(const AttractorSearch& search, AttractorMethod method, const T* source,
                         const T* start, T* z, bool is_polished, const Poll& poll,
                         std::vector<double>* history, Team* team);
    // max |F(z)|; NaN where a number is not finite. f' is left in slope().
    double residual(const T* source, const T* z);
    const T* slope() const { return slope_; }
    // f' at z, 0 where no cell is.
    void find_slopes(const T* source, const T* z, T* slopes, Team* team);
    // s = f' J^-T b at z, and whether that solves to enough digits; s may be b. Throws
    // SingularError.
    bool pull_back(const T* source, const T* z, const T* b, T* s, Team* team);
    // x = J^-1 x at z; f' there is left in slope(). Throws SingularError.
    void push_forward(T* x);

    // The factorisation of a linear equation by one for all, with what is known of it.
    void factorise_for(std::vector<AttractorSearcher>& all);

    // Of a line.
    const typename LineNewton<T>::Work& line_work() const { return line_work_; }

private:
    class Problem;

    void take_general();
    void polish(const T* source, T* z);

    // J = shift + 1 - F' A with the slopes that residual left. Throws SingularError.
    void factorise(T shift);
    void solve(T* x, double relative);
    // Whether max |b - J^T x| <= relative max |b|.
    bool solves_transposed(const T* b, const T* x, double relative);
    bool find_on_line(const AttractorSearch& search, const T* source, const T* start, T* z,
                      bool is_polished, const Poll& poll, std::vector<double>* history, Team* team,
                      AttractorResult& result);

    double evaluate(const T* source, const T* z, T* out);
    bool is_solved(const AttractorSearch& search, const T* source, const T* z, double residual,
                   AttractorResult& result) const;
    template <class Advance>
    AttractorResult iterate(const AttractorSearch& search, std::int64_t max_iterations,
                            const T* source, const Poll& poll, std::vector<double>* history,
                            const Advance& advance);
    LinearSolver<T>& solver();

    const FixedPoint<T>* equation_ = nullptr;
    std::unique_ptr<LinearSolver<T>> own_;  // made where it is first needed
    LinearSolver<T>* shared_ = nullptr;
    double omega_ = 1.0;
    double jacobian_norm_ = 0.0;
    T *pre_ = nullptr, *f_ = nullptr, *slope_ = nullptr, *entries_ = nullptr;
    T* history_ = nullptr;  // of Anderson's mixing
    NewtonWork<T> newton_{};
    const LineNewton<T>* line_ = nullptr;
    typename LineNewton<T>::Work line_work_{};
    Block general_;  // of a line, once the general way was taken
};

}  // namespace relaxon
