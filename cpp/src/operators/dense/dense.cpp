#include "relaxon/operators/dense/dense.hpp"

#include "relaxon/operators/stencil/weights.hpp"

namespace relaxon {

namespace {

class Dense final : public Operator {
public:
    explicit Dense(bool is_layered) : Operator(false, is_layered) {}

    std::vector<ParameterArray> arrays(const Grid& grid, std::int64_t depth) const override {
        const std::int64_t n = grid.n_cells();
        return {layered({"W", {n, n}, {Axis::cells, Axis::cells}}, depth)};
    }
    bool is_stencil() const override { return false; }

protected:
    std::unique_ptr<StencilOperator<float>> make_stencil(const Grid&, float) const override {
        return nullptr;
    }
    std::unique_ptr<StencilOperator<double>> make_stencil(const Grid&, double) const override {
        return nullptr;
    }
};

}  // namespace

std::shared_ptr<const Operator> dense(bool is_layered) {
    return std::make_shared<Dense>(is_layered);
}

}  // namespace relaxon
