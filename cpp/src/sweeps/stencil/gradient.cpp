#include "relaxon/sweeps/stencil/gradient.hpp"

#include <algorithm>

namespace relaxon {

template <class T>
StencilGradient<T>::StencilGradient(const StencilModel<T>& model, std::int64_t n_tiles,
                                    bool wants_omega, Arena& arena)
    : model_(&model), n_tiles_(n_tiles) {
    const StencilShape& shape = model.shape;
    const std::int64_t n_weights = shape.n_weight_sets * shape.n_arms;
    const bool has_omega_field = wants_omega && shape.omega_is_local;
    const std::int64_t n_weight_fields = shape.weights_are_local ? n_weights : 0;
    const std::int64_t n_bias_fields = shape.bias_is_local ? shape.n_bias_sets : 0;
    const std::int64_t n_weight_sums = shape.weights_are_local ? 0 : n_weights * n_tiles;
    const std::int64_t n_bias_sums =
        shape.has_bias && !shape.bias_is_local ? shape.n_bias_sets * n_tiles : 0;
    const std::int64_t n_omega_sums =
        wants_omega && !shape.omega_is_local ? shape.n_omega_sets * n_tiles : 0;

    n_fields_ = n_weight_fields + n_bias_fields + (has_omega_field ? 1 : 0);
    fields_ = arena.take<T*>(n_fields_);
    for (std::int64_t i = 0; i < n_fields_; ++i) {
        T* field = arena.take<T>(model.geometry.field_length());
        if (!arena.is_measuring()) fields_[i] = field + model.geometry.margin();
    }
    n_sums_ = n_weight_sums + n_bias_sums + n_omega_sums;
    sums_ = arena.take<OrderedSum>(n_sums_);
    const std::int64_t n_components = model.op->n_components();
    component_sums_ = arena.take<OrderedSum>(n_components);
    wide_ = arena.take<double>(2 * n_components + shape.n_arms);
    wide_pointers_ = arena.take<double*>(2 * n_components + shape.n_arms);
    if (arena.is_measuring()) return;
    if (n_weight_fields) weight_fields_ = fields_;
    if (n_bias_fields) bias_fields_ = fields_ + n_weight_fields;
    if (has_omega_field) omega_field_ = fields_[n_fields_ - 1];
    if (n_weight_sums) weight_sums_ = sums_;
    if (n_bias_sums) bias_sums_ = sums_ + n_weight_sums;
    if (n_omega_sums) omega_sums_ = sums_ + n_weight_sums + n_bias_sums;
}

template <class T>
LayerGradient<T> StencilGradient<T>::layer(std::int64_t layer, std::int64_t tile) const {
    const StencilShape& shape = model_->shape;
    LayerGradient<T> view;
    const std::int64_t set = shape.weight_set(layer);
    if (weight_fields_) view.weights_field = weight_fields_ + set * shape.n_arms;
    if (weight_sums_) view.weights_sum = weight_sums_ + (set * n_tiles_ + tile) * shape.n_arms;
    const std::int64_t bias_set = shape.bias_set(layer);
    if (bias_fields_) view.bias_field = bias_fields_[bias_set];
    if (bias_sums_) view.bias_sum = bias_sums_ + bias_set * n_tiles_ + tile;
    view.omega_field = omega_field_;
    if (omega_sums_) view.omega_sum = omega_sums_ + shape.omega_set(layer) * n_tiles_ + tile;
    return view;
}

template <class T>
void StencilGradient<T>::clear(Team& team) {
    const std::int64_t margin = model_->geometry.margin();
    team.parallel_for(n_fields_, [&](std::int64_t i, int) {
        T* start = fields_[i] - margin;
        std::fill(start, start + model_->geometry.field_length(), T(0));
    });
    std::fill(sums_, sums_ + n_sums_, OrderedSum());
    std::fill(component_sums_, component_sums_ + model_->op->n_components(), OrderedSum());
}

template <class T>
void StencilGradient<T>::combine(std::vector<StencilGradient>& chunks, Team& team) {
    StencilGradient& total = chunks.front();
    const std::int64_t size = total.model_->geometry.layout().size();
    team.parallel_for(total.n_fields_, [&](std::int64_t i, int) {
        for (std::size_t chunk = 1; chunk < chunks.size(); ++chunk) {
            const T* part = chunks[chunk].fields_[i];
            T* sum = total.fields_[i];
            for (std::int64_t k = 0; k < size; ++k) sum[k] += part[k];
        }
    });
    for (std::size_t chunk = 1; chunk < chunks.size(); ++chunk) {
        for (std::int64_t i = 0; i < total.n_sums_; ++i) {
            total.sums_[i].add(chunks[chunk].sums_[i]);
        }
    }
}

template <class T>
void StencilGradient<T>::pull_back(const Parameters<T>& parameters, const Gradients<T>& gradients,
                                   std::vector<MapScratch<T>>& scratch, Team& team) {
    if (weight_fields_) {
        pull_back_fields(parameters, gradients, scratch, team);
    } else {
        pull_back_sums(parameters, gradients);
    }
    pull_back_bias(gradients);
    pull_back_omega(gradients);
}

template <class T>
OrderedSum* StencilGradient<T>::omega_sum(std::int64_t weight_set) {
    return omega_sums_ ? omega_sums_ + model_->shape.omega_set(weight_set) * n_tiles_ : nullptr;
}

template <class T>
void StencilGradient<T>::pull_back_fields(const Parameters<T>& parameters,
                                          const Gradients<T>& gradients,
                                          std::vector<MapScratch<T>>& scratch, Team& team) {
    const StencilModel<T>& model = *model_;
    const StencilShape& shape = model.shape;
    const bool is_local = model.config.op->is_local();
    const std::int64_t n_sets = shape.n_weight_sets;
    const std::int64_t n_cells = model.config.grid->n_cells();
    const std::int64_t n_components = model.op->n_components();
    const std::int64_t omega_step = shape.omega_is_local ? 1 : 0;
    if (is_local) {
        std::size_t array = 0;
        for (const CoefficientArray& coefficient : model.op->coefficients()) {
            const std::int64_t sets = model.config.op->is_layered() ? n_sets : 1;
            T* out = gradients.arrays[array++];
            std::fill(out, out + sets * coefficient.n_components * n_cells, T(0));
        }
    }
    const Layout& layout = model.geometry.layout();
    const auto pull_block = [&](std::int64_t set, std::int64_t cell, std::int64_t flat,
                                std::int64_t n, MapScratch<T>& work) {
        for (int k = 0; k < shape.n_arms; ++k) {
            T* field = weight_fields_[set * shape.n_arms + k];
            layout.collect(field, flat, n);
            work.weights[k] = field + flat;
        }
        model.op->pullback(block_of(model, parameters, set, cell, work.components),
                           omega_of(model, parameters, set, cell), omega_step, work.weights, n,
                           work.bars, work.omega_bar);
        // What stands in the mask is not read, and need not be a number.
        for (std::int64_t i = 0; model.config.grid->has_mask() && i < n; ++i) {
            if (model.config.grid->exists(cell + i)) continue;
            for (std::int64_t c = 0; c < n_components; ++c) work.bars[c][i] = T(0);
            work.omega_bar[i] = T(0);
        }
        for_each_component(model, set, [&](std::int64_t c, std::int64_t offset, std::size_t array) {
            if (is_local) {
                T* out = gradients.arrays[array] + offset + cell;
                for (std::int64_t i = 0; i < n; ++i) out[i] += work.bars[c][i];
            } else {
                for (std::int64_t i = 0; i < n; ++i) component_sums_[c].add(work.bars[c][i]);
            }
        });
        if (!model.op->uses_omega()) return;
        if (omega_field_) {
            for (std::int64_t i = 0; i < n; ++i) {
                omega_field_[flat + i * layout.n_lanes()] += work.omega_bar[i];
            }
        } else if (OrderedSum* sum = omega_sum(set)) {
            for (std::int64_t i = 0; i < n; ++i) sum->add(work.omega_bar[i]);
        }
    };
    // Sums over cells run in one order; fields are independent row by row.
    const bool has_sums = !is_local || (model.op->uses_omega() && omega_sums_);
    const std::int64_t n_tasks = has_sums ? 1 : kRowTasks;
    team.parallel_for(n_tasks, [&](std::int64_t task, int worker) {
        const Rows rows = has_sums ? Rows{0, layout.n_rows()} : row_task(layout, task);
        MapScratch<T>& work = scratch[static_cast<std::size_t>(worker)];
        for (std::int64_t set = 0; set < n_sets; ++set) {
            for_each_cell_block(layout, rows,
                                [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                                    pull_block(set, cell, flat, n, work);
                                });
            if (is_local || !(model.config.op->is_layered() || set + 1 == n_sets)) continue;
            write_components(set, gradients);
        }
    });
}

template <class T>
void StencilGradient<T>::pull_back_sums(const Parameters<T>& parameters,
                                        const Gradients<T>& gradients) {
    const StencilModel<T>& model = *model_;
    const StencilShape& shape = model.shape;
    const std::int64_t n_components = model.op->n_components();
    double* bars = wide_ + n_components;
    double* weights_bar = bars + n_components;
    for (std::int64_t i = 0; i < 2 * n_components + shape.n_arms; ++i)
        wide_pointers_[i] = wide_ + i;
    double** bar_pointers = wide_pointers_ + n_components;
    double** weight_pointers = bar_pointers + n_components;

    for (std::int64_t set = 0; set < shape.n_weight_sets; ++set) {
        for_each_component(model, set, [&](std::int64_t c, std::int64_t offset, std::size_t array) {
            wide_[c] = static_cast<double>(parameters[array][offset]);
        });
        for (int k = 0; k < shape.n_arms; ++k) {
            OrderedSum sum;
            for (std::int64_t tile = 0; tile < n_tiles_; ++tile) {
                sum.add(weight_sums_[(set * n_tiles_ + tile) * shape.n_arms + k]);
            }
            weights_bar[k] = sum.value();
        }
        const double omega = static_cast<double>(*omega_of(model, parameters, set, 0));
        double omega_bar = 0.0;
        model.wide_op->pullback({wide_pointers_, 0}, &omega, 0, weight_pointers, 1, bar_pointers,
                                &omega_bar);
        for (std::int64_t c = 0; c < n_components; ++c) component_sums_[c].add(bars[c]);
        if (OrderedSum* sum = omega_sum(set)) sum->add(omega_bar);
        if (model.config.op->is_layered() || set + 1 == shape.n_weight_sets) {
            write_components(set, gradients);
        }
    }
}

// Homogeneous coefficients of one set; the sums start anew.
template <class T>
void StencilGradient<T>::write_components(std::int64_t set, const Gradients<T>& gradients) {
    for_each_component(*model_, set, [&](std::int64_t c, std::int64_t offset, std::size_t array) {
        gradients.arrays[array][offset] = static_cast<T>(component_sums_[c].value());
        component_sums_[c] = OrderedSum();
    });
}

template <class T>
void StencilGradient<T>::pull_back_bias(const Gradients<T>& gradients) const {
    const StencilModel<T>& model = *model_;
    const StencilShape& shape = model.shape;
    if (!shape.has_bias) return;
    T* out = gradients.arrays[model.op->coefficients().size()];
    for (std::int64_t set = 0; set < shape.n_bias_sets; ++set) {
        if (bias_fields_) {
            unpack_sum(bias_fields_[set], out + set * model.config.grid->n_cells());
        } else {
            out[set] = sum_tiles(bias_sums_ + set * n_tiles_);
        }
    }
}

template <class T>
void StencilGradient<T>::pull_back_omega(const Gradients<T>& gradients) const {
    T* out = gradients.arrays.back();
    if (!out) return;
    if (omega_field_) {
        unpack_sum(omega_field_, out);
        return;
    }
    for (std::int64_t set = 0; set < model_->shape.n_omega_sets; ++set) {
        out[set] = sum_tiles(omega_sums_ + set * n_tiles_);
    }
}

// A field of sums to the caller's cells. Consumes the field.
template <class T>
void StencilGradient<T>::unpack_sum(T* field, T* cells) const {
    const Layout& layout = model_->geometry.layout();
    for_each_cell_block(layout, {0, layout.n_rows()},
                        [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                            layout.collect(field, flat, n);
                            std::copy(field + flat, field + flat + n, cells + cell);
                        });
}

template <class T>
T StencilGradient<T>::sum_tiles(const OrderedSum* sums) const {
    OrderedSum total;
    for (std::int64_t tile = 0; tile < n_tiles_; ++tile) total.add(sums[tile]);
    return static_cast<T>(total.value());
}

template class StencilGradient<float>;
template class StencilGradient<double>;

}  // namespace relaxon
