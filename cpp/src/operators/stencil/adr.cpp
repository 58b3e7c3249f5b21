#include "relaxon/operators/stencil/adr.hpp"

#include <cmath>
#include <cstdlib>

namespace relaxon {

namespace {

std::vector<CoefficientArray> coefficients_of(int ndim) {
    return {{"R", 1, false}, {"U", ndim, true}, {"D", ndim * (ndim + 1) / 2, true}};
}

// Components in order: R; U_a; D_ab, a <= b. Arms in lexicographic order; arm k belongs to the
// centre, to one axis (a sign) or to a pair of axes (a product of signs).
template <class T>
class Adr final : public StencilOperator<T> {
public:
    Adr(int ndim, AdrScheme scheme)
        : ndim_(ndim), scheme_(scheme), coefficients_(coefficients_of(ndim)) {
        const int span[3] = {1, ndim > 1 ? 1 : 0, ndim > 2 ? 1 : 0};
        for (int i = -span[0]; i <= span[0]; ++i) {
            for (int j = -span[1]; j <= span[1]; ++j) {
                for (int k = -span[2]; k <= span[2]; ++k) {
                    if (std::abs(i) + std::abs(j) + std::abs(k) <= 2) arms_.push_back({i, j, k});
                }
            }
        }
        for (std::size_t k = 0; k < arms_.size(); ++k) classify(k);
    }

    const std::vector<CoefficientArray>& coefficients() const override { return coefficients_; }
    const std::vector<Arm>& arms() const override { return arms_; }
    int radius() const override { return 1; }
    bool uses_omega() const override { return scheme_ == AdrScheme::lax_wendroff; }

    void prepare(const CoefficientBlock<T>& c, const T* omega, std::int64_t omega_step,
                 std::int64_t n, T* const* weights) const override {
        for (std::int64_t i = 0; i < n; ++i) {
            T centre = T(1) + c.data[0][i * c.step];
            for (int a = 0; a < ndim_; ++a) {
                const T u = c.data[1 + a][i * c.step];
                T d = c.data[diagonal(a)][i * c.step];
                if (scheme_ == AdrScheme::upwind) d += std::abs(u) / 2;
                if (scheme_ == AdrScheme::lax_wendroff) d += omega[i * omega_step] * u * u / 2;
                centre -= 2 * d;
                weights[low_[a]][i] = d + u / 2;
                weights[high_[a]][i] = d - u / 2;
            }
            weights[centre_][i] = centre;
            for (const Corner& corner : corners_) {
                weights[corner.arm][i] = corner.sign * c.data[corner.component][i * c.step] / 2;
            }
        }
    }

    void prepare_tangent(const CoefficientBlock<T>& c, const CoefficientBlock<T>& dot,
                         const T* omega, const T* omega_dot, std::int64_t omega_step,
                         std::int64_t n, T* const* weights_dot) const override {
        for (std::int64_t i = 0; i < n; ++i) {
            T centre = dot.data[0][i * dot.step];
            for (int a = 0; a < ndim_; ++a) {
                const T u = c.data[1 + a][i * c.step];
                const T u_dot = dot.data[1 + a][i * dot.step];
                T d_dot = dot.data[diagonal(a)][i * dot.step];
                if (scheme_ == AdrScheme::upwind) d_dot += sign(u) * u_dot / 2;
                if (scheme_ == AdrScheme::lax_wendroff) {
                    d_dot +=
                        omega[i * omega_step] * u * u_dot + omega_dot[i * omega_step] * u * u / 2;
                }
                centre -= 2 * d_dot;
                weights_dot[low_[a]][i] = d_dot + u_dot / 2;
                weights_dot[high_[a]][i] = d_dot - u_dot / 2;
            }
            weights_dot[centre_][i] = centre;
            for (const Corner& corner : corners_) {
                weights_dot[corner.arm][i] =
                    corner.sign * dot.data[corner.component][i * dot.step] / 2;
            }
        }
    }

    void pullback(const CoefficientBlock<T>& c, const T* omega, std::int64_t omega_step,
                  const T* const* weights_bar, std::int64_t n, T* const* bar,
                  T* omega_bar) const override {
        for (std::int64_t i = 0; i < n; ++i) {
            const T centre = weights_bar[centre_][i];
            bar[0][i] = centre;
            omega_bar[i] = T(0);
            for (int a = 0; a < ndim_; ++a) {
                const T low = weights_bar[low_[a]][i];
                const T high = weights_bar[high_[a]][i];
                const T d_bar = (low - centre) + (high - centre);
                const T u = c.data[1 + a][i * c.step];
                T u_bar = (low - high) / 2;
                if (scheme_ == AdrScheme::upwind) u_bar += sign(u) * d_bar / 2;
                if (scheme_ == AdrScheme::lax_wendroff) {
                    u_bar += omega[i * omega_step] * u * d_bar;
                    omega_bar[i] += u * u / 2 * d_bar;
                }
                bar[1 + a][i] = u_bar;
                bar[diagonal(a)][i] = d_bar;
            }
            for (const Corner& corner : corners_) bar[corner.component][i] = T(0);
            for (const Corner& corner : corners_) {
                bar[corner.component][i] += corner.sign * weights_bar[corner.arm][i] / 2;
            }
        }
    }

private:
    struct Corner {
        std::size_t arm;
        int component;
        T sign;
    };

    static T sign(T u) { return T((u > 0) - (u < 0)); }

    int entry(int a, int b) const { return 1 + ndim_ + a * ndim_ - a * (a - 1) / 2 + (b - a); }
    int diagonal(int a) const { return entry(a, a); }

    void classify(std::size_t k) {
        std::vector<int> axes;
        for (int a = 0; a < ndim_; ++a) {
            if (arms_[k][static_cast<std::size_t>(a)] != 0) axes.push_back(a);
        }
        if (axes.empty()) {
            centre_ = k;
        } else if (axes.size() == 1) {
            (arms_[k][static_cast<std::size_t>(axes[0])] < 0 ? low_ : high_)[axes[0]] = k;
        } else {
            const int product = arms_[k][static_cast<std::size_t>(axes[0])] *
                                arms_[k][static_cast<std::size_t>(axes[1])];
            corners_.push_back({k, entry(axes[0], axes[1]), static_cast<T>(product)});
        }
    }

    int ndim_;
    AdrScheme scheme_;
    std::vector<CoefficientArray> coefficients_;
    std::vector<Arm> arms_;
    std::size_t centre_ = 0, low_[3] = {}, high_[3] = {};
    std::vector<Corner> corners_;
};

}  // namespace

template <class T>
std::unique_ptr<StencilOperator<T>> make_adr(int ndim, AdrScheme scheme) {
    return std::make_unique<Adr<T>>(ndim, scheme);
}

std::shared_ptr<const Operator> adr(AdrScheme scheme, bool is_local, bool is_layered) {
    return stencil_family(
        is_local, is_layered, [](const Grid& grid) { return coefficients_of(grid.ndim()); },
        [scheme](const Grid& grid, auto scalar) {
            return make_adr<decltype(scalar)>(grid.ndim(), scheme);
        });
}

template std::unique_ptr<StencilOperator<float>> make_adr<float>(int, AdrScheme);
template std::unique_ptr<StencilOperator<double>> make_adr<double>(int, AdrScheme);

}  // namespace relaxon
