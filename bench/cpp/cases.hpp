// Grids, fields and coefficients that the benchmarks share.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "relaxon/operators/stencil/adr.hpp"
#include "relaxon/sweeps/stencil/layer.hpp"

namespace relaxon::bench {

template <class T>
std::vector<T> random_values(std::int64_t n, double centre, double width) {
    std::mt19937 engine(2026);
    std::normal_distribution<double> normal(centre, width);
    std::vector<T> values(static_cast<std::size_t>(n));
    for (T& value : values) value = static_cast<T>(normal(engine));
    return values;
}

inline std::shared_ptr<const Grid> make_grid(const std::vector<std::int64_t>& shape,
                                             BoundaryKind kind) {
    const Condition side{kind, 0.0};
    return std::make_shared<const Grid>(shape, std::vector<Sides>(shape.size(), Sides{side, side}),
                                        std::vector<std::uint8_t>(), Condition(), 1.0);
}

// A stencil on a grid with the fields of a bundle around it; all local.
template <class T>
class StencilCase {
public:
    explicit StencilCase(const std::vector<std::int64_t>& shape)
        : grid(make_grid(shape, BoundaryKind::periodic)),
          op(make_adr<T>(static_cast<int>(shape.size()), AdrScheme::central)),
          geometry(*grid, op->arms(), op->radius(), op->radius()),
          stride_(round_up(geometry.wide_field_length(), kAlignedEntries)) {
        for (int k = 0; k < geometry.n_arms(); ++k) {
            weights_.push_back(make_memory(1, 1.0 / geometry.n_arms()));
            bars_.push_back(make_memory(1, 0.0));
        }
        for (std::vector<T>& field : weights_) weight_pointers_.push_back(first(field));
        for (std::vector<T>& field : bars_) bar_pointers_.push_back(first(field));
        layer.weights = {weight_pointers_.data(), true};
        layer.omega = {&omega_, false};
        gradient.weights_field = bar_pointers_.data();
    }

    // Fields of all samples of a bundle.
    std::vector<T> make_memory(int n_samples, double centre) const {
        return random_values<T>(n_samples * stride_, centre, 0.01);
    }
    Fields<T> fields(std::vector<T>& memory) const { return {first(memory), stride_}; }

    std::int64_t n_cells() const { return grid->n_cells(); }
    Rows rows() const { return {0, geometry.layout().n_rows()}; }

    // f(flat, n) for the blocks of the rows.
    template <class F>
    void for_each_block(const F& f) const {
        const std::int64_t end = geometry.layout().begin(geometry.layout().n_rows());
        for (std::int64_t flat = geometry.layout().begin(0); flat < end; flat += kBlock) {
            f(flat, std::min(kBlock, end - flat));
        }
    }

    std::shared_ptr<const Grid> grid;
    std::unique_ptr<StencilOperator<T>> op;
    StencilGeometry geometry;
    Layer<T> layer;
    LayerGradient<T> gradient;

private:
    T* first(std::vector<T>& memory) const { return memory.data() + geometry.wide_margin(); }

    std::int64_t stride_;
    std::vector<std::vector<T>> weights_, bars_;
    std::vector<const T*> weight_pointers_;
    std::vector<T*> bar_pointers_;
    T omega_ = T(0.5);
};

}  // namespace relaxon::bench
