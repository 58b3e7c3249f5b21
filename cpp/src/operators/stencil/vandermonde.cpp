#include "relaxon/operators/stencil/vandermonde.hpp"

#include "relaxon/base/error.hpp"

namespace relaxon {

std::vector<std::vector<double>> inverse_vandermonde(int radius) {
    require(radius >= 0 && radius <= 4, "order", "a stencil radius from 0 to 4", radius);
    std::vector<std::vector<double>> inverse;
    for (int j = -radius; j <= radius; ++j) {
        std::vector<std::int64_t> polynomial{1};  // ascending powers
        std::int64_t denominator = 1;
        for (int i = -radius; i <= radius; ++i) {
            if (i == j) continue;
            std::vector<std::int64_t> product(polynomial.size() + 1, 0);
            for (std::size_t k = 0; k < polynomial.size(); ++k) {
                product[k + 1] += polynomial[k];
                product[k] -= i * polynomial[k];
            }
            polynomial = product;
            denominator *= j - i;
        }
        std::vector<double> row;
        for (const std::int64_t numerator : polynomial) {
            row.push_back(static_cast<double>(numerator) / static_cast<double>(denominator));
        }
        inverse.push_back(row);
    }
    return inverse;
}

}  // namespace relaxon
