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

// Relative residual of inexact Newton steps, at most; of derivatives, what iterations aim at and
// what is refused.
constexpr double kInexact = 1e-2;
constexpr double kDerivative = 1e-12;
template <class T>
constexpr double kRefused = sizeof(T) == sizeof(double) ? 1e-8 : 1e-3;

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
                                                 const LayerMatrix<T>& matrix) {
    if (search.method != AttractorMethod::automatic) return search.method;
    if (matrix.is_line()) return AttractorMethod::newton;
    const bool is_large = matrix.pattern().is_full() && matrix.pattern().n() > kMostDense;
    return is_large ? AttractorMethod::anderson : AttractorMethod::newton;
}

template <class T>
void AttractorSearcher<T>::carve(Arena& arena, std::int64_t n, std::int64_t n_entries,
                                 AttractorMethod method) {
    for (T** field : {&pre_, &f_, &slope_, &newton_.z, &newton_.residual, &newton_.step,
                      &newton_.trial, &newton_.trial_residual, &newton_.best}) {
        *field = arena.take<T>(n);
    }
    entries_ = arena.take<T>(n_entries);
    if (method == AttractorMethod::anderson) history_ = arena.take<T>(AndersonMixing<T>::size(n));
}

template <class T>
void AttractorSearcher<T>::carve(Arena& arena, const LineNewton<T>& line, bool has_source) {
    line_ = &line;
    line_work_ = line.carve_work(arena, has_source, true, false);
}

// Before all that is not done by packs of a line.
template <class T>
void AttractorSearcher<T>::take_general() {
    if (!line_) return;
    equation_->assemble();
    if (pre_) return;
    const std::int64_t n_entries = equation_->jacobian().pattern().n_entries();
    Arena measure;
    carve(measure, equation_->n(), n_entries, AttractorMethod::newton);
    general_ = Block(measure.used_bytes());
    Arena arena(general_);
    carve(arena, equation_->n(), n_entries, AttractorMethod::newton);
}

template <class T>
void AttractorSearcher<T>::take(const FixedPoint<T>& equation, LinearSolver<T>* shared,
                                double omega) {
    equation_ = &equation;
    shared_ = shared;
    omega_ = omega;
}

template <class T>
LinearSolver<T>& AttractorSearcher<T>::solver() {
    if (shared_) return *shared_;
    if (!own_) {
        const Pattern& pattern = equation_->jacobian().pattern();
        own_ = make_linear_solver<T>(pattern, Use::once);
        own_->init(pattern);
    }
    return *own_;
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
    take_general();
    return evaluate(source, z, newton_.residual);
}

// For the iterate that was evaluated last. Rounding is asked for its cheap bound first.
template <class T>
bool AttractorSearcher<T>::is_solved(const AttractorSearch& search, const T* source, const T* z,
                                     double residual, AttractorResult& result) const {
    if (search.tolerance < 0.0) return false;
    double size = 0.0, image = 0.0, slope = 0.0, source_size = 0.0;
    for (std::int64_t i = 0; i < equation_->n(); ++i) {
        size = std::max(size, std::abs(static_cast<double>(z[i])));
        image = std::max(image, std::abs(static_cast<double>(f_[i])));
        slope = std::max(slope, std::abs(static_cast<double>(slope_[i])));
        if (!source) continue;
        source_size = std::max(source_size, std::abs(static_cast<double>(source[i])));
    }
    if (residual <= search.tolerance * std::max(1.0, size)) return true;
    const double sum = equation_->row_norm * size + equation_->offset_norm + source_size;
    const double bound = size + image + slope * sum;
    if (residual > kRounding<T> * bound) return false;
    result.is_at_floor = residual <= kRounding<T> * equation_->terms(z, source, f_, slope_);
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
    equation.jacobian().fill(equation.entries, diagonal, factor, entries_);
    const Pattern& pattern = equation.jacobian().pattern();
    jacobian_norm_ = 0.0;
    for (std::int64_t row = 0; row < pattern.n(); ++row) {
        double sum = 0.0;
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            sum += std::abs(static_cast<double>(entries_[i]));
        }
        jacobian_norm_ = std::max(jacobian_norm_, sum);
    }
    solver().factorise(entries_);
}

template <class T>
void AttractorSearcher<T>::factorise_for(std::vector<AttractorSearcher>& all) {
    std::fill(slope_, slope_ + equation_->n(), T(1));
    factorise(T(0));
    for (AttractorSearcher& searcher : all) searcher.jacobian_norm_ = jacobian_norm_;
}

// In place. A matrix whose inverse makes more of a vector than its digits bear has none.
template <class T>
void AttractorSearcher<T>::solve(T* x, double relative) {
    const auto largest = [&] {
        double found = 0.0;
        for (std::int64_t i = 0; i < equation_->n(); ++i) {
            found = std::max(found, std::abs(static_cast<double>(x[i])));
        }
        return found;
    };
    const double before = largest();
    LinearSolver<T>& linear = solver();
    if (!shared_) linear.set_tolerance(relative);
    linear.solve(x, x, 1);
    if (largest() * jacobian_norm_ * kRounding < T >> before) {
        throw SingularError("the matrix is singular to working precision");
    }
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

template <class T>
void AttractorSearcher<T>::find_slopes(const T* source, const T* z, T* slopes, Team* team) {
    if (line_) {
        line_->take_source(source, line_work_, team);
        line_->find_slopes(z, slopes, line_work_, team);
        return;
    }
    residual(source, z);
    for (std::int64_t i = 0; i < equation_->n(); ++i) {
        slopes[i] = equation_->grid->exists(i) ? slope_[i] : T(0);
    }
}

template <class T>
bool AttractorSearcher<T>::pull_back(const T* source, const T* z, const T* b, T* s, Team* team) {
    if (line_) {
        line_->take_source(source, line_work_, team);
        if (line_->solve_transposed(z, b, nullptr, s, nullptr, line_work_, team)) return true;
    }
    residual(source, z);
    LinearSolver<T>& linear = solver();
    if (!shared_) {
        factorise(T(0));
        linear.set_tolerance(kDerivative);
    }
    T* v = newton_.z;
    linear.solve_transposed(b, v, 1);
    const bool is_solved = solves_transposed(b, v, kRefused<T>);
    for (std::int64_t i = 0; i < equation_->n(); ++i) {
        s[i] = v[i] == T(0) || !equation_->grid->exists(i) ? T(0) : slope_[i] * v[i];
    }
    return is_solved;
}

template <class T>
void AttractorSearcher<T>::push_forward(T* x) {
    if (!shared_) factorise(T(0));
    solve(x, kDerivative);
}

// By packs of cells, where a search needs no row exchanges.
template <class T>
bool AttractorSearcher<T>::find_on_line(const AttractorSearch& search, const T* source,
                                        const T* start, T* z, bool is_polished, const Poll& poll,
                                        std::vector<double>* history, Team* team,
                                        AttractorResult& result) {
    line_->take_source(source, line_work_, team);
    // One attractor is found from anywhere.
    const auto is_zero = [](T value) { return value == T(0); };
    if (start && std::all_of(start, start + equation_->n(), is_zero)) start = nullptr;
    if (start && equation_->contraction.is_certified()) {
        const double from_zero = line_->residual(nullptr, line_work_, team);
        if (!(line_->residual(start, line_work_, team) <= from_zero)) start = nullptr;
    }
    const LineTest test{search.tolerance, kRounding<T>,
                        search.max_iterations > 0 ? search.max_iterations : kNewtonSteps,
                        is_polished};
    const LineRoot root =
        line_->find_root(start, nullptr, test, z, line_work_, team, [&](double residual) {
            if (history) history->push_back(residual);
            poll();
        });
    if (!root) {
        if (history) history->clear();
        return false;
    }
    result.method = AttractorMethod::newton;
    result.n_iterations = root.n_iterations;
    result.residual = root.residual;
    result.is_at_floor = root.residual > search.tolerance * std::max(1.0, root.size);
    return true;
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
                                           const T* source, const T* start, T* z, bool is_polished,
                                           const Poll& poll, std::vector<double>* history,
                                           Team* team) {
    AttractorResult result;
    const bool has_test = search.tolerance >= 0.0;
    if (line_ && has_test &&
        find_on_line(search, source, start, z, is_polished, poll, history, team, result)) {
        return result;
    }
    take_general();
    const std::int64_t n = equation_->n();
    const Contraction& contraction = equation_->contraction;
    const double omega =
        contraction.omega_max > 0.0 ? std::min(omega_, contraction.omega_max) : omega_;
    if (start) {
        std::copy(start, start + n, newton_.z);
    } else {
        std::fill(newton_.z, newton_.z + n, T(0));
    }
    // One attractor is found from anywhere.
    if (start && contraction.is_certified() && has_test) {
        std::fill(newton_.trial, newton_.trial + n, T(0));
        const double from_zero = residual(source, newton_.trial);
        if (!(residual(source, newton_.z) <= from_zero)) std::swap(newton_.z, newton_.trial);
    }
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
    if (is_polished && result.status == NewtonStatus::converged) polish(source, z);
    return result;
}

template <class T>
void AttractorSearcher<T>::polish(const T* source, T* z) {
    const std::int64_t n = equation_->n();
    const double before = residual(source, z);
    std::copy(newton_.residual, newton_.residual + n, newton_.step);
    try {
        push_forward(newton_.step);
    } catch (const SingularError&) {
        return;
    }
    for (std::int64_t i = 0; i < n; ++i) newton_.trial[i] = z[i] - newton_.step[i];
    if (residual(source, newton_.trial) <= before) std::copy(newton_.trial, newton_.trial + n, z);
}

template class AttractorSearcher<float>;
template class AttractorSearcher<double>;

}  // namespace relaxon
