#include "relaxon/operators/stencil/banded.hpp"

#include <algorithm>

#include "relaxon/base/error.hpp"

namespace relaxon {

namespace {

CoefficientArray weights_array(int radius) {
    return {"weights", 2 * std::int64_t{radius} + 1, true};
}

// Weights and coefficients are the same numbers.
template <class T>
class Banded final : public StencilOperator<T> {
public:
    explicit Banded(int radius)
        : coefficients_{weights_array(radius)}, arms_(line_arms(radius)), radius_(radius) {}

    const std::vector<CoefficientArray>& coefficients() const override { return coefficients_; }
    const std::vector<Arm>& arms() const override { return arms_; }
    int radius() const override { return radius_; }

    void prepare(const CoefficientBlock<T>& c, const T*, std::int64_t, std::int64_t n,
                 T* const* weights) const override {
        for (std::size_t k = 0; k < arms_.size(); ++k) {
            for (std::int64_t i = 0; i < n; ++i) weights[k][i] = c.data[k][i * c.step];
        }
    }

    void prepare_tangent(const CoefficientBlock<T>&, const CoefficientBlock<T>& dot, const T*,
                         const T*, std::int64_t, std::int64_t n,
                         T* const* weights_dot) const override {
        prepare(dot, nullptr, 0, n, weights_dot);
    }

    void pullback(const CoefficientBlock<T>&, const T*, std::int64_t, const T* const* weights_bar,
                  std::int64_t n, T* const* bar, T* omega_bar) const override {
        for (std::size_t k = 0; k < arms_.size(); ++k) {
            std::copy(weights_bar[k], weights_bar[k] + n, bar[k]);
        }
        std::fill(omega_bar, omega_bar + n, T(0));
    }

private:
    std::vector<CoefficientArray> coefficients_;
    std::vector<Arm> arms_;
    int radius_;
};

}  // namespace

template <class T>
std::unique_ptr<StencilOperator<T>> make_banded(int radius) {
    require(radius >= 0, "radius", "a radius of at least 0", radius);
    return std::make_unique<Banded<T>>(radius);
}

std::shared_ptr<const Operator> banded(int radius, bool is_local, bool is_layered) {
    return stencil_family(
        is_local, is_layered,
        [radius](const Grid& grid) {
            require(grid.ndim() == 1, "grid", "a 1-D grid for this operator", grid.ndim());
            return std::vector{weights_array(radius)};
        },
        [radius](const Grid&, auto scalar) { return make_banded<decltype(scalar)>(radius); });
}

template std::unique_ptr<StencilOperator<float>> make_banded<float>(int);
template std::unique_ptr<StencilOperator<double>> make_banded<double>(int);

}  // namespace relaxon
