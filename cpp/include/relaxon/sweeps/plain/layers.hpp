// Sweeps of networks with a free matrix. All samples go through a layer together, so that its work
// is matrix products; workers share the rows of W in blocks of fixed size. The outer products of a
// W that is shared by layers are collected, a fixed number of layers at a time counted from
// layer 0, into one product. f is recovered from the states where layer.hpp's rule allows it;
// elsewhere Z is stored beside z, if memory allows, which spares the reverse sweep a third of its
// products.
#pragma once

#include <algorithm>
#include <vector>

#include "relaxon/checkpoint/state_pool.hpp"
#include "relaxon/network/state_loss.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/operators/dense/products.hpp"
#include "relaxon/pointwise/loss.hpp"
#include "relaxon/sweeps/stencil/layer.hpp"

namespace relaxon {

template <class T>
class DenseSweep final : public Sweep<T> {
public:
    // takes_memory = false: only to be asked for its plan.
    DenseSweep(const NetworkConfig& config, const SweepRequest& request, bool takes_memory);

    const Plan& plan() const override { return plan_; }
    Evaluations evaluations() const override { return evaluations_; }

    void forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                 Team& team) override;
    double loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                Team& team) override;
    double value_and_gradient(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                              const Gradients<T>& gradients, Team& team) override;
    void vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
             const Gradients<T>& gradients, Team& team) override;
    void jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot, const T* x,
             const T* x_dot, T* y_dot, Team& team) override;
    Extreme find_extreme(const Parameters<T>& parameters, const T* x, Team& team) override;
    void apply(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* out, Team& team);

private:
    struct Stepper;

    // Coefficients of one layer as the elementwise kernels read them.
    struct Layer {
        const T* bias;           // null: none
        std::int64_t bias_step;  // 0: one value
        const T* omega;
        std::int64_t omega_step;
    };

    void carve(Arena& arena, std::int64_t n_snapshots);
    PlanInput plan_input(bool is_rich);
    std::int64_t state_length() const { return n_ * request_.batch; }
    Layer layer_of(const Parameters<T>& parameters, std::int64_t layer) const;
    const T* weights(const Parameters<T>& parameters, std::int64_t layer);
    const T* bias_of(const Parameters<T>& parameters) const;

    void prepare(const Parameters<T>& parameters, Team& team);
    Matrix<T> matrix_of(const Parameters<T>& parameters, std::int64_t layer);
    States<T> pack(const T* z, T* packed, Team& team) const;
    bool recovers(const Parameters<T>& parameters, std::int64_t layer) const;
    template <class F>
    void for_each_block(Team& team, const F& f) const;

    const T* load_input(const T* x, T* field);
    void zero_masked(T* field, std::int64_t begin, std::int64_t end) const;
    void find_growth(const T* z, const T* lambda, Team& team);
    void evaluate_rows(const Matrix<T>& matrix, const Layer& layer, const States<T>& states,
                       std::int64_t begin, std::int64_t end, int worker, T* pre) const;
    void evaluate(const Matrix<T>& matrix, const Layer& layer, const T* z, T* pre, Team& team);
    void relax(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* pre, T* out,
               Team& team);
    void reverse(const Parameters<T>& parameters, std::int64_t layer, const T* z,
                 const Gradients<T>& gradients, Team& team);
    void pull_elements(const Layer& layer, const T* pre, const T* z, T* s, std::int64_t begin,
                       std::int64_t end, std::int64_t number, const Gradients<T>& gradients);
    void add_outer_products(std::int64_t layer, const Gradients<T>& gradients, Team& team);
    void add_loss(const Target<T>& target, std::int64_t layer, const T* z, bool wants_cotangent,
                  Team& team);
    double total_loss() const;
    void clear(const Gradients<T>& gradients, Team& team);
    void finish(const Gradients<T>& gradients) const;
    void gradient_sweep(const Parameters<T>& parameters, const T* x, const Target<T>* target,
                        const T* y_bar, const Gradients<T>& gradients, Team& team);

    NetworkConfig config_;
    SweepRequest request_;
    std::vector<ParameterArray> arrays_;
    std::int64_t n_;            // cells
    std::int64_t n_blocks_;     // blocks of rows of W
    std::int64_t n_collected_;  // layers, at most
    SegmentMap segments_;
    bool is_rich_ = false;  // Z of every layer and W in packed form are kept
    Plan plan_;
    Evaluations evaluations_;
    Block memory_;

    std::vector<PanelWorkspace<T>> panels_;
    StatePool<T> states_;
    T* scratch_dot_[2] = {};
    T* lambda_[2] = {};
    T* pre_ = nullptr;  // Z of one layer, or of every layer where it is kept
    T* s_ = nullptr;
    T* outer_sources_ = nullptr;  // s and z of the collected layers
    T* outer_states_ = nullptr;
    std::int64_t n_collected_samples_ = 0;
    T* packed_rows_ = nullptr;  // W, where it is shared by layers
    T* packed_columns_ = nullptr;
    T* packed_states_ = nullptr;
    T* packed_states_dot_ = nullptr;
    T* clean_weights_ = nullptr;  // W without its masked rows and columns
    std::int64_t clean_set_ = -1;
    T* growth_ = nullptr;               // beta (|z| - 1) per sample
    T* pull_ = nullptr;                 // beta (z . lambda) dV / |z| per sample
    OrderedSum* bias_sums_ = nullptr;   // [set][block]
    OrderedSum* omega_sums_ = nullptr;  // [set][block]
    std::int64_t* schedule_ = nullptr;
    double* losses_ = nullptr;  // [sample][target]
};

// f(begin, end, worker) for the blocks of rows.
template <class T>
template <class F>
void DenseSweep<T>::for_each_block(Team& team, const F& f) const {
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kProductRows;
        f(begin, std::min(begin + kProductRows, n_), worker);
    });
}

}  // namespace relaxon
