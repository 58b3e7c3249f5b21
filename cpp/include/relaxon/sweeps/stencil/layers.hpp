// Sweeps of stencil networks. Whole fields: every worker takes bundles of samples through all
// layers on its own. Cut fields: one bundle at a time, all workers on its tiles. Snapshots are
// padded fields that a layer is computed into, so storing and restoring moves pointers, never
// states.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "relaxon/checkpoint/state_pool.hpp"
#include "relaxon/network/state_loss.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/pointwise/loss.hpp"
#include "relaxon/sweeps/stencil/coefficients.hpp"
#include "relaxon/sweeps/stencil/gradient.hpp"
#include "relaxon/sweeps/stencil/tiling.hpp"

namespace relaxon {

template <class T>
class StencilSweep final : public Sweep<T> {
public:
    // takes_memory = false: only to be asked for its plan.
    StencilSweep(const NetworkConfig& config, const SweepRequest& request, bool takes_memory);

    const Plan& plan() const override { return plan_; }
    Evaluations evaluations() const override;

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
    // Memory of one bundle of samples in flight: where a field is named, all fields of the bundle
    // are meant.
    struct Context {
        std::int64_t first_sample = 0, n_samples = 1;
        int n_fields = 1;  // each holds as many samples as the layout has lanes
        StatePool<T> states;
        T* scratch_dot[2] = {};           // tangent sweeps
        T* lambda[2] = {};                // cotangents: this step's and the next one's
        T** local = nullptr;              // [worker][buffer]: memory of tiles
        OrderedSum* tile_sums = nullptr;  // [field][tile], the first field's by default
        std::int64_t* schedule = nullptr;
        Evaluations evaluations;
        std::int64_t cells_since_poll = 0;
    };

    // How the calling thread is involved: alone with a context, or with a team on tiles.
    struct Crew {
        Team* team;
        bool shares_tiles;
        bool is_calling_thread;
    };

    struct Cotangent {
        const Target<T>* target = nullptr;  // of a loss
        const T* y_bar = nullptr;           // or given
    };

    // Layers to be reversed; `start`: those tiles that end at the last target make its cotangent
    // themselves, else null.
    struct Segment {
        std::int64_t begin, end;
        const Cotangent* start;
    };

    struct Stepper;

    PlanInput plan_input();
    void carve_fixed(Arena& arena);
    Context carve_context(Arena& arena, std::int64_t n_snapshots) const;
    T* take_field(Arena& arena) const;
    // Padded fields of a bundle, given the first.
    Fields<T> fields(T* first) const { return {first, stride_}; }
    Fields<const T> fields(const T* first) const { return {first, stride_}; }
    // The entries of sample i of a bundle.
    template <class Entry>
    Entry* sample(Entry* first, std::int64_t i) const {
        const std::int64_t n_lanes = model_.geometry.layout().n_lanes();
        return first + i / n_lanes * stride_ + i % n_lanes;
    }
    template <class Entry>
    Cells<Entry> cells_of(const Context& context, int g, Entry* cells, std::int64_t stride) const;
    std::int64_t local_length() const;
    std::int64_t n_local() const;
    Fields<T> local_fields(const Context& context, int worker, std::int64_t buffer,
                           std::int64_t tile) const;

    template <class Body>
    void for_each_bundle(Team& team, const Body& body);
    template <class Body>
    void for_each_tile(Crew& crew, const Body& body);
    template <class Term>
    double sum_over_tiles(Context& context, Crew& crew, const Term& term);
    double total_of_tiles(const Context& context, int field) const;

    Rows clip(Rows own, std::int64_t extra) const;
    bool ends_at(int side, Rows rows) const;
    void poll(Context& context, Crew& crew);
    double norm(Context& context, Crew& crew, const T* z);
    T growth(Context& context, Crew& crew, const T* z);

    void load_input(Context& context, Crew& crew, const T* x);
    void load_fields(const Context& context, Crew& crew, const T* cells, std::int64_t sample_stride,
                     T* first);
    void unload_fields(const Context& context, Crew& crew, const T* first, T* cells,
                       std::int64_t sample_stride);
    void close_state(const Context& context, T* first) const;
    void advance(Context& context, Crew& crew, std::int64_t begin, std::int64_t end, T* out);
    void advance_tile(const Context& context, int worker, std::int64_t tile, std::int64_t begin,
                      std::int64_t end, T* out);
    void close_local(const Context& context, Fields<T> local, Rows rows) const;

    void sweep_back(Context& context, Crew& crew, StencilGradient<T>& gradient, const T* x,
                    const Cotangent& cotangent);
    void reverse(Context& context, Crew& crew, StencilGradient<T>& gradient,
                 const Segment& segment);
    void reverse_tile(const Context& context, int worker, std::int64_t tile, const Segment& segment,
                      T growth, StencilGradient<T>& gradient);
    void start_tile(const Context& context, std::int64_t tile, const Segment& segment,
                    Fields<const T> z, Fields<T> lambda) const;
    void pull_back_tile(const Layer<T>& layer, T growth, const ReverseFields<T>& fields,
                        ReverseRows rows, const LayerGradient<T>& gradient) const;
    void start_cotangent(Context& context, Crew& crew, const Cotangent& cotangent);
    void load_cotangent(Context& context, Crew& crew, const T* cells, std::int64_t sample_stride,
                        T* lambda);
    void add_loss(Context& context, Crew& crew, const Cotangent& cotangent, std::int64_t layer,
                  const T* z, bool wants_cotangent);
    void add_state_loss(Context& context, Crew& crew, StateLoss<T>& loss, std::int64_t place,
                        const T* z, bool wants_cotangent);
    std::int64_t place_of(std::int64_t layer) const;
    std::int64_t loss_index(const Context& context, std::int64_t place, std::int64_t i) const;
    StateTarget<T> state_target(const Target<T>& target, std::int64_t index) const;
    double total_loss() const;
    void gradient_sweep(const Parameters<T>& parameters, const T* x, const Target<T>* target,
                        const T* y_bar, const Gradients<T>& gradients, Team& team);

    SweepRequest request_;
    Tiling tiling_;
    StencilModel<T> model_;
    int bundle_size_;      // most fields of a bundle
    std::int64_t stride_;  // entries between them
    SegmentMap segments_;
    std::int64_t n_chunks_;
    Plan plan_;
    Block memory_;
    std::optional<StencilCoefficients<T>> coefficients_, coefficients_dot_;
    std::optional<StencilGeometry> linear_geometry_;
    std::vector<StencilGradient<T>> gradients_;
    std::vector<Context> contexts_;
    double* losses_ = nullptr;  // [sample][target]
};

template <class T>
template <class Body>
void StencilSweep<T>::for_each_bundle(Team& team, const Body& body) {
    const std::int64_t n_lanes = model_.geometry.layout().n_lanes();
    const std::int64_t most = bundle_size_ * n_lanes;
    const auto run = [&](std::int64_t begin, std::int64_t end, std::int64_t chunk, Context& context,
                         Crew& crew) {
        for (context.first_sample = begin; context.first_sample < end;
             context.first_sample += context.n_samples) {
            context.n_samples = std::min(most, end - context.first_sample);
            context.n_fields = static_cast<int>((context.n_samples + n_lanes - 1) / n_lanes);
            body(chunk, context, crew);
        }
    };
    if (!tiling_.is_whole()) {
        Crew crew{&team, true, true};
        run(0, request_.batch, 0, contexts_[0], crew);
        return;
    }
    const std::int64_t n_bundles = (request_.batch + most - 1) / most;
    const auto limit = static_cast<int>(plan_.blocks_in_flight);
    team.parallel_for(n_chunks_, limit, [&](std::int64_t chunk, int worker) {
        Crew crew{&team, false, worker == 0};
        run(n_bundles * chunk / n_chunks_ * most,
            std::min(n_bundles * (chunk + 1) / n_chunks_ * most, request_.batch), chunk,
            contexts_[static_cast<std::size_t>(worker)], crew);
    });
}

template <class T>
template <class Body>
void StencilSweep<T>::for_each_tile(Crew& crew, const Body& body) {
    if (crew.shares_tiles) {
        crew.team->parallel_for(tiling_.n_tiles, body);
    } else {
        body(0, 0);
    }
}

template <class T>
template <class Term>
double StencilSweep<T>::sum_over_tiles(Context& context, Crew& crew, const Term& term) {
    for_each_tile(
        crew, [&](std::int64_t tile, int) { context.tile_sums[tile] = term(tiling_.own(tile)); });
    return total_of_tiles(context, 0);
}

template <class T>
double StencilSweep<T>::total_of_tiles(const Context& context, int field) const {
    OrderedSum total;
    for (std::int64_t tile = 0; tile < tiling_.n_tiles; ++tile) {
        total.add(context.tile_sums[field * tiling_.n_tiles + tile]);
    }
    return total.value();
}

}  // namespace relaxon
