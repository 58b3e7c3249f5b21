#include "relaxon/solvers/anderson.hpp"

#include <Eigen/Dense>
#include <algorithm>

namespace relaxon {

namespace {

constexpr double kGrowth = 10.0;
constexpr double kProgress = 1e-3;
// Largest condition of the triangular factor.
template <class T>
constexpr double kCondition = sizeof(T) == sizeof(double) ? 1e8 : 1e4;

}  // namespace

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

template <class T>
void AndersonMixing<T>::mix(T* z) const {
    using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
    using Column = Eigen::Matrix<T, Eigen::Dynamic, 1>;
    // The newest come first, so that the oldest are the last columns.
    const auto place = [&](std::int64_t k) { return (n_steps_ + 2 * kColumns - 2 - k) % kColumns; };
    const std::int64_t most = std::min(n_columns_, n_);
    if (most == 0) return;
    Matrix changes(n_, most);
    for (std::int64_t k = 0; k < most; ++k) {
        changes.col(k) = Eigen::Map<const Column>(change_of_step(place(k)), n_);
    }
    const Eigen::HouseholderQR<Matrix> qr(changes);
    const Column right = qr.householderQ().transpose() * Eigen::Map<const Column>(step(), n_);
    for (std::int64_t n_kept = most; n_kept > 0; --n_kept) {
        const Matrix factor =
            qr.matrixQR().topLeftCorner(n_kept, n_kept).template triangularView<Eigen::Upper>();
        const auto values = Eigen::JacobiSVD<Matrix>(factor).singularValues();
        if (!(values(0) < static_cast<T>(kCondition<T>) * values(n_kept - 1))) continue;
        const Column weights =
            factor.template triangularView<Eigen::Upper>().solve(right.head(n_kept));
        for (std::int64_t k = 0; k < n_kept; ++k) {
            const T* change = change_of_image(place(k));
            for (std::int64_t i = 0; i < n_; ++i) z[i] -= weights(k) * change[i];
        }
        return;
    }
}

template class AndersonMixing<float>;
template class AndersonMixing<double>;

}  // namespace relaxon
