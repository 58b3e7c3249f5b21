#include "relaxon/operators/stencil/banded.hpp"

#include "relaxon/base/error.hpp"

namespace relaxon {

template <class T>
std::unique_ptr<StencilOperator<T>> make_banded(int radius) {
    require(radius >= 0, "radius", "a radius of at least 0", radius);
    const auto n = static_cast<std::size_t>(2 * radius + 1);
    std::vector<std::vector<double>> identity(n, std::vector<double>(n, 0.0));
    for (std::size_t k = 0; k < n; ++k) identity[k][k] = 1.0;
    return std::make_unique<LinearStencil<T>>(
        CoefficientArray{"weights", static_cast<std::int64_t>(n), true}, line_arms(radius), radius,
        identity);
}

template std::unique_ptr<StencilOperator<float>> make_banded<float>(int);
template std::unique_ptr<StencilOperator<double>> make_banded<double>(int);

}  // namespace relaxon
