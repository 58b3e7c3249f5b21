#include "relaxon/solvers/bicgstab.hpp"

#include <Eigen/IterativeLinearSolvers>
#include <Eigen/SparseCore>
#include <algorithm>
#include <limits>

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
        const auto n = static_cast<Eigen::Index>(pattern.n());
        matrix_.resize(n, n);
        matrix_.resizeNonZeros(static_cast<Eigen::Index>(pattern.n_entries()));
        for (std::int64_t row = 0; row < pattern.n(); ++row) {
            matrix_.outerIndexPtr()[row] = static_cast<int>(pattern.begin(row));
            for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
                matrix_.innerIndexPtr()[i] = static_cast<int>(pattern.column(row, i));
            }
        }
        matrix_.outerIndexPtr()[pattern.n()] = static_cast<int>(pattern.n_entries());
    }

    void factorise(const T* values) override {
        std::copy(values, values + pattern_.n_entries(), matrix_.valuePtr());
        is_factorised_ = false;
    }

    void set_tolerance(double relative) override {
        // What the recurrences of these numbers can reach.
        constexpr double kLeast = 64.0 * std::numeric_limits<T>::epsilon();
        tolerance_ = static_cast<T>(std::max(relative, kLeast));
    }

    void solve(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each<Eigen::RowMajor>(b, x, n_rhs,
                                  [&](const T* from, T* to) { direct().solve(from, to, 1); });
    }

    void solve_transposed(const T* b, T* x, std::int64_t n_rhs) const override {
        // The same arrays read by columns are the transpose.
        for_each<Eigen::ColMajor>(
            b, x, n_rhs, [&](const T* from, T* to) { direct().solve_transposed(from, to, 1); });
    }

private:
    using Column = Eigen::Matrix<T, Eigen::Dynamic, 1>;

    template <int order, class Otherwise>
    void for_each(const T* b, T* x, std::int64_t n_rhs, const Otherwise& otherwise) const {
        using Matrix = Eigen::SparseMatrix<T, order, int>;
        const Eigen::Map<const Matrix> matrix(matrix_.rows(), matrix_.cols(), matrix_.nonZeros(),
                                              matrix_.outerIndexPtr(), matrix_.innerIndexPtr(),
                                              matrix_.valuePtr());
        Eigen::BiCGSTAB<Matrix> iterations;
        iterations.setMaxIterations(kMostIterations);
        iterations.setTolerance(tolerance_);
        iterations.compute(matrix);
        const std::int64_t n = pattern_.n();
        for (std::int64_t i = 0; i < n_rhs; ++i) {
            const Column from = Eigen::Map<const Column>(b + i * n, n);
            const Column found = iterations.solve(from);
            // Its own estimate may have left the truth.
            const T left = (from - matrix * found).norm();
            if (left <= T(4) * tolerance_ * from.norm()) {
                Eigen::Map<Column>(x + i * n, n) = found;
            } else {
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
        if (!is_factorised_) direct_->factorise(matrix_.valuePtr());
        is_factorised_ = true;
        return *direct_;
    }

    Pattern pattern_;
    Eigen::SparseMatrix<T, Eigen::RowMajor, int> matrix_;
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
