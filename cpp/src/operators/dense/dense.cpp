#include "relaxon/operators/dense/dense.hpp"

#include "relaxon/operators/dense/field.hpp"

namespace relaxon {

std::shared_ptr<const Operator> dense(bool is_layered) {
    return field_family(
        is_layered,
        [](const Grid& grid) {
            const std::int64_t n = grid.n_cells();
            return std::vector<ParameterArray>{{"W", {n, n}, {Axis::cells, Axis::cells}}};
        },
        [is_layered](const Grid& grid, std::int64_t depth, auto scalar) {
            return std::make_unique<DenseField<decltype(scalar)>>(grid, depth, is_layered);
        });
}

}  // namespace relaxon
