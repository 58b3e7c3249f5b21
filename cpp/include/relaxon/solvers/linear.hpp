// The contract of a direct solver of A x = b: once init for a pattern, then any number of times
// factorise for its values, then solves with A and its transpose, for one factorisation by many
// threads at the same time.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>

#include "relaxon/operators/pattern.hpp"

namespace relaxon {

// A matrix without an inverse.
class SingularError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

template <class T>
class LinearSolver {
public:
    virtual ~LinearSolver() = default;

    // Takes its memory. Entries that the pattern lacks are zero.
    virtual void init(const Pattern& pattern) = 0;
    // Values in the order of the pattern's entries. Throws SingularError where a pivot vanishes.
    virtual void factorise(const T* values) = 0;
    // How far iterations go, |b - A x| <= relative |b|; direct solvers know no such thing.
    virtual void set_tolerance(double relative) { static_cast<void>(relative); }
    // x = A^-1 b, or with the transpose, of n_rhs right-hand sides (n_rhs, n) in C order. x may be
    // b. The bits of one do not depend on the others.
    virtual void solve(const T* b, T* x, std::int64_t n_rhs) const = 0;
    virtual void solve_transposed(const T* b, T* x, std::int64_t n_rhs) const = 0;
};

// Whether one matrix is solved with often, or each once or twice.
enum class Use { often, once };

// The one for a pattern: full, inside a narrow band, or sparse; sparse ones that are used once are
// not factorised.
template <class T>
std::unique_ptr<LinearSolver<T>> make_linear_solver(const Pattern& pattern, Use use);

// Bytes that it takes; of sparse factors, whose fill depends on the values, an estimate.
template <class T>
std::int64_t linear_solver_bytes(const Pattern& pattern, Use use);

}  // namespace relaxon
