#include "relaxon/operators/stencil/moments.hpp"

#include "relaxon/base/error.hpp"
#include "relaxon/operators/stencil/vandermonde.hpp"

namespace relaxon {

template <class T>
std::unique_ptr<StencilOperator<T>> make_moments(int order) {
    require(order >= 1 && order <= 8, "order", "a moment order from 1 to 8", order);
    const int radius = (order + 1) / 2;
    std::vector<std::vector<double>> map = inverse_vandermonde(radius);
    for (std::vector<double>& row : map) row.resize(static_cast<std::size_t>(order) + 1);
    return std::make_unique<LinearStencil<T>>(CoefficientArray{"moments", order + 1, true},
                                              line_arms(radius), radius, map);
}

template std::unique_ptr<StencilOperator<float>> make_moments<float>(int);
template std::unique_ptr<StencilOperator<double>> make_moments<double>(int);

}  // namespace relaxon
