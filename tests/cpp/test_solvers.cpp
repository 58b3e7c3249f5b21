// The contract of direct solvers, for every one of them: residuals with the matrix and with its
// transpose, many right-hand sides, new values for one pattern, matrices without an inverse.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "relaxon/solvers/banded_lu.hpp"
#include "relaxon/solvers/bicgstab.hpp"
#include "relaxon/solvers/dense_lu.hpp"
#include "relaxon/solvers/shifted_pattern.hpp"
#include "relaxon/solvers/sparse_lu.hpp"

namespace relaxon {
namespace {

template <class T>
struct System {
    Pattern pattern;
    std::vector<T> values;
};

// Entries where `has`(row, column), diagonally dominant but for rows that want an exchange, or
// without such rows.
template <class T, class Has>
System<T> system_of(std::int64_t n, unsigned seed, bool is_dominant, const Has& has) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    std::vector<std::int64_t> row_begin{0}, columns;
    std::vector<T> values;
    for (std::int64_t row = 0; row < n; ++row) {
        for (std::int64_t column = 0; column < n; ++column) {
            const bool is_diagonal = row == column;
            if (!is_diagonal && !has(row, column)) continue;
            columns.push_back(column);
            const double large = is_diagonal && (is_dominant || row % 5 != 0) ? 6.0 : 0.0;
            values.push_back(static_cast<T>(large + uniform(random)));
        }
        row_begin.push_back(static_cast<std::int64_t>(columns.size()));
    }
    return {Pattern(row_begin, columns), values};
}

template <class T>
System<T> full_system(std::int64_t n, unsigned seed) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    System<T> system{Pattern::full(n), {}};
    for (std::int64_t i = 0; i < n * n; ++i)
        system.values.push_back(static_cast<T>(uniform(random)));
    return system;
}

// Cells in a line, or in a circle, that see `radius` neighbours on each side.
template <class T>
System<T> line_system(std::int64_t n, unsigned seed, std::int64_t radius, bool is_circle,
                      bool is_dominant) {
    return system_of<T>(n, seed, is_dominant, [=](std::int64_t row, std::int64_t column) {
        const std::int64_t distance = std::abs(row - column);
        return std::min(distance, is_circle ? n - distance : distance) <= radius;
    });
}

using Kind = int;
constexpr Kind kKinds = 7;

template <class T>
System<T> make_system(Kind kind, std::int64_t n, unsigned seed) {
    switch (kind) {
    case 0:
        return full_system<T>(n, seed);
    case 1:
        return system_of<T>(n, seed, false, [](std::int64_t row, std::int64_t column) {
            return (row * 7 + column * 5) % 4 == 0;
        });
    case 2:
        return line_system<T>(n, seed, 1, false, true);
    case 3:
        return line_system<T>(n, seed, 2, false, false);
    case 4:
        return line_system<T>(n, seed, 1, true, true);
    case 5:
        return line_system<T>(n, seed, 3, true, false);
    default:
        return line_system<T>(n, seed, n, true, true);
    }
}

// b - A x, or with the transpose, over the size of its terms.
template <class T>
double residual(const System<T>& system, const T* x, const T* b, bool is_transposed) {
    const std::int64_t n = system.pattern.n();
    std::vector<double> sums(static_cast<std::size_t>(n)), sizes(static_cast<std::size_t>(n));
    for (std::int64_t row = 0; row < n; ++row) {
        for (std::int64_t i = system.pattern.begin(row); i < system.pattern.begin(row + 1); ++i) {
            const std::int64_t column = system.pattern.column(row, i);
            const auto to = static_cast<std::size_t>(is_transposed ? column : row);
            const double term = static_cast<double>(system.values[static_cast<std::size_t>(i)]) *
                                x[is_transposed ? row : column];
            sums[to] += term;
            sizes[to] += std::abs(term);
        }
    }
    double worst = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        worst = std::max(worst, std::abs(sums[at] - b[i]) / (sizes[at] + std::abs(b[i])));
    }
    return worst;
}

template <class T>
class SolverTest : public testing::Test {
protected:
    using Make = std::function<std::unique_ptr<LinearSolver<T>>()>;
    const std::vector<std::pair<const char*, Make>> solvers{{"dense LU", make_dense_lu<T>},
                                                            {"banded LU", make_banded_lu<T>},
                                                            {"sparse LU", make_sparse_lu<T>}};
};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(SolverTest, Precisions);

TYPED_TEST(SolverTest, SolvesWithTheMatrixAndItsTranspose) {
    using T = TypeParam;
    for (const std::int64_t n : {37, 36, 2, 1}) {
        constexpr std::int64_t n_rhs = 5;
        std::mt19937_64 random(9);
        std::normal_distribution<double> normal;
        std::vector<T> b(n * n_rhs), x(n * n_rhs), alone(n);
        for (T& value : b) value = static_cast<T>(normal(random));
        const double allowed = 64 * n * std::numeric_limits<T>::epsilon();
        for (const auto& [name, make] : this->solvers) {
            for (Kind kind = 0; kind < kKinds; ++kind) {
                if (kind == 0 && std::string(name) == "sparse LU")
                    continue;  // nothing is stored of it
                const auto solver = make();
                bool is_first = true;
                for (const unsigned seed : {1u, 2u}) {
                    const System<T> system = make_system<T>(kind, n, seed);
                    if (is_first) solver->init(system.pattern);
                    is_first = false;
                    solver->factorise(system.values.data());
                    for (const bool is_transposed : {false, true}) {
                        const auto solve = [&](const T* from, T* to, std::int64_t count) {
                            if (is_transposed) {
                                solver->solve_transposed(from, to, count);
                            } else {
                                solver->solve(from, to, count);
                            }
                        };
                        solve(b.data(), x.data(), n_rhs);
                        for (std::int64_t i = 0; i < n_rhs; ++i) {
                            EXPECT_LE(
                                residual(system, x.data() + i * n, b.data() + i * n, is_transposed),
                                allowed)
                                << name;
                            // One alone, in its own place.
                            std::copy_n(b.data() + i * n, n, alone.data());
                            solve(alone.data(), alone.data(), 1);
                            EXPECT_TRUE(std::equal(alone.begin(), alone.end(), x.data() + i * n))
                                << name;
                        }
                    }
                }
            }
        }
    }
}

// Iterations with what they leave to a factorisation: rows that outweigh nothing, and right-hand
// sides of zeros.
TYPED_TEST(SolverTest, IteratesAndFactorisesWhereThatDoesNotDo) {
    using T = TypeParam;
    constexpr std::int64_t n = 36;
    const auto solver = make_bicgstab<T>();
    std::mt19937_64 random(9);
    std::normal_distribution<double> normal;
    std::vector<T> b(2 * n, T(0)), x(2 * n);
    for (std::int64_t i = 0; i < n; ++i)
        b[static_cast<std::size_t>(i)] = static_cast<T>(normal(random));
    for (Kind kind = 1; kind < kKinds; ++kind) {
        const System<T> system = make_system<T>(kind, n, 1);
        solver->init(system.pattern);
        solver->factorise(system.values.data());
        for (const double tolerance : {1e-2, 1e-12}) {
            const double allowed =
                std::max(40.0 * tolerance, 4096.0 * std::numeric_limits<T>::epsilon());
            solver->set_tolerance(tolerance);
            solver->solve(b.data(), x.data(), 2);
            EXPECT_LE(residual(system, x.data(), b.data(), false), allowed) << kind;
            EXPECT_EQ(*std::max_element(x.begin() + n, x.end()), T(0));
            solver->solve_transposed(b.data(), x.data(), 2);
            EXPECT_LE(residual(system, x.data(), b.data(), true), allowed) << kind;
        }
    }
}

TYPED_TEST(SolverTest, RefusesAMatrixWithoutAnInverse) {
    using T = TypeParam;
    for (const auto& [name, make] : this->solvers) {
        const auto solver = make();
        // The second row is empty.
        const Pattern pattern({0, 1, 1, 2}, {0, 2});
        const std::vector<T> values{T(1), T(2)};
        solver->init(pattern);
        EXPECT_THROW(solver->factorise(values.data()), SingularError) << name;
    }
}

// A ring of cells is eliminated from both ends, in a band twice as wide as that of a line.
TEST(BandedLu, FoldsARing) {
    for (const std::int64_t radius : {1, 2, 3}) {
        EXPECT_EQ(band_width(line_system<double>(40, 1, radius, false, true).pattern), radius);
        EXPECT_EQ(band_width(line_system<double>(40, 1, radius, true, true).pattern), 2 * radius);
    }
}

TEST(ShiftedPattern, AddsTheDiagonal) {
    // Without diagonal entries in the first and last row; the second row is empty.
    const Pattern a({0, 1, 1, 3}, {2, 0, 1});
    const ShiftedPattern shifted(a);
    const std::vector<double> values{5.0, 7.0, 11.0};
    std::vector<double> found(static_cast<std::size_t>(shifted.pattern().n_entries()));
    shifted.fill(
        values.data(), [](std::int64_t row) { return 100.0 + static_cast<double>(row); },
        [](std::int64_t row) { return row == 0 ? 1.0 : 2.0; }, found.data());
    EXPECT_EQ(found, (std::vector<double>{100.0, -5.0, 101.0, -14.0, -22.0, 102.0}));
    const ShiftedPattern full(Pattern::full(2));
    const std::vector<double> entries{1.0, 2.0, 3.0, 4.0};
    found.resize(4);
    full.fill(
        entries.data(), [](std::int64_t) { return 10.0; }, [](std::int64_t) { return 1.0; },
        found.data());
    EXPECT_EQ(found, (std::vector<double>{9.0, -2.0, -3.0, 6.0}));
}

TEST(Pattern, KnowsItsBand) {
    const Pattern pattern({0, 2, 2, 4}, {0, 2, 1, 2});
    EXPECT_EQ(pattern.band(), (std::pair<std::int64_t, std::int64_t>{1, 2}));
    EXPECT_EQ(pattern.n_entries(), 4);
    const Pattern full = Pattern::full(3);
    EXPECT_EQ(full.n_entries(), 9);
    EXPECT_EQ(full.column(1, 5), 2);
    EXPECT_EQ(full.band(), (std::pair<std::int64_t, std::int64_t>{2, 2}));
}

}  // namespace
}  // namespace relaxon
