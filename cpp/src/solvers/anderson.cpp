#include "relaxon/solvers/anderson.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace relaxon {

namespace {

constexpr std::int64_t kMost = AndersonMixing<double>::kColumns;
using Triangle = std::array<std::array<double, kMost>, kMost>;

// Of the leading block of an upper triangle, in the 1-norm.
double condition(const Triangle& factor, std::int64_t n) {
    double size = 0.0, inverse_size = 0.0;
    for (std::int64_t column = 0; column < n; ++column) {
        std::array<double, kMost> inverse{};
        double sum = 0.0, inverse_sum = 0.0;
        for (std::int64_t row = column + 1; row-- > 0;) {
            double rest = row == column ? 1.0 : 0.0;
            for (std::int64_t k = row + 1; k <= column; ++k) rest -= factor[row][k] * inverse[k];
            inverse[row] = rest / factor[row][row];
            sum += std::abs(factor[row][column]);
            inverse_sum += std::abs(inverse[row]);
        }
        size = std::max(size, sum);
        // Infinities and no numbers, where a column vanishes, stay.
        if (!(inverse_sum <= inverse_size)) inverse_size = inverse_sum;
    }
    return size * inverse_size;
}

constexpr double kGrowth = 10.0;
constexpr double kProgress = 1e-3;
// Largest condition of the triangular factor.
template <class T>
constexpr double kCondition = sizeof(T) == sizeof(double) ? 1e8 : 1e4;

}  // namespace

template <class T>
double AndersonMixing<T>::product(const T* a, const T* b) const {
    double sum = 0.0;
    for (std::int64_t i = 0; i < n_; ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

template <class T>
void AndersonMixing<T>::subtract(double factor, const T* a, T* from) const {
    for (std::int64_t i = 0; i < n_; ++i) from[i] -= static_cast<T>(factor) * a[i];
}

// Whether the history helps.
template <class T>
void AndersonMixing<T>::watch(double residual) {
    if (residual > kGrowth * least_) n_steps_ = n_columns_ = 0;
    least_ = std::min(least_, residual);
    if (n_plain_ > 0) {
        if (--n_plain_ == 0) n_steps_ = n_columns_ = 0;
        return;
    }
    if (n_watched_++ % (2 * kColumns) != 0) return;
    if (residual > (1.0 - kProgress) * watched_) n_plain_ = kColumns;
    watched_ = residual;
}

template <class T>
void AndersonMixing<T>::advance(T* z, const T* out, double residual) {
    watch(residual);
    const std::int64_t k = (n_steps_ + kColumns - 1) % kColumns;
    for (std::int64_t i = 0; i < n_; ++i) {
        const T now = -rate_ * out[i];
        if (n_steps_ > 0) {
            change_of_step(k)[i] = now - step()[i];
            change_of_image(k)[i] = z[i] + now - image()[i];
        }
        step()[i] = now;
        image()[i] = z[i] + now;
    }
    if (n_steps_++ > 0) n_columns_ = std::min(n_columns_ + 1, kColumns);
    std::copy(image(), image() + n_, z);
    if (n_plain_ == 0) mix(z);
}

// min |step - C c| by Q R of the changes C, the newest first, so that the oldest are the last
// columns and leading blocks of R are the factors of fewer.
template <class T>
void AndersonMixing<T>::mix(T* z) const {
    const auto place = [&](std::int64_t k) { return (n_steps_ + 2 * kColumns - 2 - k) % kColumns; };
    const std::int64_t most = std::min(n_columns_, n_);
    Triangle factor{};
    std::array<double, kColumns> right{};
    for (std::int64_t k = 0; k < most; ++k) {
        T* column = orthogonal(k);
        std::copy(change_of_step(place(k)), change_of_step(place(k)) + n_, column);
        for (std::int64_t j = 0; j < k; ++j) {
            factor[j][k] = product(orthogonal(j), column);
            subtract(factor[j][k], orthogonal(j), column);
        }
        const double size = std::sqrt(product(column, column));
        factor[k][k] = size;
        for (std::int64_t i = 0; size > 0.0 && i < n_; ++i) {
            column[i] = static_cast<T>(column[i] / size);
        }
        right[k] = product(column, step());
    }
    for (std::int64_t n_kept = most; n_kept > 0; --n_kept) {
        if (!(condition(factor, n_kept) < kCondition<T>)) continue;
        for (std::int64_t k = n_kept; k-- > 0;) {
            double weight = right[k];
            for (std::int64_t j = k + 1; j < n_kept; ++j) weight -= factor[k][j] * right[j];
            right[k] = weight / factor[k][k];
            subtract(right[k], change_of_image(place(k)), z);
        }
        return;
    }
}

template class AndersonMixing<float>;
template class AndersonMixing<double>;

}  // namespace relaxon
