#include "relaxon/sweeps/implicit/matrix.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

#include "relaxon/operators/field.hpp"
#include "relaxon/operators/stencil/assembly.hpp"
#include "relaxon/operators/stencil/line_assembly.hpp"
#include "relaxon/sweeps/stencil/coefficients.hpp"
#include "relaxon/sweeps/stencil/gradient.hpp"

namespace relaxon {

namespace {

// Only the operator's coefficients concern the matrix.
NetworkConfig without_bias(const NetworkConfig& config) {
    NetworkConfig bare = config;
    bare.bias = BiasKind::none;
    return bare;
}

template <class T>
class StencilMatrix final : public LayerMatrix<T> {
public:
    StencilMatrix(const NetworkConfig& config, bool wants_omega)
        : model_(without_bias(config), 1, 1), grid_(config.grid),
          wants_omega_(wants_omega && model_.op->uses_omega()) {
        if (LineAssembly::fits(*grid_, model_.op->arms())) line_.emplace(*grid_, model_.op->arms());
    }

    const Pattern& pattern() const override { return assembly().pattern(); }
    bool is_line() const override { return line_.has_value(); }
    bool has_shift() const override { return !line_ || line_->has_shift(); }
    std::int64_t n_sets() const override { return model_.shape.n_weight_sets; }

    void carve(Arena& arena, int n_workers, bool has_gradient, bool has_tangent) override {
        coefficients_.emplace(model_, n_workers, arena);
        if (has_tangent) coefficients_dot_.emplace(model_, n_workers, arena);
        if (has_gradient) gradient_.emplace(model_, 1, wants_omega_, arena);
    }

    void prepare(const Parameters<T>& parameters, Team& team) override {
        coefficients_->prepare(bare(parameters), team);
    }

    void prepare_tangent(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                         Team& team) override {
        coefficients_dot_->prepare_tangent(bare(parameters), bare(parameters_dot), team);
    }

    void assemble(std::int64_t layer, T* values, T* shift) override {
        assemble(coefficients_->layer(layer).weights, values, shift);
    }

    void assemble_line(std::int64_t layer, const ThreePoint<T>& matrix, T* shift) override {
        const StencilWeights<T>& weights = coefficients_->layer(layer).weights;
        const std::int64_t first = model_.geometry.layout().begin(0);
        line_->assemble([&](std::int64_t cell, int arm) { return weights.at(arm, first + cell); },
                        matrix, shift);
    }

    void assemble_tangent(std::int64_t layer, T* values, T* shift) override {
        assemble(coefficients_dot_->layer(layer).weights, values, shift);
    }

    void clear(const Gradients<T>&, Team& team) override { gradient_->clear(team); }

    void add(std::int64_t layer, const T* values_bar, const T* shift_bar) override {
        const LayerGradient<T> sums = gradient_->layer(layer, 0);
        assembly().pull_back(values_bar, shift_bar, [&](std::int64_t cell, int arm, T bar) {
            if (sums.weights_field) {
                sums.weights_field[arm][places_[static_cast<std::size_t>(cell)]] += bar;
            } else {
                sums.weights_sum[arm].add(static_cast<double>(bar));
            }
        });
    }

    void add_line(std::int64_t layer, const ThreePoint<double>& matrix_bar,
                  const double* shift_bar) override {
        const LayerGradient<T> sums = gradient_->layer(layer, 0);
        const std::int64_t place = model_.geometry.layout().begin(0);
        line_->pull_back(matrix_bar, shift_bar,
                         [&](std::int64_t begin, std::int64_t end, int arm, const double* bars) {
                             if (sums.weights_field) {
                                 T* field = sums.weights_field[arm] + place + begin;
                                 for (std::int64_t i = 0; i < end - begin; ++i)
                                     field[i] += static_cast<T>(bars[i]);
                             } else {
                                 for (std::int64_t i = 0; i < end - begin; ++i)
                                     sums.weights_sum[arm].add(bars[i]);
                             }
                         });
    }

    void finish(const Parameters<T>& parameters, const Gradients<T>& gradients,
                Team& team) override {
        Gradients<T> own;
        const std::size_t n_own = model_.op->coefficients().size();
        own.arrays.assign(gradients.arrays.begin(),
                          gradients.arrays.begin() + static_cast<std::ptrdiff_t>(n_own));
        own.arrays.push_back(wants_omega_ ? gradients.arrays.back() : nullptr);
        gradient_->pull_back(bare(parameters), own, coefficients_->scratch(), team);
    }

private:
    const StencilAssembly& assembly() const {
        std::call_once(has_entries_, [&] {
            assembly_.emplace(*grid_, model_.op->arms());
            places_.resize(static_cast<std::size_t>(grid_->n_cells()));
            const Layout& layout = model_.geometry.layout();
            layout.for_each_pencil(0, layout.n_rows(),
                                   [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                                       for (std::int64_t i = 0; i < n; ++i) {
                                           places_[static_cast<std::size_t>(cell + i)] = flat + i;
                                       }
                                   });
        });
        return *assembly_;
    }

    // The operator's arrays and omega.
    Parameters<T> bare(const Parameters<T>& parameters) const {
        const auto n_own = static_cast<std::ptrdiff_t>(model_.op->coefficients().size());
        Parameters<T> own(parameters.begin(), parameters.begin() + n_own);
        own.push_back(parameters.back());
        return own;
    }

    void assemble(const StencilWeights<T>& weights, T* values, T* shift) const {
        assembly().assemble(
            [&](std::int64_t cell, int arm) {
                return weights.at(arm, places_[static_cast<std::size_t>(cell)]);
            },
            values, shift);
    }

    StencilModel<T> model_;
    std::shared_ptr<const Grid> grid_;
    bool wants_omega_;
    std::optional<LineAssembly> line_;
    // Lines seldom need them.
    mutable std::once_flag has_entries_;
    mutable std::optional<StencilAssembly> assembly_;
    mutable std::vector<std::int64_t> places_;  // of the cells in the padded layout
    std::optional<StencilCoefficients<T>> coefficients_, coefficients_dot_;
    std::optional<StencilGradient<T>> gradient_;
};

template <class T>
class FieldMatrix final : public LayerMatrix<T> {
public:
    explicit FieldMatrix(const NetworkConfig& config)
        : op_(config.op->template field<T>(*config.grid, config.depth())),
          op_dot_(config.op->template field<T>(*config.grid, config.depth())),
          arrays_(config.op->arrays(*config.grid, config.depth())), pattern_(op_->pattern()),
          n_sets_(config.n_sets()) {}

    const Pattern& pattern() const override { return pattern_; }
    std::int64_t n_sets() const override { return n_sets_; }

    void carve(Arena& arena, int n_workers, bool, bool has_tangent) override {
        FieldRequest request;
        request.n_workers = n_workers;
        request.is_rich = false;
        op_->carve(arena, request);
        if (has_tangent) op_dot_->carve(arena, request);
    }

    void prepare(const Parameters<T>& parameters, Team& team) override {
        op_->prepare(parameters, team);
    }

    // The entries are linear in the arrays.
    void prepare_tangent(const Parameters<T>&, const Parameters<T>& parameters_dot,
                         Team& team) override {
        op_dot_->prepare(parameters_dot, team);
    }

    void assemble(std::int64_t layer, T* values, T* shift) override {
        op_->assemble(layer, values, shift);
    }

    void assemble_tangent(std::int64_t layer, T* values, T* shift) override {
        op_dot_->assemble(layer, values, shift);
    }

    void clear(const Gradients<T>& gradients, Team&) override {
        gradients_ = gradients;
        for (std::size_t i = 0; i < arrays_.size(); ++i) {
            std::fill(gradients.arrays[i], gradients.arrays[i] + arrays_[i].size(), T(0));
        }
    }

    void add(std::int64_t layer, const T* values_bar, const T*) override {
        op_->add_entries(layer, values_bar, gradients_);
    }

    void finish(const Parameters<T>&, const Gradients<T>&, Team&) override {}

private:
    std::unique_ptr<FieldOperator<T>> op_, op_dot_;
    std::vector<ParameterArray> arrays_;
    Pattern pattern_;
    std::int64_t n_sets_;
    Gradients<T> gradients_;
};

}  // namespace

template <class T>
std::unique_ptr<LayerMatrix<T>> make_layer_matrix(const NetworkConfig& config, bool wants_omega) {
    if (config.op->is_stencil()) return std::make_unique<StencilMatrix<T>>(config, wants_omega);
    return std::make_unique<FieldMatrix<T>>(config);
}

template std::unique_ptr<LayerMatrix<float>> make_layer_matrix<float>(const NetworkConfig&, bool);
template std::unique_ptr<LayerMatrix<double>> make_layer_matrix<double>(const NetworkConfig&, bool);

}  // namespace relaxon
