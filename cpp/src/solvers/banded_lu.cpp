#include "relaxon/solvers/banded_lu.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace relaxon {

namespace {

// Position of an index in the order of elimination.
std::int64_t place_of(std::int64_t i, std::int64_t n, bool is_folded) {
    if (!is_folded) return i;
    return 2 * i < n ? 2 * i : 2 * (n - 1 - i) + 1;
}

std::int64_t width_of(const Pattern& pattern, bool is_folded) {
    const std::int64_t n = pattern.n();
    std::int64_t width = 0;
    for (std::int64_t row = 0; row < n; ++row) {
        const std::int64_t place = place_of(row, n, is_folded);
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            const std::int64_t other = place_of(pattern.column(row, i), n, is_folded);
            width = std::max(width, std::abs(place - other));
        }
    }
    return width;
}

template <class T>
class BandedLu final : public LinearSolver<T> {
public:
    void init(const Pattern& pattern) override {
        pattern_ = pattern;
        n_ = pattern.n();
        is_folded_ = width_of(pattern, true) < width_of(pattern, false);
        width_ = width_of(pattern, is_folded_);
        length_ = 3 * width_ + 1;
        places_.resize(static_cast<std::size_t>(n_));
        for (std::int64_t i = 0; i < n_; ++i) {
            places_[static_cast<std::size_t>(i)] = place_of(i, n_, is_folded_);
        }
        rows_.resize(static_cast<std::size_t>(n_ * length_));
        pivots_.resize(static_cast<std::size_t>(n_));
    }

    void factorise(const T* values) override {
        reach_ = load(values) ? width_ : 2 * width_;
        for (std::int64_t k = 0; k < n_; ++k) {
            const std::int64_t last = std::min(k + width_, n_ - 1);
            std::int64_t pivot = k;
            if (reach_ > width_) {
                for (std::int64_t i = k + 1; i <= last; ++i) {
                    if (std::abs(at(i, k)) > std::abs(at(pivot, k))) pivot = i;
                }
            }
            pivots_[static_cast<std::size_t>(k)] = pivot;
            const std::int64_t end = std::min(k + reach_, n_ - 1);
            if (pivot != k) {
                for (std::int64_t j = k; j <= end; ++j) std::swap(at(k, j), at(pivot, j));
            }
            const T diagonal = at(k, k);
            if (diagonal == T(0) || !std::isfinite(diagonal)) {
                throw SingularError("no inverse: pivot " + std::to_string(k) + " of " +
                                    std::to_string(n_) + " is " +
                                    (diagonal == T(0) ? "zero" : "no finite number"));
            }
            for (std::int64_t i = k + 1; i <= last; ++i) {
                const T factor = at(i, k) / diagonal;
                at(i, k) = factor;
                if (factor == T(0)) continue;
                T* row = &at(i, k);
                const T* above = &at(k, k);
                for (std::int64_t j = 1; j <= end - k; ++j) row[j] -= factor * above[j];
            }
        }
    }

    void solve(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each(b, x, n_rhs, [&](T* v) {
            for (std::int64_t k = 0; k < n_; ++k) {
                std::swap(v[k], v[pivots_[static_cast<std::size_t>(k)]]);
                const std::int64_t last = std::min(k + width_, n_ - 1);
                for (std::int64_t i = k + 1; i <= last; ++i) v[i] -= at(i, k) * v[k];
            }
            for (std::int64_t k = n_ - 1; k >= 0; --k) {
                const std::int64_t end = std::min(k + reach_, n_ - 1);
                const T* row = &at(k, k);
                T sum = v[k];
                for (std::int64_t j = 1; j <= end - k; ++j) sum -= row[j] * v[k + j];
                v[k] = sum / row[0];
            }
        });
    }

    void solve_transposed(const T* b, T* x, std::int64_t n_rhs) const override {
        for_each(b, x, n_rhs, [&](T* v) {
            for (std::int64_t k = 0; k < n_; ++k) {
                const std::int64_t end = std::min(k + reach_, n_ - 1);
                const T* row = &at(k, k);
                v[k] /= row[0];
                for (std::int64_t j = 1; j <= end - k; ++j) v[k + j] -= row[j] * v[k];
            }
            for (std::int64_t k = n_ - 1; k >= 0; --k) {
                const std::int64_t last = std::min(k + width_, n_ - 1);
                for (std::int64_t i = k + 1; i <= last; ++i) v[k] -= at(i, k) * v[i];
                std::swap(v[k], v[pivots_[static_cast<std::size_t>(k)]]);
            }
        });
    }

private:
    // Entry (i, j) in the order of elimination, |i - j| within the band and what exchanges fill.
    T& at(std::int64_t i, std::int64_t j) {
        return rows_[static_cast<std::size_t>(i * length_ + j - i + width_)];
    }
    const T& at(std::int64_t i, std::int64_t j) const {
        return rows_[static_cast<std::size_t>(i * length_ + j - i + width_)];
    }
    std::int64_t place(std::int64_t i) const { return places_[static_cast<std::size_t>(i)]; }

    // Whether no row has to be exchanged.
    bool load(const T* values) {
        std::fill(rows_.begin(), rows_.end(), T(0));
        bool is_dominant = true;
        for (std::int64_t row = 0; row < n_; ++row) {
            T diagonal = T(0), others = T(0);
            for (std::int64_t i = pattern_.begin(row); i < pattern_.begin(row + 1); ++i) {
                const std::int64_t column = pattern_.column(row, i);
                at(place(row), place(column)) = values[i];
                (column == row ? diagonal : others) += std::abs(values[i]);
            }
            is_dominant = is_dominant && diagonal >= others;
        }
        return is_dominant;
    }

    template <class F>
    void for_each(const T* b, T* x, std::int64_t n_rhs, const F& f) const {
        std::vector<T> work(static_cast<std::size_t>(n_));
        for (std::int64_t first = 0; first < n_rhs * n_; first += n_) {
            for (std::int64_t i = 0; i < n_; ++i) {
                work[static_cast<std::size_t>(place(i))] = b[first + i];
            }
            f(work.data());
            for (std::int64_t i = 0; i < n_; ++i) {
                x[first + i] = work[static_cast<std::size_t>(place(i))];
            }
        }
    }

    Pattern pattern_;
    std::int64_t n_ = 0, width_ = 0, length_ = 1;
    std::int64_t reach_ = 0;  // of the rows of U beyond the diagonal
    bool is_folded_ = false;
    std::vector<std::int64_t> places_, pivots_;
    std::vector<T> rows_;
};

}  // namespace

std::int64_t band_width(const Pattern& pattern) {
    if (pattern.is_full()) return pattern.n() - 1;
    const auto [below, above] = pattern.band();
    const std::int64_t width = std::max(below, above);
    // A circle's is 2 at least.
    return width <= 2 ? width : std::min(width, width_of(pattern, true));
}

template <class T>
std::unique_ptr<LinearSolver<T>> make_banded_lu() {
    return std::make_unique<BandedLu<T>>();
}

template std::unique_ptr<LinearSolver<float>> make_banded_lu<float>();
template std::unique_ptr<LinearSolver<double>> make_banded_lu<double>();

}  // namespace relaxon
