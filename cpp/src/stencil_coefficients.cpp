#include "relaxon/stencil_coefficients.hpp"

#include <algorithm>

#include "relaxon/operators/banded.hpp"
#include "relaxon/operators/moments_operator.hpp"

namespace relaxon {

namespace {

// Rows are mapped in this many tasks, by shape alone.
constexpr std::int64_t kRowTasks = 16;

Rows row_task(const Layout& layout, std::int64_t task) {
    return {layout.n_rows() * task / kRowTasks, layout.n_rows() * (task + 1) / kRowTasks};
}

// f(cell, flat, n), n <= kBlock, over the cells of the rows.
template <class F>
void for_each_cell_block(const Layout& layout, Rows rows, const F& f) {
    layout.for_each_pencil(rows.begin, rows.end,
                           [&](std::int64_t cell, std::int64_t flat, std::int64_t length) {
                               for (std::int64_t i = 0; i < length; i += kBlock) {
                                   f(cell + i, flat + i, std::min(kBlock, length - i));
                               }
                           });
}

// f(c, offset, array): component c of the operator starts at `offset` in parameter array `array`.
template <class T, class F>
void for_each_component(const StencilModel<T>& model, std::int64_t weight_set, const F& f) {
    const std::int64_t cells = model.config.is_local ? model.config.grid->n_cells() : 1;
    const std::int64_t set = model.config.is_layered ? weight_set : 0;
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
    const std::int64_t step = model.config.is_local ? 1 : 0;
    for_each_component(model, weight_set,
                       [&](std::int64_t c, std::int64_t offset, std::size_t array) {
                           pointers[c] = parameters[array] + offset + step * cell;
                       });
    return {pointers, step};
}

}  // namespace

StencilShape::StencilShape(const NetworkConfig& config, int arms, bool uses_omega)
    : weights_are_local(config.is_local || (uses_omega && config.omega == OmegaKind::cell)),
      bias_is_local(config.bias == BiasKind::local),
      omega_is_local(config.omega == OmegaKind::cell), has_bias(config.bias != BiasKind::none),
      n_weight_sets(1), n_bias_sets(config.is_layered ? config.depth : 1),
      n_omega_sets(config.omega == OmegaKind::layer ? config.depth : 1), n_arms(arms) {
    if (config.is_layered || (uses_omega && config.omega == OmegaKind::layer)) {
        n_weight_sets = config.depth;
    }
}

template <class T>
std::unique_ptr<StencilOperator<T>> make_stencil_operator(const NetworkConfig& config) {
    const int ndim = config.grid->ndim();
    if (config.op == OperatorKind::adr) return make_adr<T>(ndim, config.scheme);
    require(ndim == 1, "grid", "moments and free stencils need a 1-D grid", ndim);
    if (config.op == OperatorKind::moments) return make_moments<T>(config.order);
    return make_banded<T>(config.order);
}

template <class T>
StencilModel<T>::StencilModel(const NetworkConfig& configuration, std::int64_t overlap)
    : config(configuration), op(make_stencil_operator<T>(config)),
      wide_op(make_stencil_operator<double>(config)),
      geometry(*config.grid, op->arms(), op->radius(), overlap),
      shape(config, geometry.n_arms(), op->uses_omega()) {}

template <class T>
StencilCoefficients<T>::StencilCoefficients(const StencilModel<T>& model, int n_workers,
                                            Arena& arena)
    : model_(model) {
    const StencilShape& shape = model.shape;
    const std::int64_t n_weights = shape.n_weight_sets * shape.n_arms;
    const std::int64_t n_biases = shape.bias_is_local ? shape.n_bias_sets : 0;
    const StencilGeometry& geometry = model.geometry;
    parameters_.resize(parameter_arrays(model.config).size());
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
        for_each_cell_block(
            layout, rows, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                map(task / kRowTasks, cell, flat, n, scratch_[static_cast<std::size_t>(worker)]);
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
            layout.pack(bias_of(model_, parameters) + set * n_cells, bias_[set], 0,
                        layout.n_rows());
            finish_field(bias_[set]);
        });
    }
    if (shape.omega_is_local) {
        layout.pack(parameters.back(), omega_, 0, layout.n_rows());
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
    const bool is_local = model.config.is_local;
    const std::int64_t n_sets = shape.n_weight_sets;
    const std::int64_t n_cells = model.config.grid->n_cells();
    const std::int64_t omega_step = shape.omega_is_local ? 1 : 0;
    if (is_local) {
        std::size_t array = 0;
        for (const CoefficientArray& coefficient : model.op->coefficients()) {
            const std::int64_t sets = model.config.is_layered ? n_sets : 1;
            T* out = gradients.arrays[array++];
            std::fill(out, out + sets * coefficient.n_components * n_cells, T(0));
        }
    }
    const auto pull_block = [&](std::int64_t set, std::int64_t cell, std::int64_t flat,
                                std::int64_t n, MapScratch<T>& work) {
        for (int k = 0; k < shape.n_arms; ++k) {
            work.weights[k] = weight_fields_[set * shape.n_arms + k] + flat;
        }
        model.op->pullback(block_of(model, parameters, set, cell, work.components),
                           omega_of(model, parameters, set, cell), omega_step, work.weights, n,
                           work.bars, work.omega_bar);
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
            for (std::int64_t i = 0; i < n; ++i) omega_field_[flat + i] += work.omega_bar[i];
        } else if (OrderedSum* sum = omega_sum(set)) {
            for (std::int64_t i = 0; i < n; ++i) sum->add(work.omega_bar[i]);
        }
    };
    const Layout& layout = model.geometry.layout();
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
            if (is_local || !(model.config.is_layered || set + 1 == n_sets)) continue;
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
        if (model.config.is_layered || set + 1 == shape.n_weight_sets) {
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
    const Layout& layout = model.geometry.layout();
    T* out = gradients.arrays[model.op->coefficients().size()];
    for (std::int64_t set = 0; set < shape.n_bias_sets; ++set) {
        if (bias_fields_) {
            layout.unpack(bias_fields_[set], out + set * model.config.grid->n_cells(), 0,
                          layout.n_rows());
        } else {
            out[set] = sum_tiles(bias_sums_ + set * n_tiles_);
        }
    }
}

template <class T>
void StencilGradient<T>::pull_back_omega(const Gradients<T>& gradients) const {
    T* out = gradients.arrays.back();
    if (!out) return;
    const Layout& layout = model_->geometry.layout();
    if (omega_field_) {
        layout.unpack(omega_field_, out, 0, layout.n_rows());
        return;
    }
    for (std::int64_t set = 0; set < model_->shape.n_omega_sets; ++set) {
        out[set] = sum_tiles(omega_sums_ + set * n_tiles_);
    }
}

template <class T>
T StencilGradient<T>::sum_tiles(const OrderedSum* sums) const {
    OrderedSum total;
    for (std::int64_t tile = 0; tile < n_tiles_; ++tile) total.add(sums[tile]);
    return static_cast<T>(total.value());
}

template std::unique_ptr<StencilOperator<float>> make_stencil_operator(const NetworkConfig&);
template std::unique_ptr<StencilOperator<double>> make_stencil_operator(const NetworkConfig&);
template struct StencilModel<float>;
template struct StencilModel<double>;
template class StencilCoefficients<float>;
template class StencilCoefficients<double>;
template class StencilGradient<float>;
template class StencilGradient<double>;

}  // namespace relaxon
