#include "relaxon/sweeps/stencil/coefficients.hpp"

#include <algorithm>

namespace relaxon {

template <class T>
StencilCoefficients<T>::StencilCoefficients(const StencilModel<T>& model, int n_workers,
                                            Arena& arena)
    : model_(model) {
    const StencilShape& shape = model.shape;
    const std::int64_t n_weights = shape.n_weight_sets * shape.n_arms;
    const std::int64_t n_biases = shape.bias_is_local ? shape.n_bias_sets : 0;
    const StencilGeometry& geometry = model.geometry;
    const std::size_t n_own = model.op->coefficients().size() + (shape.has_bias ? 1 : 0);
    parameters_.resize(n_own + 1);
    weights_ = arena.take<T*>(n_weights);
    bias_ = arena.take<T*>(n_biases);
    for (std::int64_t i = 0; i < n_weights; ++i) {
        T* weight = shape.weights_are_local ? arena.take_zeroed<T>(geometry.wide_field_length())
                                            : arena.take<T>(1);
        if (arena.is_measuring()) continue;
        weights_[i] = weight + (shape.weights_are_local ? geometry.wide_margin() : 0);
    }
    for (std::int64_t i = 0; i < n_biases; ++i) {
        T* bias = arena.take_zeroed<T>(geometry.field_length());
        if (!arena.is_measuring()) bias_[i] = bias + geometry.margin();
    }
    if (shape.omega_is_local) {
        T* omega = arena.take_zeroed<T>(geometry.field_length());
        if (!arena.is_measuring()) omega_ = omega + geometry.margin();
    }
    for (int worker = 0; worker < n_workers; ++worker) {
        scratch_.emplace_back(shape.n_arms, model.op->n_components(), arena);
    }
}

template <class T>
void StencilCoefficients<T>::prepare(const Parameters<T>& parameters, Team& team) {
    std::copy(parameters.begin(), parameters.end(), parameters_.begin());
    map_weights(parameters, nullptr, team);
    pack_fields(parameters, team);
}

template <class T>
void StencilCoefficients<T>::prepare_tangent(const Parameters<T>& parameters,
                                             const Parameters<T>& parameters_dot, Team& team) {
    std::copy(parameters_dot.begin(), parameters_dot.end(), parameters_.begin());
    map_weights(parameters, &parameters_dot, team);
    pack_fields(parameters_dot, team);
}

template <class T>
void StencilCoefficients<T>::map_weights(const Parameters<T>& parameters,
                                         const Parameters<T>* parameters_dot, Team& team) {
    const StencilShape& shape = model_.shape;
    const Layout& layout = model_.geometry.layout();
    const std::int64_t omega_step = shape.omega_is_local ? 1 : 0;
    const auto map = [&](std::int64_t set, std::int64_t cell, std::int64_t flat, std::int64_t n,
                         MapScratch<T>& scratch) {
        for (int k = 0; k < shape.n_arms; ++k) {
            scratch.weights[k] = weights_[set * shape.n_arms + k] + flat;
        }
        const T* omega = omega_of(model_, parameters, set, cell);
        const auto block = block_of(model_, parameters, set, cell, scratch.components);
        if (!parameters_dot) {
            model_.op->prepare(block, omega, omega_step, n, scratch.weights);
            return;
        }
        const auto dot = block_of(model_, *parameters_dot, set, cell, scratch.components_dot);
        const T* omega_dot = omega_of(model_, *parameters_dot, set, cell);
        model_.op->prepare_tangent(block, dot, omega, omega_dot, omega_step, n, scratch.weights);
    };
    if (!shape.weights_are_local) {
        for (std::int64_t set = 0; set < shape.n_weight_sets; ++set) map(set, 0, 0, 1, scratch_[0]);
        return;
    }
    team.parallel_for(shape.n_weight_sets * kRowTasks, [&](std::int64_t task, int worker) {
        const Rows rows = row_task(layout, task % kRowTasks);
        for_each_cell_block(layout, rows,
                            [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                                MapScratch<T>& scratch = scratch_[static_cast<std::size_t>(worker)];
                                const std::int64_t set = task / kRowTasks;
                                map(set, cell, flat, n, scratch);
                                for (int k = 0; k < shape.n_arms; ++k) {
                                    layout.spread(weights_[set * shape.n_arms + k], flat, n);
                                }
                            });
    });
    team.parallel_for(shape.n_weight_sets * shape.n_arms,
                      [&](std::int64_t i, int) { finish_field(weights_[i]); });
}

template <class T>
void StencilCoefficients<T>::pack_fields(const Parameters<T>& parameters, Team& team) {
    const StencilShape& shape = model_.shape;
    const Layout& layout = model_.geometry.layout();
    const std::int64_t n_cells = model_.config.grid->n_cells();
    if (shape.bias_is_local) {
        team.parallel_for(shape.n_bias_sets, [&](std::int64_t set, int) {
            layout.pack<T>({bias_of(model_, parameters) + set * n_cells}, bias_[set], 0,
                           layout.n_rows());
            finish_field(bias_[set]);
        });
    }
    if (shape.omega_is_local) {
        layout.pack<T>({parameters.back()}, omega_, 0, layout.n_rows());
        finish_field(omega_);
    }
}

// Masked cells are nobody's, whatever their parameters hold; tiles read beyond periodic ends.
template <class T>
void StencilCoefficients<T>::finish_field(T* field) const {
    const Layout& layout = model_.geometry.layout();
    layout.zero_masked(field, 0, layout.n_rows());
    if (!layout.is_periodic()) return;
    layout.fill_rows(field, 0);
    layout.fill_rows(field, 1);
}

template <class T>
Layer<T> StencilCoefficients<T>::layer(std::int64_t layer) const {
    const StencilShape& shape = model_.shape;
    Layer<T> view;
    view.weights = {weights_ + shape.weight_set(layer) * shape.n_arms, shape.weights_are_local};
    if (shape.bias_is_local) {
        view.bias = {bias_[shape.bias_set(layer)], true};
    } else if (shape.has_bias) {
        view.bias = {bias_of(model_, parameters_) + shape.bias_set(layer), false};
    }
    if (shape.omega_is_local) {
        view.omega = {omega_, true};
    } else {
        view.omega = {parameters_.back() + shape.omega_set(layer), false};
    }
    return view;
}

template class StencilCoefficients<float>;
template class StencilCoefficients<double>;

}  // namespace relaxon
