// Layers on whole fields, over any operator that acts on them: all samples go through a layer
// together, and workers share its rows in blocks of fixed size. f is recovered from the states
// where layer.hpp's rule allows it; elsewhere Z is stored beside z, if memory allows, which spares
// the reverse sweep a third of its products.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "relaxon/network/extreme_search.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/operators/field.hpp"
#include "relaxon/sweeps/bundle.hpp"

namespace relaxon {

template <class T>
class PlainLayers {
public:
    // All samples.
    struct Bundle : DepthBundle<T> {
        Team* team = nullptr;
    };

    PlainLayers(const NetworkConfig& config, const SweepRequest& request);

    const SegmentMap& segments() const { return segments_; }
    Plan plan(std::int64_t own_bytes);
    void carve(Arena& arena, const Plan& plan);
    std::vector<Bundle>& bundles() { return bundles_; }
    const std::vector<Bundle>& bundles() const { return bundles_; }
    template <class Body>
    void for_each_bundle(Team& team, const Body& body) {
        bundles_[0].team = &team;
        bundles_[0].n_samples = request_.batch;
        body(bundles_[0]);
    }
    template <class Body>
    void for_each_lone_bundle(Team& team, const Body& body) {
        for_each_bundle(team, body);
    }
    template <class Body>
    void for_each_part(const Bundle& bundle, const Body& body) const {
        bundle.team->parallel_for(request_.batch, [&](std::int64_t i, int) { body(i, 1); });
    }

    void prepare(const Parameters<T>& parameters, Team& team);
    void prepare_tangent(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                         Team& team);
    void clear(const Gradients<T>& gradients, Team& team);
    void finish(const Parameters<T>& parameters, const Gradients<T>& gradients, Team& team) const;

    void load(Bundle& bundle, const T* x);
    void unload(const Bundle& bundle, const T* z, T* cells, std::int64_t stride) const;
    void advance(Bundle& bundle, std::int64_t begin, std::int64_t end, T* out, bool is_reversed);
    void load_tangent(Bundle& bundle, const T* x_dot, T* z_dot) const;
    void advance_tangent(Bundle& bundle, std::int64_t layer, const T* z_dot, T* out, T* out_dot);
    void apply(Bundle& bundle, std::int64_t layer, T* out);
    void assemble(std::int64_t layer, T* values, T* shift) { op_->assemble(layer, values, shift); }
    bool starts_inside() const { return false; }
    void start_cotangent(Bundle& bundle, const T* y_bar) const;
    double distance(const Bundle& bundle, std::int64_t i, const StateTarget<T>& target, const T* z,
                    double scale, bool wants_cotangent) const;
    void add_cotangent(Bundle& bundle, const T* cells, std::int64_t stride) const;
    void reverse(Bundle& bundle, std::int64_t layer, std::int64_t end, const Seed<T>* seed,
                 std::int64_t place);
    template <class F>
    void visit(const Bundle&, std::int64_t i, const T* z, const F& f) const {
        f(z + i * n_, 1, 0, n_);
    }

private:
    // Coefficients of one layer as the elementwise kernels read them.
    struct Layer {
        const T* bias = nullptr;     // null: none
        std::int64_t bias_step = 0;  // 0: one value
        const T* omega = nullptr;
        std::int64_t omega_step = 0;
    };

    PlanInput plan_input(std::int64_t own_bytes, bool is_rich);
    void carve(Arena& arena, std::int64_t n_snapshots);
    std::int64_t state_length() const { return n_ * request_.batch; }
    T* kept_pre(std::int64_t layer) const {
        return pre_ + (layer - segments_.first()) * state_length();
    }
    std::int64_t n_omega_sets() const {
        return config_.omega() == OmegaKind::layer ? config_.depth() : 1;
    }
    Layer layer_of(const Parameters<T>& parameters, std::int64_t layer) const;
    bool recovers(std::int64_t layer) const;
    template <class F>
    void for_each_block(Team& team, const F& f) const;

    void zero_masked(T* field, std::int64_t begin, std::int64_t end) const;
    void find_growth(const T* z, const T* lambda, Team& team);
    void evaluate(std::int64_t layer, const Layer& view, const FieldBlock& block, T* pre) const;
    void relax(std::int64_t layer, const T* z, T* pre, T* out, Team& team);
    void pull_elements(const Layer& layer, const T* pre, const T* z, const T* later,
                       const T* lambda, const FieldBlock& block, std::int64_t number);

    NetworkConfig config_;
    SweepRequest request_;
    std::vector<ParameterArray> arrays_;
    std::unique_ptr<FieldOperator<T>> op_;
    std::size_t n_own_arrays_;  // of the operator
    std::int64_t n_;            // cells
    std::int64_t n_blocks_;     // blocks of rows
    SegmentMap segments_;
    bool is_rich_ = false;                       // Z of every layer is kept
    const Parameters<T>* parameters_ = nullptr;  // of the sweep under way
    const Parameters<T>* parameters_dot_ = nullptr;
    Gradients<T> gradients_;
    std::vector<Bundle> bundles_;

    T* pre_ = nullptr;  // Z of one layer, or of every layer where it is kept
    T* s_ = nullptr;
    T* growth_ = nullptr;               // beta (|z| - 1) per sample
    T* pull_ = nullptr;                 // beta (z . lambda) dV / |z| per sample
    OrderedSum* bias_sums_ = nullptr;   // [set][block]
    OrderedSum* omega_sums_ = nullptr;  // [set][block]
};

// f(block) for the blocks of rows.
template <class T>
template <class F>
void PlainLayers<T>::for_each_block(Team& team, const F& f) const {
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kFieldRows;
        f(FieldBlock{begin, std::min(begin + kFieldRows, n_), worker});
    });
}

}  // namespace relaxon
