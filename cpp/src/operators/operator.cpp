#include "relaxon/operators/operator.hpp"

#include "relaxon/operators/field.hpp"
#include "relaxon/operators/stencil/weights.hpp"

namespace relaxon {

std::unique_ptr<StencilOperator<float>> Operator::make_stencil(const Grid&, float) const {
    return nullptr;
}

std::unique_ptr<StencilOperator<double>> Operator::make_stencil(const Grid&, double) const {
    return nullptr;
}

std::unique_ptr<FieldOperator<float>> Operator::make_field(const Grid&, std::int64_t, float) const {
    return nullptr;
}

std::unique_ptr<FieldOperator<double>> Operator::make_field(const Grid&, std::int64_t,
                                                            double) const {
    return nullptr;
}

}  // namespace relaxon
