#include "relaxon/solvers/bicgstab.hpp"

#include <Eigen/IterativeLinearSolvers>
#include <Eigen/SparseCore>
#include <algorithm>
#include <limits>
#include <vector>

#include "relaxon/base/error.hpp"
#include "relaxon/solvers/sparse_lu.hpp"

namespace relaxon {

namespace {

constexpr int kMostIterations = 300;

template <class T>
class BiCgStab final : public LinearSolver<T> {
public:
    void init(const Pattern& pattern) override {
        require(pattern.n_entries() <= std::numeric_limits<int>::max(), "grid",
                "a matrix of at most 2^31 entries", pattern.n_entries());
        pattern_ = pattern;
        const auto n = static_cast<std::size_t>(pattern.n());
        const auto n_entries = static_cast<std::size_t>(pattern.n_entries());
        row_begin_.resize(n + 1);
        columns_.resize(n_entries);
        entries_.resize(n_entries);
        values_.resize(n_entries);
        inverse_diagonal_.resize(static_cast<Eigen::Index>(n));
    }

    // Entries that are zero (corners of stencils without mixed diffusion) are left out, and rows
    // are divided by their diagonal entry, which spares the iterations their preconditioner.
    void factorise(const T* values) override {
        std::copy(values, values + pattern_.n_entries(), values_.begin());
        is_factorised_ = false;
        int n_kept = 0;
        for (std::int64_t row = 0; row < pattern_.n(); ++row) {
            T diagonal = T(0);
            for (std::int64_t i = pattern_.begin(row); i < pattern_.begin(row + 1); ++i) {
                if (pattern_.column(row, i) == row) diagonal = values[i];
            }
            const T inverse = diagonal != T(0) ? T(1) / diagonal : T(1);
            inverse_diagonal_(row) = inverse;
            row_begin_[static_cast<std::size_t>(row)] = n_kept;
            for (std::int64_t i = pattern_.begin(row); i < pattern_.begin(row + 1); ++i) {
                if (values[i] == T(0)) continue;
                columns_[static_cast<std::size_t>(n_kept)] =
                    static_cast<int>(pattern_.column(row, i));
                entries_[static_cast<std::size_t>(n_kept++)] = inverse * values[i];
            }
        }
        row_begin_.back() = n_kept;
    }

    void set_tolerance(double relative) override {
        // What the recurrences of these numbers can reach.
        constexpr double kLeast = 64.0 * std::numeric_limits<T>::epsilon();
        tolerance_ = static_cast<T>(std::max(relative, kLeast));
    }

    // D^-1 A x = D^-1 b.
    void solve(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each<Eigen::RowMajor>(
            b, x, n_rhs,
            [&](const Column& from) -> Column { return inverse_diagonal_.cwiseProduct(from); },
            [](const Column& found) -> const Column& { return found; },
            [&](const T* from, T* to) { direct().solve(from, to, 1); });
    }

    // (D^-1 A)^T y = b, x = D^-1 y: the same arrays read by columns are the transpose.
    void solve_transposed(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each<Eigen::ColMajor>(
            b, x, n_rhs, [](const Column& from) -> const Column& { return from; },
            [&](const Column& found) -> Column { return inverse_diagonal_.cwiseProduct(found); },
            [&](const T* from, T* to) { direct().solve_transposed(from, to, 1); });
    }

private:
    using Column = Eigen::Matrix<T, Eigen::Dynamic, 1>;

    template <int order, class Before, class After, class Otherwise>
    void for_each(const T* b, T* x, std::int64_t n_rhs, const Before& before, const After& after,
                  const Otherwise& otherwise) const {
        using Matrix = Eigen::SparseMatrix<T, order, int>;
        const std::int64_t n = pattern_.n();
        const Eigen::Map<const Matrix> matrix(n, n, row_begin_.back(), row_begin_.data(),
                                              columns_.data(), entries_.data());
        Eigen::BiCGSTAB<Matrix, Eigen::IdentityPreconditioner> iterations;
        iterations.setMaxIterations(kMostIterations);
        iterations.setTolerance(tolerance_);
        iterations.compute(matrix);
        for (std::int64_t i = 0; i < n_rhs; ++i) {
            const Column right = before(Eigen::Map<const Column>(b + i * n, n));
            const Column found = iterations.solve(right);
            // Its own estimate may have left the truth.
            const T left = (right - matrix * found).norm();
            if (left <= T(4) * tolerance_ * right.norm()) {
                Eigen::Map<Column>(x + i * n, n) = after(found);
            } else {
                const Column from = Eigen::Map<const Column>(b + i * n, n);
                otherwise(from.data(), x + i * n);
            }
        }
    }

    // Factorised where it is asked for.
    const LinearSolver<T>& direct() const {
        if (!direct_) {
            direct_ = make_sparse_lu<T>();
            direct_->init(pattern_);
        }
        if (!is_factorised_) direct_->factorise(values_.data());
        is_factorised_ = true;
        return *direct_;
    }

    Pattern pattern_;
    std::vector<int> row_begin_, columns_;  // of the entries that are not zero
    std::vector<T> entries_;                // these, divided by the diagonal's
    std::vector<T> values_;                 // all
    Column inverse_diagonal_;
    T tolerance_ = std::numeric_limits<T>::epsilon();
    mutable std::unique_ptr<LinearSolver<T>> direct_;
    mutable bool is_factorised_ = false;
};

}  // namespace

template <class T>
std::unique_ptr<LinearSolver<T>> make_bicgstab() {
    return std::make_unique<BiCgStab<T>>();
}

template std::unique_ptr<LinearSolver<float>> make_bicgstab<float>();
template std::unique_ptr<LinearSolver<double>> make_bicgstab<double>();

}  // namespace relaxon
