// A stencil network as coefficients, gradient and sweep see it: operator, geometry, and where the
// parameters of a layer lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "relaxon/base/parallel.hpp"
#include "relaxon/network/config.hpp"
#include "relaxon/operators/stencil/kernels.hpp"
#include "relaxon/operators/stencil/weights.hpp"

namespace relaxon {

// How the parameters of a configuration meet the stencil: what is a field, what is a set per layer.
// Lax-Wendroff weights follow omega, so they may be local or layered where R, U, D are not.
struct StencilShape {
    StencilShape(const NetworkConfig& config, int n_arms, bool uses_omega);

    bool weights_are_local, bias_is_local, omega_is_local;
    bool has_bias;
    std::int64_t n_weight_sets, n_bias_sets, n_omega_sets;
    int n_arms;

    std::int64_t weight_set(std::int64_t layer) const { return n_weight_sets > 1 ? layer : 0; }
    std::int64_t bias_set(std::int64_t layer) const { return n_bias_sets > 1 ? layer : 0; }
    std::int64_t omega_set(std::int64_t layer) const { return n_omega_sets > 1 ? layer : 0; }
};

// Shared by coefficients, gradient and sweep; lives as long as they do.
template <class T>
struct StencilModel {
    // n_ghost_layers: layers whose reach the ghost rows of a periodic axis 0 have to cover.
    StencilModel(const NetworkConfig& config, std::int64_t n_ghost_layers, std::int64_t n_lanes);

    NetworkConfig config;
    std::unique_ptr<StencilOperator<T>> op;
    std::unique_ptr<StencilOperator<double>> wide_op;  // for sums, which are kept in double
    StencilGeometry geometry;
    StencilShape shape;
};

// Rows are mapped in this many tasks, by shape alone.
constexpr std::int64_t kRowTasks = 16;

inline Rows row_task(const Layout& layout, std::int64_t task) {
    return {layout.n_rows() * task / kRowTasks, layout.n_rows() * (task + 1) / kRowTasks};
}

// f(cell, flat, n) over the cells of the rows, n <= kBlock at a time.
template <class F>
void for_each_cell_block(const Layout& layout, Rows rows, const F& f) {
    layout.for_each_pencil(
        rows.begin, rows.end, [&](std::int64_t cell, std::int64_t flat, std::int64_t length) {
            for (std::int64_t i = 0; i < length; i += kBlock) {
                f(cell + i, flat + i * layout.n_lanes(), std::min(kBlock, length - i));
            }
        });
}

// f(c, offset, array): component c of the operator starts at `offset` in parameter array `array`.
template <class T, class F>
void for_each_component(const StencilModel<T>& model, std::int64_t weight_set, const F& f) {
    const std::int64_t cells = model.config.op->is_local() ? model.config.grid->n_cells() : 1;
    const std::int64_t set = model.config.set_of(weight_set);
    std::int64_t c = 0;
    std::size_t array = 0;
    for (const CoefficientArray& coefficient : model.op->coefficients()) {
        for (std::int64_t k = 0; k < coefficient.n_components; ++k, ++c) {
            f(c, (set * coefficient.n_components + k) * cells, array);
        }
        ++array;
    }
}

template <class T>
const T* bias_of(const StencilModel<T>& model, const Parameters<T>& parameters) {
    return parameters[model.op->coefficients().size()];
}

// omega as the weights of one set see it.
template <class T>
const T* omega_of(const StencilModel<T>& model, const Parameters<T>& parameters,
                  std::int64_t weight_set, std::int64_t cell) {
    const T* omega = parameters.back();
    if (model.shape.omega_is_local) return omega + cell;
    return omega + model.shape.omega_set(weight_set);
}

template <class T>
CoefficientBlock<T> block_of(const StencilModel<T>& model, const Parameters<T>& parameters,
                             std::int64_t weight_set, std::int64_t cell, const T** pointers) {
    const std::int64_t step = model.config.op->is_local() ? 1 : 0;
    for_each_component(model, weight_set,
                       [&](std::int64_t c, std::int64_t offset, std::size_t array) {
                           pointers[c] = parameters[array] + offset + step * cell;
                       });
    return {pointers, step};
}

}  // namespace relaxon
