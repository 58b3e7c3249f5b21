#include "relaxon/operators/stencil/moments.hpp"

#include "relaxon/base/error.hpp"
#include "relaxon/operators/stencil/vandermonde.hpp"

namespace relaxon {

namespace {

CoefficientArray moments_array(int order) { return {"moments", order + 1, true}; }

}  // namespace

template <class T>
std::unique_ptr<StencilOperator<T>> make_moments(int order) {
    require(order >= 1 && order <= 8, "order", "a moment order from 1 to 8", order);
    const int radius = (order + 1) / 2;
    std::vector<std::vector<double>> map = inverse_vandermonde(radius);
    for (std::vector<double>& row : map) row.resize(static_cast<std::size_t>(order) + 1);
    return std::make_unique<LinearStencil<T>>(moments_array(order), line_arms(radius), radius, map);
}

std::shared_ptr<const Operator> moments(int order, bool is_local, bool is_layered) {
    return stencil_family(
        is_local, is_layered,
        [order](const Grid& grid) {
            require(grid.ndim() == 1, "grid", "a 1-D grid for this operator", grid.ndim());
            return std::vector{moments_array(order)};
        },
        [order](const Grid&, auto scalar) { return make_moments<decltype(scalar)>(order); });
}

template std::unique_ptr<StencilOperator<float>> make_moments<float>(int);
template std::unique_ptr<StencilOperator<double>> make_moments<double>(int);

}  // namespace relaxon
