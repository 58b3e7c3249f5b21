#include "relaxon/solvers/sparse_lu.hpp"

#include <Eigen/SparseLU>
#include <algorithm>
#include <limits>
#include <vector>

#include "relaxon/base/error.hpp"

namespace relaxon {

namespace {

// Eliminates in double precision for both types: Eigen's code for one of them is a quarter
// megabyte.
template <class T>
class SparseLu final : public LinearSolver<T> {
public:
    // Columns of the matrix are those of the pattern's rows: of the transpose, which the solves
    // take back.
    void init(const Pattern& pattern) override {
        require(pattern.n_entries() <= std::numeric_limits<int>::max(), "grid",
                "a matrix of at most 2^31 entries", pattern.n_entries());
        matrix_.resize(pattern.n(), pattern.n());
        std::vector<int> lengths(static_cast<std::size_t>(pattern.n()));
        for (std::int64_t row = 0; row < pattern.n(); ++row) {
            lengths[static_cast<std::size_t>(row)] =
                static_cast<int>(pattern.begin(row + 1) - pattern.begin(row));
        }
        matrix_.reserve(lengths);
        for (std::int64_t row = 0; row < pattern.n(); ++row) {
            for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
                matrix_.insert(pattern.column(row, i), row) = 1.0;
            }
        }
        matrix_.makeCompressed();
        lu_.analyzePattern(matrix_);
    }

    void factorise(const T* values) override {
        std::copy(values, values + matrix_.nonZeros(), matrix_.valuePtr());
        lu_.factorize(matrix_);
        if (lu_.info() != Eigen::Success) throw SingularError("no inverse: a pivot is zero");
    }

    void solve(const T* b, T* x, std::int64_t n_rhs) const override {
        // The view reads alone; it asks for more because it is made of a solver under way.
        const auto transposed = const_cast<Lu&>(lu_).transpose();
        for_each(b, x, n_rhs, transposed);
    }

    void solve_transposed(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each(b, x, n_rhs, lu_);
    }

private:
    using Sparse = Eigen::SparseMatrix<double, Eigen::ColMajor, int>;
    using Lu = Eigen::SparseLU<Sparse, Eigen::COLAMDOrdering<int>>;

    template <class Solver>
    void for_each(const T* b, T* x, std::int64_t n_rhs, const Solver& solver) const {
        using Column = Eigen::Matrix<T, Eigen::Dynamic, 1>;
        const auto n = static_cast<std::int64_t>(matrix_.rows());
        for (std::int64_t i = 0; i < n_rhs; ++i) {
            const Eigen::VectorXd from =
                Eigen::Map<const Column>(b + i * n, n).template cast<double>();
            const Eigen::VectorXd found = solver.solve(from);
            Eigen::Map<Column>(x + i * n, n) = found.template cast<T>();
        }
    }

    Sparse matrix_;
    Lu lu_;
};

}  // namespace

template <class T>
std::unique_ptr<LinearSolver<T>> make_sparse_lu() {
    return std::make_unique<SparseLu<T>>();
}

template std::unique_ptr<LinearSolver<float>> make_sparse_lu<float>();
template std::unique_ptr<LinearSolver<double>> make_sparse_lu<double>();

}  // namespace relaxon
