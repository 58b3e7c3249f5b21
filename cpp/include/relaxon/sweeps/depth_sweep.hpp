// The walk through the layers, once for every family of them: forward, losses, the steps of a
// checkpoint schedule, cotangents, tangents, the search for extremes, counts. Families know how a
// state is laid out and what a layer does to it. This is a template, so that the walk costs a small
// network nothing. What a family gives:
//
//     struct Bundle : DepthBundle<T>
//     Layers(config, request)                     sizes, no memory
//     const SegmentMap& segments()                layers that a step of the schedule takes together
//     Plan plan(own_bytes)                        own_bytes: of the walk; throws BudgetError
//     void carve(arena, plan)                     all memory of a sweep
//     unsolved()                                  the first sample left without attractor, if any
//     std::vector<Bundle>& bundles()              as many as are in flight at the same time
//     void for_each_bundle(team, f)               f(bundle) for all samples, maybe in parallel
//     void for_each_lone_bundle(team, f)          the same one after the other
//     void prepare(parameters, team)              once per sweep, before the layers
//     void prepare_tangent(parameters, parameters_dot, team)
//     void clear(gradients, team), finish(parameters, gradients, team)
//
// and of one bundle, layers [begin, end), states z in the family's own layout, cells in the
// caller's, the samples of an array `stride` entries apart:
//
//     void load(bundle, x)                        x, or 0 where that is null, to the working state,
//                                                 bundle.states.current
//     void load_drive(bundle, x)                  with drive: x to bundle.drive, 0 to its cotangent
//     void unload(bundle, z, cells, stride)
//     void advance(bundle, begin, end, out, is_reversed)      the working state to z_end in `out`;
//                                                             is_reversed: a reversal follows
//     void load_tangent(bundle, x_dot, z_dot)                 x_dot may be null: zero; with drive
//     to
//                                                             bundle.drive_dot, and z_dot is zero
//     void advance_tangent(bundle, layer, z_dot, out, out_dot)  state and tangent by one layer
//     void apply(bundle, layer, out)              W z alone
//     void assemble(layer, values, shift)         the entries of W: see operators/pattern.hpp
//     bool starts_inside()                        whether the last reversal makes z_end and its
//                                                 cotangent itself
//     void start_cotangent(bundle, y_bar)         lambda[0] = y_bar, or zero where that is null
//     void for_each_part(bundle, f)               f(i, n) for samples i.. of it, maybe in parallel
//     double distance(bundle, i, target, z, scale, wants_cotangent)   adds to lambda[0]
//     void add_cotangent(bundle, cells, stride)   to lambda[0]
//     void reverse(bundle, begin, end, seed, place)   lambda_end to lambda_begin in lambda[0], from
//                                                 the working state and the later one; with a seed,
//                                                 of target number `place`, makes those itself
//     void visit(bundle, i, z, f)                 f(values, step, cell, n) for runs of cells of
//                                                 sample i: n of them, `step` entries apart
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/base/error.hpp"
#include "relaxon/base/sum.hpp"
#include "relaxon/network/extreme_search.hpp"
#include "relaxon/network/state_loss.hpp"
#include "relaxon/network/sweep.hpp"
#include "relaxon/sweeps/bundle.hpp"

namespace relaxon {

template <class T, class Layers>
class DepthSweep final : public Sweep<T> {
public:
    // takes_memory = false: only to be asked for its plan.
    DepthSweep(const NetworkConfig& config, const SweepRequest& request, bool takes_memory)
        : request_(request), grid_(config.grid), first_(request.first),
          end_(request.end < 0 ? config.depth() : request.end), has_drive_(config.drive()),
          layers_(config, request), plan_(layers_.plan(own_bytes())) {
        require(!has_drive_ || first_ == 0, "layers", "all from the first with drive", first_);
        if (!takes_memory) return;
        Arena measure;
        layers_.carve(measure, plan_);
        memory_ = Block(measure.used_bytes() + own_bytes());
        Arena arena(memory_);
        layers_.carve(arena, plan_);
        losses_ = arena.take<double>(request.batch * n_at());
    }

    const Plan& plan() const override { return plan_; }
    Evaluations evaluations() const override;
    std::optional<AttractorError> unsolved() const override { return layers_.unsolved(); }

    void forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                 Team& team) override;
    void settle(const Parameters<T>& parameters, const T* x, T* y, double tolerance,
                std::int64_t* n_layers, Team& team) override;
    double loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                Team& team) override;
    double value_and_gradient(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                              const Gradients<T>& gradients, Team& team) override {
        sweep_back(parameters, x, {nullptr, &target, n_at(), losses_}, gradients, team);
        return total_loss();
    }
    void vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
             const Gradients<T>& gradients, Team& team) override {
        sweep_back(parameters, x, {y_bar, nullptr, n_at(), losses_}, gradients, team);
    }
    void jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot, const T* x,
             const T* x_dot, T* y_dot, Team& team) override;
    Extreme find_extreme(const Parameters<T>& parameters, const T* x, Team& team) override;
    // W z with the coefficients and omega of one layer.
    void apply(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* out, Team& team);
    // W of one layer in the order of its pattern.
    void assemble(const Parameters<T>& parameters, std::int64_t layer, T* values, T* shift,
                  Team& team) {
        const FlushToZero flush;
        layers_.prepare(parameters, team);
        layers_.assemble(layer, values, shift);
    }

private:
    using Bundle = typename Layers::Bundle;
    struct Stepper;

    std::int64_t n_at() const { return static_cast<std::int64_t>(request_.at.size()); }
    std::int64_t n_cells() const { return grid_->n_cells(); }
    std::int64_t own_bytes() const {
        Arena measure;
        measure.take<double>(request_.batch * n_at());
        return measure.used_bytes();
    }
    std::int64_t place_of(std::int64_t layer) const;
    void start(Bundle& bundle, const T* x);
    void step(Bundle& bundle, std::int64_t begin, std::int64_t end);
    bool replace(const Bundle& bundle, std::int64_t i, T* cells, double tolerance) const;
    void add_loss(Bundle& bundle, const Seed<T>& seed, std::int64_t layer, const T* z,
                  bool wants_cotangent);
    double total_loss() const;
    void sweep_back(const Parameters<T>& parameters, const T* x, const Seed<T>& seed,
                    const Gradients<T>& gradients, Team& team);
    void sweep_back(Bundle& bundle, const T* x, const Seed<T>& seed);

    SweepRequest request_;
    std::shared_ptr<const Grid> grid_;
    std::int64_t first_, end_;  // layers
    bool has_drive_;
    Layers layers_;
    Plan plan_;
    Block memory_;
    double* losses_ = nullptr;  // [sample][target]
};

// Where a layer stands among those with targets; -1: it has none.
template <class T, class Layers>
std::int64_t DepthSweep<T, Layers>::place_of(std::int64_t layer) const {
    if (request_.at.size() == 1) return request_.at[0] == layer ? 0 : -1;
    const auto found = std::find(request_.at.begin(), request_.at.end(), layer);
    return found == request_.at.end() ? -1 : found - request_.at.begin();
}

// The first state.
template <class T, class Layers>
void DepthSweep<T, Layers>::start(Bundle& bundle, const T* x) {
    if (has_drive_) layers_.load_drive(bundle, x);
    layers_.load(bundle, has_drive_ ? nullptr : x);
}

template <class T, class Layers>
void DepthSweep<T, Layers>::step(Bundle& bundle, std::int64_t begin, std::int64_t end) {
    T* next = bundle.states.free_scratch();
    layers_.advance(bundle, begin, end, next, false);
    bundle.states.current = next;
}

template <class T, class Layers>
void DepthSweep<T, Layers>::forward(const Parameters<T>& parameters, const T* x, T* y,
                                    bool all_layers, Team& team) {
    const FlushToZero flush;
    const std::int64_t length = all_layers ? 1 : layers_.segments().length();
    const std::int64_t stride = n_cells() * (all_layers ? end_ - first_ + 1 : 1);
    layers_.prepare(parameters, team);
    layers_.for_each_bundle(team, [&](Bundle& bundle) {
        start(bundle, x);
        if (all_layers) layers_.unload(bundle, bundle.states.current, y, stride);
        for (std::int64_t layer = first_; layer < end_; layer += length) {
            step(bundle, layer, std::min(layer + length, end_));
            if (!all_layers) continue;
            T* place = y + (layer + 1 - first_) * n_cells();
            layers_.unload(bundle, bundle.states.current, place, stride);
        }
        if (!all_layers) layers_.unload(bundle, bundle.states.current, y, stride);
    });
}

// The working state of sample i to `cells`, which held the one before; whether it has settled.
template <class T, class Layers>
bool DepthSweep<T, Layers>::replace(const Bundle& bundle, std::int64_t i, T* cells,
                                    double tolerance) const {
    double change = 0.0, size = 1.0;
    bool is_finite = true;
    layers_.visit(bundle, i, bundle.states.current,
                  [&](const T* z, std::int64_t step, std::int64_t cell, std::int64_t n) {
                      for (std::int64_t k = 0; k < n; ++k) {
                          const double now = z[k * step], before = cells[cell + k];
                          is_finite = is_finite && std::isfinite(now - before);
                          change = std::max(change, std::abs(now - before));
                          size = std::max(size, std::abs(now));
                          cells[cell + k] = z[k * step];
                      }
                  });
    return is_finite && change <= tolerance * size;
}

template <class T, class Layers>
void DepthSweep<T, Layers>::settle(const Parameters<T>& parameters, const T* x, T* y,
                                   double tolerance, std::int64_t* n_layers, Team& team) {
    const FlushToZero flush;
    constexpr std::int64_t kMoving = -1;
    layers_.prepare(parameters, team);
    layers_.for_each_bundle(team, [&](Bundle& bundle) {
        std::int64_t* const taken = n_layers + bundle.first_sample;
        std::fill(taken, taken + bundle.n_samples, kMoving);
        start(bundle, x);
        layers_.unload(bundle, bundle.states.current, y, n_cells());
        for (std::int64_t layer = first_; layer < end_; ++layer) {
            step(bundle, layer, layer + 1);
            layers_.for_each_part(bundle, [&](std::int64_t first, std::int64_t n) {
                for (std::int64_t i = first; i < first + n; ++i) {
                    if (taken[i] != kMoving) continue;
                    T* cells = y + (bundle.first_sample + i) * n_cells();
                    if (replace(bundle, i, cells, tolerance)) taken[i] = layer + 1 - first_;
                }
            });
            if (!std::count(taken, taken + bundle.n_samples, kMoving)) return;
        }
        std::replace(taken, taken + bundle.n_samples, kMoving, end_ - first_);
    });
}

template <class T, class Layers>
double DepthSweep<T, Layers>::loss(const Parameters<T>& parameters, const T* x,
                                   const Target<T>& target, Team& team) {
    const FlushToZero flush;
    const Seed<T> seed{nullptr, &target, n_at(), losses_};
    const SegmentMap& segments = layers_.segments();
    layers_.prepare(parameters, team);
    layers_.for_each_bundle(team, [&](Bundle& bundle) {
        start(bundle, x);
        add_loss(bundle, seed, first_, bundle.states.current, false);
        for (std::int64_t i = 0; i < segments.n_segments(); ++i) {
            step(bundle, segments.begin(i), segments.begin(i + 1));
            add_loss(bundle, seed, segments.begin(i + 1), bundle.states.current, false);
        }
    });
    return total_loss();
}

// Loss of the state at `layer`, if it has a target, and the cotangent it adds to lambda_layer.
template <class T, class Layers>
void DepthSweep<T, Layers>::add_loss(Bundle& bundle, const Seed<T>& seed, std::int64_t layer,
                                     const T* z, bool wants_cotangent) {
    const std::int64_t place = place_of(layer);
    if (!seed.target || place < 0) return;
    const auto index = [&](std::int64_t i) { return (bundle.first_sample + i) * n_at() + place; };
    if (StateLoss<T>* whole = seed.target->state_loss) {
        const std::int64_t stride = n_at() * n_cells();
        layers_.unload(bundle, z, whole->states() + place * n_cells(), stride);
        layers_.for_each_part(bundle, [&](std::int64_t i, std::int64_t n) {
            whole->evaluate(place, bundle.first_sample + i, n, wants_cotangent, losses_ + index(i));
        });
        if (!wants_cotangent) return;
        layers_.add_cotangent(bundle, whole->cotangents() + place * n_cells(), stride);
        return;
    }
    const double scale = 1.0 / static_cast<double>(request_.batch);
    layers_.for_each_part(bundle, [&](std::int64_t first, std::int64_t n) {
        for (std::int64_t i = first; i < first + n; ++i) {
            losses_[index(i)] = layers_.distance(
                bundle, i, state_target(*seed.target, *grid_, index(i)), z, scale, wants_cotangent);
        }
    });
}

template <class T, class Layers>
double DepthSweep<T, Layers>::total_loss() const {
    OrderedSum total;
    for (std::int64_t i = 0; i < request_.batch * n_at(); ++i) total.add(losses_[i]);
    return total.value() / static_cast<double>(request_.batch);
}

// The steps of one bundle's schedule, a segment each.
template <class T, class Layers>
struct DepthSweep<T, Layers>::Stepper {
    DepthSweep& sweep;
    Bundle& bundle;
    const T* x;
    const Seed<T>& seed;

    void advance(std::int64_t i) {
        bundle.states.current = advance_to(i);
        bundle.evaluations.advances += bundle.n_samples * n_layers(i);
    }
    void keep(std::int64_t slot) { bundle.states.keep(slot); }
    void restore(std::int64_t slot) { bundle.states.restore(slot); }
    void restore_input() { sweep.layers_.load(bundle, sweep.has_drive_ ? nullptr : x); }

    void reverse(std::int64_t i) {
        Layers& layers = sweep.layers_;
        const std::int64_t begin = layers.segments().begin(i);
        const std::int64_t end = begin + n_layers(i);
        const bool is_last = i + 1 == layers.segments().n_segments();
        const bool starts_inside = is_last && layers.starts_inside();
        if (is_last) bundle.evaluations.outputs += bundle.n_samples;
        if (is_last && !starts_inside) {
            bundle.states.later = advance_to(i);
            bundle.evaluations.advances += bundle.n_samples * (n_layers(i) - 1);
            layers.start_cotangent(bundle, seed.y_bar);
            sweep.add_loss(bundle, seed, end, bundle.states.later, true);
        }
        layers.reverse(bundle, begin, end, starts_inside ? &seed : nullptr, sweep.place_of(end));
        bundle.evaluations.advances += bundle.n_samples * (n_layers(i) - 1);
        bundle.evaluations.reversals += bundle.n_samples * n_layers(i);
        sweep.add_loss(bundle, seed, begin, bundle.states.current, true);
        bundle.states.later = bundle.states.current;
    }

private:
    std::int64_t n_layers(std::int64_t i) const {
        const SegmentMap& segments = sweep.layers_.segments();
        return segments.begin(i + 1) - segments.begin(i);
    }

    T* advance_to(std::int64_t i) {
        const std::int64_t begin = sweep.layers_.segments().begin(i);
        T* next = bundle.states.free_scratch();
        sweep.layers_.advance(bundle, begin, begin + n_layers(i), next, true);
        return next;
    }
};

template <class T, class Layers>
void DepthSweep<T, Layers>::sweep_back(Bundle& bundle, const T* x, const Seed<T>& seed) {
    bundle.states.later = nullptr;
    start(bundle, x);
    const std::int64_t n_segments = layers_.segments().n_segments();
    if (n_segments == 0) {
        layers_.start_cotangent(bundle, seed.y_bar);
        add_loss(bundle, seed, first_, bundle.states.current, true);
        return;
    }
    Schedule schedule(n_segments, plan_.n_snapshots, bundle.schedule);
    Stepper stepper{*this, bundle, x, seed};
    run_schedule(schedule, stepper);
}

template <class T, class Layers>
void DepthSweep<T, Layers>::sweep_back(const Parameters<T>& parameters, const T* x,
                                       const Seed<T>& seed, const Gradients<T>& gradients,
                                       Team& team) {
    const FlushToZero flush;
    layers_.prepare(parameters, team);
    layers_.clear(gradients, team);
    for (Bundle& bundle : layers_.bundles()) bundle.evaluations = Evaluations();
    layers_.for_each_bundle(team, [&](Bundle& bundle) {
        sweep_back(bundle, x, seed);
        const T* x_bar = has_drive_ ? bundle.drive_bar : bundle.lambda[0];
        if (gradients.x) layers_.unload(bundle, x_bar, gradients.x, n_cells());
    });
    layers_.finish(parameters, gradients, team);
}

template <class T, class Layers>
Evaluations DepthSweep<T, Layers>::evaluations() const {
    Evaluations sum;
    for (const Bundle& bundle : layers_.bundles()) {
        sum.advances += bundle.evaluations.advances;
        sum.reversals += bundle.evaluations.reversals;
        sum.outputs += bundle.evaluations.outputs;
    }
    return {sum.advances / request_.batch, sum.reversals / request_.batch,
            sum.outputs / request_.batch};
}

template <class T, class Layers>
void DepthSweep<T, Layers>::jvp(const Parameters<T>& parameters,
                                const Parameters<T>& parameters_dot, const T* x, const T* x_dot,
                                T* y_dot, Team& team) {
    const FlushToZero flush;
    layers_.prepare(parameters, team);
    layers_.prepare_tangent(parameters, parameters_dot, team);
    layers_.for_each_bundle(team, [&](Bundle& bundle) {
        T* z_dot = bundle.tangents[0];
        T* next_dot = bundle.tangents[1];
        start(bundle, x);
        layers_.load_tangent(bundle, x_dot, z_dot);
        for (std::int64_t layer = first_; layer < end_; ++layer) {
            T* next = bundle.states.free_scratch();
            layers_.advance_tangent(bundle, layer, z_dot, next, next_dot);
            bundle.states.current = next;
            std::swap(z_dot, next_dot);
        }
        layers_.unload(bundle, z_dot, y_dot, n_cells());
    });
}

template <class T, class Layers>
Extreme DepthSweep<T, Layers>::find_extreme(const Parameters<T>& parameters, const T* x,
                                            Team& team) {
    const FlushToZero flush;
    layers_.prepare(parameters, team);
    Extreme worst;
    layers_.for_each_lone_bundle(team, [&](Bundle& bundle) {
        std::vector<ExtremeSearch> searches;
        for (std::int64_t i = 0; i < bundle.n_samples; ++i) {
            searches.emplace_back(bundle.first_sample + i);
        }
        const auto goes_on = [](const ExtremeSearch& search) { return search.goes_on(); };
        start(bundle, x);
        for (std::int64_t layer = first_; layer <= end_; ++layer) {
            if (!std::any_of(searches.begin(), searches.end(), goes_on)) break;
            if (layer > first_) step(bundle, layer - 1, layer);
            for (std::int64_t i = 0; i < bundle.n_samples; ++i) {
                ExtremeSearch& search = searches[static_cast<std::size_t>(i)];
                if (!search.goes_on()) continue;
                search.start_layer(layer);
                layers_.visit(bundle, i, bundle.states.current,
                              [&](const T* z, std::int64_t step, std::int64_t cell,
                                  std::int64_t n) { search.look(z, step, cell, n); });
            }
        }
        for (const ExtremeSearch& search : searches) search.add_to(worst);
    });
    return worst;
}

template <class T, class Layers>
void DepthSweep<T, Layers>::apply(const Parameters<T>& parameters, std::int64_t layer, const T* z,
                                  T* out, Team& team) {
    const FlushToZero flush;
    layers_.prepare(parameters, team);
    layers_.for_each_bundle(team, [&](Bundle& bundle) {
        layers_.load(bundle, z);
        T* next = bundle.states.free_scratch();
        layers_.apply(bundle, layer, next);
        layers_.unload(bundle, next, out, n_cells());
    });
}

}  // namespace relaxon
