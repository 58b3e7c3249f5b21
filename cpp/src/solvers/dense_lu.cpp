#include "relaxon/solvers/dense_lu.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <string>

namespace relaxon {

namespace {

template <class T>
class DenseLu final : public LinearSolver<T> {
public:
    void init(const Pattern& pattern) override {
        pattern_ = pattern;
        matrix_.resize(pattern.n(), pattern.n());
    }

    void factorise(const T* values) override {
        matrix_.setZero();
        for (std::int64_t row = 0; row < pattern_.n(); ++row) {
            for (std::int64_t i = pattern_.begin(row); i < pattern_.begin(row + 1); ++i) {
                matrix_(row, pattern_.column(row, i)) = values[i];
            }
        }
        lu_.compute(matrix_);
        const auto pivots = lu_.matrixLU().diagonal();
        for (std::int64_t i = 0; i < pattern_.n(); ++i) {
            if (pivots(i) != T(0)) continue;
            throw SingularError("no inverse: pivot " + std::to_string(i) + " of " +
                                std::to_string(pattern_.n()) + " is zero");
        }
    }

    void solve(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each(b, x, n_rhs, [&](const auto& from, auto& to) { to = lu_.solve(from).eval(); });
    }

    void solve_transposed(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each(b, x, n_rhs,
                 [&](const auto& from, auto& to) { to = lu_.transpose().solve(from).eval(); });
    }

private:
    using Column = Eigen::Matrix<T, Eigen::Dynamic, 1>;

    // One after the other, so that bits of one do not depend on the others.
    template <class F>
    void for_each(const T* b, T* x, std::int64_t n_rhs, const F& f) const {
        const std::int64_t n = pattern_.n();
        for (std::int64_t i = 0; i < n_rhs; ++i) {
            const Eigen::Map<const Column> from(b + i * n, n);
            Eigen::Map<Column> to(x + i * n, n);
            f(from, to);
        }
    }

    Pattern pattern_;
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> matrix_;
    Eigen::PartialPivLU<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>> lu_;
};

}  // namespace

template <class T>
std::unique_ptr<LinearSolver<T>> make_dense_lu() {
    return std::make_unique<DenseLu<T>>();
}

template std::unique_ptr<LinearSolver<float>> make_dense_lu<float>();
template std::unique_ptr<LinearSolver<double>> make_dense_lu<double>();

}  // namespace relaxon
