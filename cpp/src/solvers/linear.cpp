#include "relaxon/solvers/linear.hpp"

#include <cmath>

#include "relaxon/solvers/banded_lu.hpp"
#include "relaxon/solvers/bicgstab.hpp"
#include "relaxon/solvers/dense_lu.hpp"
#include "relaxon/solvers/sparse_lu.hpp"

namespace relaxon {

namespace {

// Half-width of a band up to which elimination stays inside it. On planes of 16384 cells, five
// points, D = 1 and e = 0.5 and 50 (AVX2), elimination and a solve take 80 to 110 ns per cell at
// half-width 8, 290 to 340 at 16 and 780 to 970 at 32. BiCGSTAB takes 60 to 130 to 1e-2, as for
// first steps, and 210 to 730 to 1e-12, as for derivatives, whatever the width; sparse LU at 16
// takes 2000 for its factors, and as long as the band for solves, 90 to 160.
constexpr std::int64_t kNarrow = 16;

// Entries of L and U over n log2 n: 6 to 8 for nine points in planes of 32^2 to 128^2 (SuperLU with
// the same ordering), 19 already in a volume of 12^3, for which this is too low.
constexpr double kFill = 12.0;

// Of the iterations, right-hand side and result included.
constexpr std::int64_t kVectors = 14;

// Rows up to which factors cost no more than iterations, whatever is asked for.
constexpr std::int64_t kFew = 64;

bool is_iterated(const Pattern& pattern, Use use) { return use == Use::once && pattern.n() > kFew; }

}  // namespace

template <class T>
std::unique_ptr<LinearSolver<T>> make_linear_solver(const Pattern& pattern, Use use) {
    if (pattern.is_full()) return make_dense_lu<T>();
    if (band_width(pattern) <= kNarrow) return make_banded_lu<T>();
    if (is_iterated(pattern, use)) return make_bicgstab<T>();
    return make_sparse_lu<T>();
}

template <class T>
std::int64_t linear_solver_bytes(const Pattern& pattern, Use use) {
    const std::int64_t n = pattern.n();
    const auto number = static_cast<std::int64_t>(sizeof(T));
    if (pattern.is_full()) return 2 * n * n * number;
    const std::int64_t width = band_width(pattern);
    const std::int64_t copy = (pattern.n_entries() + n) * 8;  // of the pattern
    if (width <= kNarrow) return copy + n * ((3 * width + 1) * number + 2 * 8);
    if (is_iterated(pattern, use))
        return copy + pattern.n_entries() * (2 * number + 4) + kVectors * n * number;
    const double log_n = std::log2(static_cast<double>(n));
    const auto n_filled = static_cast<std::int64_t>(kFill * static_cast<double>(n) * log_n);
    constexpr std::int64_t kEntryBytes = 12;  // in double precision, with an index
    return (pattern.n_entries() + n_filled) * kEntryBytes;
}

template std::int64_t linear_solver_bytes<float>(const Pattern&, Use);
template std::int64_t linear_solver_bytes<double>(const Pattern&, Use);
template std::unique_ptr<LinearSolver<float>> make_linear_solver<float>(const Pattern&, Use);
template std::unique_ptr<LinearSolver<double>> make_linear_solver<double>(const Pattern&, Use);

}  // namespace relaxon
