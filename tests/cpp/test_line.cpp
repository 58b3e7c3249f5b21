// Solvers of lines by stretches: solutions against their residuals with the matrix and its
// transpose, for lines and circles of any number of cells; what they leave to others; Newton's
// method against a state that is known.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "grids.hpp"
#include "relaxon/solvers/line_lu.hpp"
#include "relaxon/sweeps/implicit/line_newton.hpp"

namespace relaxon {
namespace {

// Fewer cells than lanes, as many, left-over cells, and several stretches of different lengths.
constexpr std::int64_t kCells[] = {3, 4, 5, 7, 8, 9, 16, 17, 37, 64, 255, 1023, 2053, 4099, 20011};

template <class T>
struct Line {
    std::vector<T> lower, diagonal, upper;

    // Rows whose diagonal entry outweighs the others by 0.1.
    Line(std::int64_t n, bool is_circle, unsigned seed)
        : lower(random_values<T>(n, seed)), diagonal(lower.size()),
          upper(random_values<T>(n, seed + 1)) {
        if (!is_circle) lower.front() = upper.back() = T(0);
        for (std::size_t i = 0; i < lower.size(); ++i) {
            const T size = std::abs(lower[i]) + std::abs(upper[i]) + T(0.1);
            diagonal[i] = i % 3 == 0 ? -size : size;
        }
    }

    void copy_to(const ThreePoint<T>& matrix) const {
        std::copy(lower.begin(), lower.end(), matrix.lower);
        std::copy(diagonal.begin(), diagonal.end(), matrix.diagonal);
        std::copy(upper.begin(), upper.end(), matrix.upper);
    }

    // The largest |b - A x|, or with the transpose.
    double residual(const std::vector<T>& x, const std::vector<T>& b, bool is_transposed) const {
        const std::size_t n = lower.size();
        double worst = 0.0;
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t before = (i + n - 1) % n, after = (i + 1) % n;
            const double low = is_transposed ? upper[before] : lower[i];
            const double high = is_transposed ? lower[after] : upper[i];
            const double sum =
                low * x[before] + static_cast<double>(diagonal[i]) * x[i] + high * x[after];
            worst = std::max(worst, std::abs(sum - b[i]));
        }
        return worst;
    }
};

template <class T>
double largest(const std::vector<T>& values) {
    double most = 0.0;
    for (const T value : values) most = std::max(most, std::abs(static_cast<double>(value)));
    return most;
}

template <class T>
class LineTest : public testing::Test {
protected:
    static constexpr double kRounding = 64.0 * std::numeric_limits<T>::epsilon();
};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(LineTest, Precisions);

TYPED_TEST(LineTest, FactorisationSolvesWithTheMatrixAndItsTranspose) {
    using T = TypeParam;
    for (const std::int64_t n : kCells) {
        for (const bool is_circle : {false, true}) {
            const Line<T> line(n, is_circle, 7);
            const std::vector<T> b = random_values<T>(n, 9);
            std::vector<T> first[2];
            for (const int n_threads : {0, 1, 3}) {
                Team team(std::max(n_threads, 1), {});
                Team* const shared = n_threads > 0 ? &team : nullptr;
                LineLu<T> lu(n);
                Arena measure;
                lu.carve(measure);
                lu.carve_work(measure);
                Block block(measure.used_bytes());
                Arena arena(block);
                lu.carve(arena);
                auto work = lu.carve_work(arena);
                line.copy_to(lu.matrix());
                ASSERT_TRUE(lu.factorise(shared));
                for (const bool is_transposed : {false, true}) {
                    std::vector<T> x = b;
                    if (is_transposed) {
                        lu.solve_transposed(x.data(), x.data(), work, shared);
                    } else {
                        lu.solve(x.data(), x.data(), work, shared);
                    }
                    EXPECT_LE(line.residual(x, b, is_transposed),
                              this->kRounding * (1.0 + largest(x)))
                        << n << (is_circle ? ", circle" : ", line");
                    if (n_threads == 0) first[is_transposed] = x;
                    EXPECT_EQ(x, first[is_transposed]) << n << " cells, " << n_threads;
                }
            }
        }
    }
}

TYPED_TEST(LineTest, RowsThatWantAnExchangeAndMatricesWithoutInverseAreRefused) {
    using T = TypeParam;
    for (const std::int64_t n : kCells) {
        const auto factorises = [&](const Line<T>& line) {
            LineLu<T> lu(n);
            Arena measure;
            lu.carve(measure);
            Block block(measure.used_bytes());
            Arena arena(block);
            lu.carve(arena);
            line.copy_to(lu.matrix());
            return lu.factorise(nullptr);
        };
        for (const std::int64_t row : {std::int64_t{0}, n / 2, n - 1}) {
            const auto i = static_cast<std::size_t>(row);
            Line<T> weak(n, true, 3);
            EXPECT_TRUE(factorises(weak));
            weak.diagonal[i] *= T(0.5);
            EXPECT_EQ(factorises(weak), std::abs(weak.diagonal[i]) >=
                                            std::abs(weak.lower[i]) + std::abs(weak.upper[i]))
                << n << ", row " << row;
            Line<T> singular(n, true, 3);
            singular.lower[i] = singular.diagonal[i] = singular.upper[i] = T(0);
            EXPECT_FALSE(factorises(singular)) << n << ", row " << row;
            Line<T> broken(n, true, 3);
            broken.upper[i] = std::numeric_limits<T>::quiet_NaN();
            EXPECT_FALSE(factorises(broken)) << n << ", row " << row;
        }
    }
}

// z known, r = z + e (a z - f(A z + c)): a start nearby leads back to z.
TYPED_TEST(LineTest, NewtonFindsTheStateThatIsKnown) {
    using T = TypeParam;
    for (const std::int64_t n : kCells) {
        for (const T own_weight : {T(0), T(1)}) {
            const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
            std::vector<T> lower(at(n), T(0.4)), diagonal(at(n), T(-0.8)), upper(at(n), T(0.4));
            lower[0] = upper[at(n - 1)] = T(0);
            const std::vector<T> shift = random_values<T>(n, 5), known = random_values<T>(n, 6);
            std::vector<T> rate(at(n), T(0.7)), right(at(n)), start(at(n)), pre(at(n));
            // No cell there.
            const std::int64_t hole = n / 2;
            std::vector<T> state = known;
            state[at(hole)] = T(0);
            lower[at(hole)] = diagonal[at(hole)] = upper[at(hole)] = rate[at(hole)] = T(0);
            const ThreePoint<const T> matrix{n, lower.data(), diagonal.data(), upper.data()};
            multiply<T>(matrix, shift.data(), state.data(), 0, n, pre.data());
            for (std::size_t i = 0; i < state.size(); ++i) {
                right[i] = state[i] + rate[i] * (own_weight * state[i] - std::tanh(pre[i]));
            }
            LineNewton<T> newton(n);
            Arena measure;
            newton.carve(measure);
            newton.carve_work(measure);
            Block block(measure.used_bytes());
            Arena arena(block);
            newton.carve(arena);
            auto work = newton.carve_work(arena);
            newton.set({matrix, shift.data(), rate.data(), own_weight, Activation::tanh}, nullptr);
            const double rounding = std::numeric_limits<T>::epsilon();
            std::vector<T> found(at(n)), unsolved(at(n), T(3));
            int n_polls = 0;
            ASSERT_TRUE(newton.find_root(start.data(), right.data(), {rounding, 4 * rounding, 20},
                                         found.data(), work, nullptr, [&](double) { ++n_polls; }));
            EXPECT_GT(n_polls, 1);
            for (std::size_t i = 0; i < state.size(); ++i) {
                ASSERT_NEAR(found[i], state[i], 40 * rounding) << n << ", cell " << i;
            }
            Team team(3, {});
            std::vector<T> shared(at(n));
            ASSERT_TRUE(newton.find_root(start.data(), right.data(), {rounding, 4 * rounding, 20},
                                         shared.data(), work, &team, [](double) {}));
            EXPECT_EQ(shared, found) << n;
            // Too few iterations: what was there stays.
            ASSERT_FALSE(newton.find_root(start.data(), right.data(), {rounding, 4 * rounding, 1},
                                          unsolved.data(), work, nullptr, [](double) {}));
            EXPECT_EQ(unsolved, std::vector<T>(at(n), T(3)));

            // J and its transpose at the root: <J^-1 b, g> = <b, J^-T g>.
            const std::vector<T> b = random_values<T>(n, 7), g = random_values<T>(n, 8);
            std::vector<T> x(at(n)), m(at(n)), s(at(n)), f(at(n));
            ASSERT_TRUE(newton.solve(found.data(), b.data(), x.data(), work, nullptr));
            ASSERT_TRUE(newton.solve_transposed(found.data(), g.data(), m.data(), s.data(),
                                                f.data(), work, nullptr));
            double left = 0.0, back = 0.0, size = 0.0;
            for (std::size_t i = 0; i < b.size(); ++i) {
                left += static_cast<double>(x[i]) * g[i];
                back += static_cast<double>(m[i]) * b[i];
                size += std::abs(static_cast<double>(x[i]) * g[i]);
                const double value = std::tanh(static_cast<double>(pre[i]));
                EXPECT_NEAR(f[i], value, 40 * rounding);
                EXPECT_NEAR(s[i], rate[i] * (1 - value * value) * m[i], 100 * rounding);
            }
            EXPECT_NEAR(left, back, 64 * rounding * size) << n;
        }
    }
}

// The same for z = f(A z + c + x) with coefficients of which a row is kept and rates of 1: from 0,
// by any number of threads; lanes without a cell say nothing, though f(0) is not 0.
TYPED_TEST(LineTest, NewtonFindsAttractorsOfUniformLines) {
    using T = TypeParam;
    const double rounding = std::numeric_limits<T>::epsilon();
    for (const std::int64_t n : kCells) {
        const auto length = static_cast<std::size_t>(n);
        std::vector<T> lower(length, T(3)), diagonal(length, T(-5.5)), upper(length, T(3));
        std::vector<T> shift(length, T(0.2));
        // A line between walls.
        lower.front() = upper.back() = T(0);
        shift.front() = T(1.5);
        const ThreePoint<const T> matrix{n, lower.data(), diagonal.data(), upper.data()};
        const std::vector<T> source = random_values<T>(n, 5), g = random_values<T>(n, 8);
        std::vector<T> first, first_s;
        for (const int n_threads : {0, 1, 3}) {
            Team team(std::max(n_threads, 1), {});
            Team* const shared = n_threads > 0 ? &team : nullptr;
            LineNewton<T> newton(n);
            const auto carve = [&](Arena& arena) {
                newton.carve(arena, false, true);
                return newton.carve_work(arena, true, true, false);
            };
            Arena measure;
            carve(measure);
            Block block(measure.used_bytes());
            Arena arena(block);
            auto work = carve(arena);
            newton.set({matrix, shift.data(), nullptr, T(0), Activation::logistic}, shared);
            newton.take_source(source.data(), work, shared);
            std::vector<T> found(length), slopes(length), s(length);
            ASSERT_TRUE(newton.find_root(nullptr, nullptr, {rounding, 4 * rounding, 30, true},
                                         found.data(), work, shared, [](double) {}))
                << n;
            EXPECT_LE(newton.residual(found.data(), work, shared), 100 * rounding) << n;
            newton.find_slopes(found.data(), slopes.data(), work, shared);
            ASSERT_TRUE(newton.solve_transposed(found.data(), g.data(), nullptr, s.data(), nullptr,
                                                work, shared));
            for (std::size_t i = 0; i < length; ++i) {
                const std::size_t before = (i + length - 1) % length, after = (i + 1) % length;
                const double pre = static_cast<double>(lower[i]) * found[before] +
                                   static_cast<double>(diagonal[i]) * found[i] +
                                   static_cast<double>(upper[i]) * found[after] + shift[i] +
                                   source[i];
                const double value = 1.0 / (1.0 + std::exp(-pre));
                ASSERT_NEAR(found[i], value, 100 * rounding) << n << ", cell " << i;
                EXPECT_NEAR(slopes[i], value * (1 - value), 100 * rounding);
                // s / f' - A^T s = g.
                const double rest = s[i] / (value * (1 - value)) -
                                    static_cast<double>(upper[before]) * s[before] -
                                    static_cast<double>(diagonal[i]) * s[i] -
                                    static_cast<double>(lower[after]) * s[after];
                EXPECT_NEAR(rest, g[i], 1000 * rounding) << n << ", cell " << i;
            }
            if (n_threads == 0) {
                first = found;
                first_s = s;
            }
            EXPECT_EQ(found, first) << n << " cells, " << n_threads;
            EXPECT_EQ(s, first_s) << n << " cells, " << n_threads;
        }
    }
}

}  // namespace
}  // namespace relaxon
