// What families of layers on whole fields share, whatever a layer does: states are (samples,
// cells) as the caller has them, all samples are one bundle, and workers share samples or blocks of
// rows of fixed size. Coefficients other than the operator's, the normalisation, and the sums of
// their gradients are here.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "relaxon/network/sweep.hpp"
#include "relaxon/operators/field.hpp"
#include "relaxon/sweeps/bundle.hpp"

namespace relaxon {

template <class T>
class FieldLayers {
public:
    // All samples.
    struct Bundle : DepthBundle<T> {
        Team* team = nullptr;
    };

    const SegmentMap& segments() const { return segments_; }
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

    void load(Bundle& bundle, const T* x);
    void load_drive(Bundle& bundle, const T* x) const;
    void unload(const Bundle& bundle, const T* z, T* cells, std::int64_t stride) const;
    void load_tangent(Bundle& bundle, const T* x_dot, T* z_dot) const;
    bool starts_inside() const { return false; }
    std::optional<AttractorError> unsolved() const { return std::nullopt; }
    void start_cotangent(Bundle& bundle, const T* y_bar) const;
    double distance(const Bundle& bundle, std::int64_t i, const StateTarget<T>& target, const T* z,
                    double scale, bool wants_cotangent) const;
    void add_cotangent(Bundle& bundle, const T* cells, std::int64_t stride) const;
    template <class F>
    void visit(const Bundle&, std::int64_t i, const T* z, const F& f) const {
        f(z + i * n_, 1, 0, n_);
    }

protected:
    // Coefficients of one layer as the elementwise kernels read them.
    struct Layer {
        const T* bias = nullptr;     // null: none
        std::int64_t bias_step = 0;  // 0: one value
        const T* omega = nullptr;
        std::int64_t omega_step = 0;
        const T* drive = nullptr;  // of one sample, where it has such
    };

    FieldLayers(const NetworkConfig& config, const SweepRequest& request);

    std::int64_t state_length() const { return n_ * request_.batch; }
    std::int64_t n_omega_sets() const {
        return config_.omega() == OmegaKind::layer ? config_.depth() : 1;
    }
    Layer layer_of(const Parameters<T>& parameters, std::int64_t layer) const;
    template <class F>
    void for_each_block(Team& team, const F& f) const;

    // What a plan is made of; block_bytes is for the family.
    PlanInput plan_input() const;
    // States, tangents, cotangents, snapshots and sums.
    void carve_shared(Arena& arena, std::int64_t n_snapshots);

    void zero_masked(T* field, std::int64_t begin, std::int64_t end) const;
    void find_growth(const T* z, const T* lambda, Team& team);
    void find_growth(std::int64_t sample, const T* z, const T* lambda);
    // |y| of a sample, with hard normalisation.
    double& size_of(std::int64_t layer, std::int64_t sample) const {
        return bundles_[0].sizes[(layer - segments_.first()) * request_.batch + sample];
    }
    void normalise(std::int64_t layer, T* y, Team& team) const;
    void project(std::int64_t layer, const T* z, T* values, Team& team) const;

    // Gradients of bias and omega: cleared, summed block by block, written at the end.
    void clear_shared(const Gradients<T>& gradients);
    void pull_elements(const Layer& layer, const T* pre, const T* z, const T* later,
                       const T* lambda, const FieldBlock& block, std::int64_t number);
    void finish_shared(const Gradients<T>& gradients) const;

    NetworkConfig config_;
    SweepRequest request_;
    std::vector<ParameterArray> arrays_;
    std::size_t n_own_arrays_;  // of the operator
    std::int64_t n_;            // cells
    std::int64_t n_blocks_;     // blocks of rows
    SegmentMap segments_;
    const Parameters<T>* parameters_ = nullptr;  // of the sweep under way
    const Parameters<T>* parameters_dot_ = nullptr;
    Gradients<T> gradients_;
    std::vector<Bundle> bundles_;

    T* s_ = nullptr;                    // omega f'(Z) lambda
    T* growth_ = nullptr;               // beta (|z| - 1) per sample
    T* pull_ = nullptr;                 // beta (z . lambda) dV / |z| per sample
    OrderedSum* bias_sums_ = nullptr;   // [set][block]
    OrderedSum* omega_sums_ = nullptr;  // [set][block]
};

// f(block) for the blocks of rows.
template <class T>
template <class F>
void FieldLayers<T>::for_each_block(Team& team, const F& f) const {
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kFieldRows;
        f(FieldBlock{begin, std::min(begin + kFieldRows, n_), worker});
    });
}

}  // namespace relaxon
