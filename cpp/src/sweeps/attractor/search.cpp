#include "relaxon/sweeps/attractor/search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "relaxon/solvers/anderson.hpp"

namespace relaxon {

namespace {

// Of a full matrix, up to which it is factorised.
constexpr std::int64_t kMostDense = 2000;

// Iterations, where the caller says nothing.
constexpr std::int64_t kNewtonSteps = 200;
constexpr std::int64_t kMixingSteps = 5000;
constexpr std::int64_t kLayers = 100000;
// Steps that a linear equation is solved in: one, and what rounding left.
constexpr std::int64_t kLinearSteps = 3;

template <class T>
constexpr double kRounding = 4.0 * std::numeric_limits<T>::epsilon();

// Relative residual of inexact Newton steps, at most.
constexpr double kInexact = 1e-2;

}  // namespace

// F as Newton's method sees it.
template <class T>
class AttractorSearcher<T>::Problem {
public:
    Problem(AttractorSearcher& searcher, const AttractorSearch& search, const T* source,
            std::vector<double>* history, AttractorResult& result)
        : searcher_(searcher), search_(search), source_(source), history_(history),
          result_(result) {}

    double residual(const T* z, T* out) { return last_ = searcher_.evaluate(source_, z, out); }
    bool is_solved(const T* z, double residual) {
        if (history_) history_->push_back(residual);
        return searcher_.is_solved(search_, source_, z, residual, result_);
    }
    void factorise(T shift) { searcher_.factorise(shift); }
    void solve(T* step) { searcher_.solve(step, std::min(kInexact, last_)); }

private:
    AttractorSearcher& searcher_;
    const AttractorSearch& search_;
    const T* source_;
    std::vector<double>* history_;
    AttractorResult& result_;
    double last_ = 0.0;
};

template <class T>
AttractorMethod AttractorSearcher<T>::method_for(const AttractorSearch& search,
                                                 const Pattern& pattern) {
    if (search.method != AttractorMethod::automatic) return search.method;
    const bool is_large = pattern.is_full() && pattern.n() > kMostDense;
    return is_large ? AttractorMethod::anderson : AttractorMethod::newton;
}

template <class T>
void AttractorSearcher<T>::carve(Arena& arena, const Pattern& jacobian, AttractorMethod method) {
    const std::int64_t n = jacobian.n();
    for (T** field : {&pre_, &f_, &slope_, &newton_.z, &newton_.residual, &newton_.step,
                      &newton_.trial, &newton_.trial_residual, &newton_.best}) {
        *field = arena.take<T>(n);
    }
    entries_ = arena.take<T>(jacobian.n_entries());
    if (method == AttractorMethod::anderson) history_ = arena.take<T>(AndersonMixing<T>::size(n));
}

template <class T>
void AttractorSearcher<T>::take(const FixedPoint<T>& equation, LinearSolver<T>* shared,
                                double omega) {
    equation_ = &equation;
    shared_ = shared;
    omega_ = omega;
    if (shared || own_) return;
    const Pattern& pattern = equation.jacobian->pattern();
    own_ = make_linear_solver<T>(pattern, Use::once);
    own_->init(pattern);
}

template <class T>
double AttractorSearcher<T>::evaluate(const T* source, const T* z, T* out) {
    const std::int64_t n = equation_->n();
    equation_->evaluate(z, source, pre_);
    activate_with_derivative(equation_->activation, pre_, f_, slope_, static_cast<std::size_t>(n));
    double largest = 0.0;
    bool is_finite = true;
    for (std::int64_t i = 0; i < n; ++i) {
        out[i] = equation_->grid->exists(i) ? z[i] - f_[i] : T(0);
        const double size = std::abs(static_cast<double>(out[i]));
        is_finite = is_finite && std::isfinite(size);
        largest = std::max(largest, size);
    }
    return is_finite ? largest : std::numeric_limits<double>::quiet_NaN();
}

template <class T>
double AttractorSearcher<T>::residual(const T* source, const T* z) {
    return evaluate(source, z, newton_.residual);
}

// Rounding is asked for its cheap bound first.
template <class T>
bool AttractorSearcher<T>::is_solved(const AttractorSearch& search, const T* source, const T* z,
                                     double residual, AttractorResult& result) const {
    if (search.tolerance < 0.0) return false;
    double size = 0.0, source_size = 0.0;
    for (std::int64_t i = 0; i < equation_->n(); ++i) {
        size = std::max(size, std::abs(static_cast<double>(z[i])));
        if (!source) continue;
        source_size = std::max(source_size, std::abs(static_cast<double>(source[i])));
    }
    if (residual <= search.tolerance * std::max(1.0, size)) return true;
    const double bound = equation_->row_norm * size + equation_->offset_norm + source_size;
    if (residual > kRounding<T> * bound) return false;
    result.is_at_floor = residual <= kRounding<T> * equation_->terms(z, source);
    return result.is_at_floor;
}

template <class T>
void AttractorSearcher<T>::factorise(T shift) {
    const FixedPoint<T>& equation = *equation_;
    const auto diagonal = [&](std::int64_t row) {
        return equation.grid->exists(row) ? T(1) + shift : T(1);
    };
    const auto factor = [&](std::int64_t row) {
        return equation.grid->exists(row) ? slope_[row] : T(0);
    };
    equation.jacobian->fill(equation.entries, diagonal, factor, entries_);
    const Pattern& pattern = equation.jacobian->pattern();
    jacobian_norm_ = 0.0;
    for (std::int64_t row = 0; row < pattern.n(); ++row) {
        double sum = 0.0;
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            sum += std::abs(static_cast<double>(entries_[i]));
        }
        jacobian_norm_ = std::max(jacobian_norm_, sum);
    }
    (shared_ ? shared_ : own_.get())->factorise(entries_);
}

template <class T>
void AttractorSearcher<T>::factorise_for(std::vector<AttractorSearcher>& all) {
    std::fill(slope_, slope_ + equation_->n(), T(1));
    factorise(T(0));
    for (AttractorSearcher& searcher : all) searcher.jacobian_norm_ = jacobian_norm_;
}

// In place. A matrix whose inverse makes more of a vector than its digits bear has none.
template <class T>
void AttractorSearcher<T>::solve(T* x, double relative) const {
    const auto largest = [&] {
        double found = 0.0;
        for (std::int64_t i = 0; i < equation_->n(); ++i) {
            found = std::max(found, std::abs(static_cast<double>(x[i])));
        }
        return found;
    };
    const double before = largest();
    if (own_) own_->set_tolerance(relative);
    solver().solve(x, x, 1);
    if (largest() * jacobian_norm_ * kRounding < T >> before) {
        throw SingularError("the matrix is singular to working precision");
    }
}

template <class T>
void AttractorSearcher<T>::solve_transposed(const T* b, T* x, double relative) const {
    if (own_) own_->set_tolerance(relative);
    solver().solve_transposed(b, x, 1);
}

template <class T>
bool AttractorSearcher<T>::solves_transposed(const T* b, const T* x, double relative) {
    const std::int64_t n = equation_->n();
    T* left = newton_.trial;
    for (std::int64_t i = 0; i < n; ++i) {
        left[i] = equation_->grid->exists(i) ? slope_[i] * x[i] : T(0);
        newton_.step[i] = b[i] - x[i];
    }
    add_transposed(*equation_->pattern, equation_->entries, left, newton_.step);
    double largest = 0.0, size = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
        const double rest = std::abs(static_cast<double>(newton_.step[i]));
        if (!std::isfinite(rest)) return false;
        largest = std::max(largest, rest);
        size = std::max(size, std::abs(static_cast<double>(b[i])));
    }
    return largest <= relative * size;
}

// Iterations of one kind: advance(z, F, residual) changes z.
template <class T>
template <class Advance>
AttractorResult AttractorSearcher<T>::iterate(const AttractorSearch& search,
                                              std::int64_t max_iterations, const T* source,
                                              const Poll& poll, std::vector<double>* history,
                                              const Advance& advance) {
    const std::int64_t n = equation_->n();
    AttractorResult result;
    double least = std::numeric_limits<double>::infinity();
    while (true) {
        const double residual = evaluate(source, newton_.z, newton_.residual);
        if (history) history->push_back(residual);
        result.residual = residual;
        if (!std::isfinite(residual)) {
            result.status = NewtonStatus::not_finite;
            break;
        }
        if (is_solved(search, source, newton_.z, residual, result)) return result;
        if (residual < least) {
            std::copy(newton_.z, newton_.z + n, newton_.best);
            least = residual;
        }
        if (result.n_iterations == max_iterations) {
            result.status = NewtonStatus::max_iterations;
            break;
        }
        poll();
        ++result.n_iterations;
        try {
            advance(newton_.z, newton_.residual, residual);
        } catch (const SingularError&) {
            result.status = NewtonStatus::singular;
            break;
        }
    }
    if (std::isfinite(least)) {
        std::swap(newton_.z, newton_.best);
        result.residual = least;
    }
    return result;
}

template <class T>
AttractorResult AttractorSearcher<T>::find(const AttractorSearch& search, AttractorMethod method,
                                           const T* source, const T* start, T* z, const Poll& poll,
                                           std::vector<double>* history) {
    const std::int64_t n = equation_->n();
    const Contraction& contraction = equation_->contraction;
    const double omega =
        contraction.omega_max > 0.0 ? std::min(omega_, contraction.omega_max) : omega_;
    std::copy(start, start + n, newton_.z);
    // One attractor is found from anywhere.
    if (contraction.is_certified() && search.tolerance >= 0.0) {
        std::fill(newton_.trial, newton_.trial + n, T(0));
        const double from_zero = residual(source, newton_.trial);
        if (!(residual(source, newton_.z) <= from_zero)) std::swap(newton_.z, newton_.trial);
    }
    AttractorResult result;
    const auto limit = [&](std::int64_t usual) {
        return search.max_iterations > 0 ? search.max_iterations : usual;
    };
    const auto relax = [&](double rate) {
        return [=](T* state, const T* out, double) {
            for (std::int64_t i = 0; i < n; ++i) state[i] -= static_cast<T>(rate) * out[i];
        };
    };
    switch (method) {
    case AttractorMethod::automatic:
    case AttractorMethod::newton: {
        if (equation_->is_linear()) {
            const auto step = [&](T* state, const T* out, double) {
                std::copy(out, out + n, newton_.step);
                solve(newton_.step, 0.0);
                for (std::int64_t i = 0; i < n; ++i) state[i] -= newton_.step[i];
            };
            result = iterate(search, kLinearSteps, source, poll, history, step);
            if (result.status == NewtonStatus::max_iterations) {
                result.status = NewtonStatus::stalled;
            }
            break;
        }
        Problem problem(*this, search, source, history, result);
        const NewtonResult found = newton(problem, n, newton_, limit(kNewtonSteps), poll);
        result.status = found.status;
        result.n_iterations = found.n_iterations;
        result.residual = found.residual;
        break;
    }
    case AttractorMethod::anderson: {
        AndersonMixing<T> mixing(history_, n, static_cast<T>(omega));
        const auto step = [&](T* state, const T* out, double residual) {
            mixing.advance(state, out, residual);
        };
        result = iterate(search, limit(kMixingSteps), source, poll, history, step);
        break;
    }
    case AttractorMethod::relaxation:
        result = iterate(search, limit(kLayers), source, poll, history, relax(omega_));
        break;
    }
    result.method = method;
    std::copy(newton_.z, newton_.z + n, z);
    return result;
}

template <class T>
void AttractorSearcher<T>::polish(const T* source, T* z) {
    const std::int64_t n = equation_->n();
    const double before = residual(source, z);
    std::copy(newton_.residual, newton_.residual + n, newton_.step);
    try {
        if (!shared_) factorise(T(0));
        solve(newton_.step, 1e-12);
    } catch (const SingularError&) {
        return;
    }
    for (std::int64_t i = 0; i < n; ++i) newton_.trial[i] = z[i] - newton_.step[i];
    if (residual(source, newton_.trial) <= before) std::copy(newton_.trial, newton_.trial + n, z);
}

template class AttractorSearcher<float>;
template class AttractorSearcher<double>;

}  // namespace relaxon
