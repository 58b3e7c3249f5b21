// Layers of stencil networks. Whole fields: every worker takes bundles of samples through all
// layers on its own. Cut fields: one bundle at a time, all workers on its tiles. Snapshots are
// padded fields that a layer is computed into, so storing and restoring moves pointers, never
// states.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "relaxon/network/extreme_search.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/pointwise/loss.hpp"
#include "relaxon/sweeps/bundle.hpp"
#include "relaxon/sweeps/stencil/coefficients.hpp"
#include "relaxon/sweeps/stencil/gradient.hpp"
#include "relaxon/sweeps/stencil/tiling.hpp"

namespace relaxon {

template <class T>
class StencilLayers {
public:
    // Where a field is named, all fields of the bundle are meant.
    struct Bundle : DepthBundle<T> {
        int n_fields = 1;                 // each holds as many samples as the layout has lanes
        T** local = nullptr;              // [worker][buffer]: memory of tiles
        OrderedSum* tile_sums = nullptr;  // [field][tile], the first field's by default
        std::int64_t cells_since_poll = 0;
        StencilGradient<T>* gradient = nullptr;  // of the chunk of samples
        // How the calling thread is involved: alone with the bundle, or with a team on tiles.
        Team* team = nullptr;
        bool is_calling_thread = true;
    };

    StencilLayers(const NetworkConfig& config, const SweepRequest& request);

    const SegmentMap& segments() const { return segments_; }
    Plan plan(std::int64_t own_bytes);
    void carve(Arena& arena, const Plan& plan);
    std::vector<Bundle>& bundles() { return bundles_; }
    const std::vector<Bundle>& bundles() const { return bundles_; }
    template <class Body>
    void for_each_bundle(Team& team, const Body& body);
    template <class Body>
    void for_each_lone_bundle(Team& team, const Body& body);
    template <class Body>
    void for_each_part(const Bundle& bundle, const Body& body) const {
        body(0, bundle.n_samples);
    }

    void prepare(const Parameters<T>& parameters, Team& team) {
        coefficients_->prepare(parameters, team);
    }
    void prepare_tangent(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                         Team& team) {
        coefficients_dot_->prepare_tangent(parameters, parameters_dot, team);
    }
    void clear(const Gradients<T>& gradients, Team& team);
    void finish(const Parameters<T>& parameters, const Gradients<T>& gradients, Team& team);

    void load(Bundle& bundle, const T* x) const;
    void load_drive(Bundle& bundle, const T* x) const;
    void unload(const Bundle& bundle, const T* first, T* cells, std::int64_t sample_stride) const;
    void advance(Bundle& bundle, std::int64_t begin, std::int64_t end, T* out, bool is_reversed);
    void load_tangent(Bundle& bundle, const T* x_dot, T* z_dot) const;
    void advance_tangent(Bundle& bundle, std::int64_t layer, const T* z_dot, T* out, T* out_dot);
    void apply(Bundle& bundle, std::int64_t layer, T* out) const;
    void assemble(std::int64_t layer, T* values, T* shift) const;
    // Tiles that end at the last target make its cotangent themselves.
    std::optional<AttractorError> unsolved() const { return std::nullopt; }
    bool starts_inside() const { return tiling_.segment > 1 && !request_.has_state_loss; }
    void start_cotangent(Bundle& bundle, const T* y_bar) const;
    double distance(const Bundle& bundle, std::int64_t i, const StateTarget<T>& target, const T* z,
                    double scale, bool wants_cotangent) const;
    void add_cotangent(Bundle& bundle, const T* cells, std::int64_t sample_stride) const;
    void reverse(Bundle& bundle, std::int64_t begin, std::int64_t end, const Seed<T>* seed,
                 std::int64_t place);
    template <class F>
    void visit(const Bundle&, std::int64_t i, const T* z, const F& f) const {
        const Layout& layout = model_.geometry.layout();
        layout.for_each_pencil(0, layout.n_rows(),
                               [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                                   f(sample(z, i) + flat, layout.n_lanes(), cell, n);
                               });
    }

private:
    // Layers to be reversed; the seed, if there is one, is that of the last target.
    struct Segment {
        std::int64_t begin, end;
        const Seed<T>* seed;
        std::int64_t place;
    };

    void carve_fixed(Arena& arena);
    Bundle carve_bundle(Arena& arena, std::int64_t n_snapshots) const;
    T* take_field(Arena& arena) const;
    // Padded fields of a bundle, given the first.
    Fields<T> fields(T* first) const { return {first, stride_}; }
    Fields<const T> fields(const T* first) const { return {first, stride_}; }
    std::int64_t fields_length(const Bundle& bundle) const {
        return bundle.n_fields * stride_ - 2 * model_.geometry.margin();
    }
    // One layer, as it acts on the bundle.
    Layer<T> layer_of(const Bundle& bundle, std::int64_t layer) const {
        Layer<T> view = coefficients_->layer(layer);
        view.drive = fields(static_cast<const T*>(bundle.drive));
        return view;
    }
    // The entries of sample i of a bundle.
    template <class Entry>
    Entry* sample(Entry* first, std::int64_t i) const {
        const std::int64_t n_lanes = model_.geometry.layout().n_lanes();
        return first + i / n_lanes * stride_ + i % n_lanes;
    }
    template <class Entry>
    Cells<Entry> cells_of(const Bundle& bundle, int g, Entry* cells, std::int64_t stride) const;
    std::int64_t local_length() const;
    std::int64_t n_local() const;
    Fields<T> local_fields(const Bundle& bundle, int worker, std::int64_t buffer,
                           std::int64_t tile) const;

    template <class Body>
    void for_each_tile(const Bundle& bundle, const Body& body) const;
    template <class Term>
    double sum_over_tiles(const Bundle& bundle, const Term& term) const;
    double total_of_tiles(const Bundle& bundle, int field) const;

    Rows clip(Rows own, std::int64_t extra) const;
    bool ends_at(int side, Rows rows) const;
    void poll(Bundle& bundle) const;
    double weighed_product(const Bundle& bundle, double scale, const T* a, const T* b) const;
    double norm(const Bundle& bundle, const T* z) const;
    T growth(const Bundle& bundle, const T* z) const;
    double& size_of(const Bundle& bundle, std::int64_t layer) const {
        return bundle.sizes[layer - segments_.first()];
    }
    void normalise(const Bundle& bundle, std::int64_t layer, T* y) const;
    void project(const Bundle& bundle, std::int64_t layer, const T* z, T* values) const;

    void load_fields(const Bundle& bundle, const T* cells, std::int64_t sample_stride,
                     T* first) const;
    void load_cotangent(const Bundle& bundle, const T* cells, std::int64_t sample_stride,
                        T* lambda) const;
    void close_state(const Bundle& bundle, T* first) const;
    void close_tangent(T* first) const;
    void advance_tile(const Bundle& bundle, int worker, std::int64_t tile, std::int64_t begin,
                      std::int64_t end, T* out) const;
    void close_local(const Bundle& bundle, Fields<T> local, Rows rows) const;
    void reverse_tile(const Bundle& bundle, int worker, std::int64_t tile, const Segment& segment,
                      T growth) const;
    void start_tile(const Bundle& bundle, std::int64_t tile, const Segment& segment,
                    Fields<const T> z, Fields<T> lambda) const;
    void pull_back_tile(const Layer<T>& layer, T growth, const ReverseFields<T>& fields,
                        ReverseRows rows, const LayerGradient<T>& gradient) const;

    SweepRequest request_;
    Tiling tiling_;
    StencilModel<T> model_;
    int bundle_size_;      // most fields of a bundle
    std::int64_t stride_;  // entries between them
    SegmentMap segments_;
    std::int64_t n_chunks_;
    std::optional<StencilCoefficients<T>> coefficients_, coefficients_dot_;
    std::optional<StencilGeometry> linear_geometry_;
    std::vector<StencilGradient<T>> gradients_;
    std::vector<Bundle> bundles_;
};

template <class T>
template <class Body>
void StencilLayers<T>::for_each_bundle(Team& team, const Body& body) {
    const std::int64_t n_lanes = model_.geometry.layout().n_lanes();
    const std::int64_t most = bundle_size_ * n_lanes;
    const auto run = [&](std::int64_t begin, std::int64_t end, std::int64_t chunk, Bundle& bundle) {
        bundle.team = &team;
        if (!gradients_.empty()) bundle.gradient = &gradients_[static_cast<std::size_t>(chunk)];
        for (bundle.first_sample = begin; bundle.first_sample < end;
             bundle.first_sample += bundle.n_samples) {
            bundle.n_samples = std::min(most, end - bundle.first_sample);
            bundle.n_fields = static_cast<int>((bundle.n_samples + n_lanes - 1) / n_lanes);
            body(bundle);
        }
    };
    if (!tiling_.is_whole()) {
        run(0, request_.batch, 0, bundles_[0]);
        return;
    }
    const std::int64_t n_bundles = (request_.batch + most - 1) / most;
    const auto limit = static_cast<int>(bundles_.size());
    team.parallel_for(n_chunks_, limit, [&](std::int64_t chunk, int worker) {
        Bundle& bundle = bundles_[static_cast<std::size_t>(worker)];
        bundle.is_calling_thread = worker == 0;
        run(n_bundles * chunk / n_chunks_ * most,
            std::min(n_bundles * (chunk + 1) / n_chunks_ * most, request_.batch), chunk, bundle);
    });
}

template <class T>
template <class Body>
void StencilLayers<T>::for_each_lone_bundle(Team& team, const Body& body) {
    Bundle& bundle = bundles_.front();
    bundle.team = &team;
    bundle.n_samples = bundle.n_fields = 1;
    for (bundle.first_sample = 0; bundle.first_sample < request_.batch; ++bundle.first_sample) {
        body(bundle);
    }
}

template <class T>
template <class Body>
void StencilLayers<T>::for_each_tile(const Bundle& bundle, const Body& body) const {
    if (tiling_.is_whole()) {
        body(0, 0);
    } else {
        bundle.team->parallel_for(tiling_.n_tiles, body);
    }
}

template <class T>
template <class Term>
double StencilLayers<T>::sum_over_tiles(const Bundle& bundle, const Term& term) const {
    for_each_tile(
        bundle, [&](std::int64_t tile, int) { bundle.tile_sums[tile] = term(tiling_.own(tile)); });
    return total_of_tiles(bundle, 0);
}

template <class T>
double StencilLayers<T>::total_of_tiles(const Bundle& bundle, int field) const {
    OrderedSum total;
    for (std::int64_t tile = 0; tile < tiling_.n_tiles; ++tile) {
        total.add(bundle.tile_sums[field * tiling_.n_tiles + tile]);
    }
    return total.value();
}

}  // namespace relaxon
