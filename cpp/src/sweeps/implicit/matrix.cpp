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
        : model_(without_bias(config), 1, 1), line_(*model_.config.grid, model_.op->arms()),
          wants_omega_(wants_omega && model_.op->uses_omega()) {}

    const Pattern& pattern() const override { return entries().assembly.pattern(); }
    std::int64_t n_sets() const override { return model_.shape.n_weight_sets; }

    void carve(Arena& arena, int n_workers, bool has_gradient, bool has_tangent) override {
        coefficients_.emplace(model_, n_workers, arena);
        if (has_tangent) coefficients_dot_.emplace(model_, n_workers, arena);
        if (has_gradient) gradient_.emplace(model_, n_tiles(), wants_omega_, arena);
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

    void assemble_tangent(std::int64_t layer, T* values, T* shift) override {
        assemble(coefficients_dot_->layer(layer).weights, values, shift);
    }

    void clear(const Gradients<T>&, Team& team) override { gradient_->clear(team); }

    void add(std::int64_t layer, const T* values_bar, const T* shift_bar) override {
        const Entries& own = entries();
        const LayerGradient<T> sums = gradient_->layer(layer, 0);
        own.assembly.pull_back(values_bar, shift_bar, [&](std::int64_t cell, int arm, T bar) {
            add_to(sums, own.places[static_cast<std::size_t>(cell)], 1, arm, &bar);
        });
    }

    bool is_line() const override { return line_.is_line(); }
    bool is_uniform() const override {
        return !model_.shape.weights_are_local && !model_.config.grid->has_mask();
    }

    void assemble_line(std::int64_t layer, const ThreePoint<T>& matrix, T* shift,
                       Team* team) override {
        const StencilWeights<T> weights = coefficients_->layer(layer).weights;
        for_each_tile(team, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
            line_.assemble(
                [&](std::int64_t cell, int arm) { return weights.at(arm, place_of(cell)); }, begin,
                end, matrix, shift);
        });
    }

    void add_line(std::int64_t layer, const ThreePoint<T>& matrix_bar, const T* shift_bar,
                  Team* team) override {
        pull_line(layer, matrix_bar, shift_bar, team);
    }

    void add_line_sums(std::int64_t layer, const ThreePoint<double>& matrix_bar,
                       const double* shift_bar, Team* team) override {
        pull_line(layer, matrix_bar, shift_bar, team);
    }

    bool has_shift() const override { return !is_line() || line_.has_shift(); }

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
    // Made where they are first asked for.
    struct Entries {
        explicit Entries(const StencilModel<T>& model)
            : assembly(*model.config.grid, model.op->arms()),
              places(static_cast<std::size_t>(model.config.grid->n_cells())) {
            const Layout& layout = model.geometry.layout();
            layout.for_each_pencil(0, layout.n_rows(),
                                   [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                                       for (std::int64_t i = 0; i < n; ++i) {
                                           places[static_cast<std::size_t>(cell + i)] = flat + i;
                                       }
                                   });
        }

        StencilAssembly assembly;
        std::vector<std::int64_t> places;  // of the cells in the padded layout
    };

    const Entries& entries() const {
        const std::lock_guard<std::mutex> lock(making_);
        if (!entries_) entries_.emplace(model_);
        return *entries_;
    }

    // Of a line: where a cell stands in the padded layout, and the runs of cells that are summed
    // apart.
    std::int64_t place_of(std::int64_t cell) const { return model_.geometry.layout().begin(cell); }
    std::int64_t n_tiles() const { return is_line() ? kRowTasks : 1; }
    template <class F>
    void for_each_tile(Team* team, const F& f) const {
        const std::int64_t n = model_.config.grid->n_cells();
        const auto take = [&](std::int64_t tile, int) {
            f(n * tile / kRowTasks, n * (tile + 1) / kRowTasks, tile);
        };
        if (team) return team->parallel_for(kRowTasks, take);
        for (std::int64_t tile = 0; tile < kRowTasks; ++tile) take(tile, 0);
    }

    template <class Bar>
    void pull_line(std::int64_t layer, const ThreePoint<Bar>& matrix_bar, const Bar* shift_bar,
                   Team* team) {
        for_each_tile(team, [&](std::int64_t begin, std::int64_t end, std::int64_t tile) {
            const LayerGradient<T> sums = gradient_->layer(layer, tile);
            line_.pull_back(matrix_bar, shift_bar, begin, end,
                            [&](std::int64_t cell, std::int64_t n, int arm, const Bar* bars) {
                                add_to(sums, place_of(cell), n, arm, bars);
                            });
        });
    }

    // Of n cells that follow each other.
    template <class Bar>
    static void add_to(const LayerGradient<T>& sums, std::int64_t place, std::int64_t n, int arm,
                       const Bar* bars) {
        if (sums.weights_field) {
            T* field = sums.weights_field[arm] + place;
            for (std::int64_t i = 0; i < n; ++i) field[i] += static_cast<T>(bars[i]);
            return;
        }
        constexpr std::int64_t kLanes = 8;
        double lanes[kLanes] = {};
        std::int64_t i = 0;
        for (; i + kLanes <= n; i += kLanes) {
            for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += bars[i + lane];
        }
        if (i > 0) {
            for (const double sum : lanes) sums.weights_sum[arm].add(sum);
        }
        for (; i < n; ++i) sums.weights_sum[arm].add(static_cast<double>(bars[i]));
    }

    // The operator's arrays and omega.
    Parameters<T> bare(const Parameters<T>& parameters) const {
        const auto n_own = static_cast<std::ptrdiff_t>(model_.op->coefficients().size());
        Parameters<T> own(parameters.begin(), parameters.begin() + n_own);
        own.push_back(parameters.back());
        return own;
    }

    void assemble(const StencilWeights<T>& weights, T* values, T* shift) const {
        const Entries& own = entries();
        own.assembly.assemble(
            [&](std::int64_t cell, int arm) {
                return weights.at(arm, own.places[static_cast<std::size_t>(cell)]);
            },
            values, shift);
    }

    StencilModel<T> model_;
    LineAssembly line_;
    bool wants_omega_;
    mutable std::mutex making_;
    mutable std::optional<Entries> entries_;
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
void LayerMatrix<T>::assemble_line(std::int64_t layer, const ThreePoint<T>& matrix, T* shift,
                                   Team*) {
    std::vector<T> values(static_cast<std::size_t>(pattern().n_entries()));
    assemble(layer, values.data(), shift);
    spread(pattern(), values.data(), matrix);
}

template <class T>
void LayerMatrix<T>::add_line(std::int64_t layer, const ThreePoint<T>& matrix_bar,
                              const T* shift_bar, Team*) {
    std::vector<T> values_bar(static_cast<std::size_t>(pattern().n_entries()));
    collect(pattern(), matrix_bar, values_bar.data());
    add(layer, values_bar.data(), shift_bar);
}

template <class T>
void LayerMatrix<T>::add_line_sums(std::int64_t layer, const ThreePoint<double>& matrix_bar,
                                   const double* shift_bar, Team*) {
    std::vector<T> values_bar(static_cast<std::size_t>(pattern().n_entries()));
    collect(pattern(), matrix_bar, values_bar.data());
    const std::vector<T> shift(shift_bar, shift_bar + pattern().n());
    add(layer, values_bar.data(), shift.data());
}

template <class T>
std::unique_ptr<LayerMatrix<T>> make_layer_matrix(const NetworkConfig& config, bool wants_omega) {
    if (config.op->is_stencil()) return std::make_unique<StencilMatrix<T>>(config, wants_omega);
    return std::make_unique<FieldMatrix<T>>(config);
}

template std::unique_ptr<LayerMatrix<float>> make_layer_matrix<float>(const NetworkConfig&, bool);
template std::unique_ptr<LayerMatrix<double>> make_layer_matrix<double>(const NetworkConfig&, bool);

}  // namespace relaxon
