#include "relaxon/sweeps/plain/layers.hpp"

#include <cmath>

#include "relaxon/sweeps/stencil/layer.hpp"

namespace relaxon {

template <class T>
PlainLayers<T>::PlainLayers(const NetworkConfig& config, const SweepRequest& request)
    : FieldLayers<T>(config, request),
      op_(config.op->template field<T>(*config.grid, config.depth())) {}

// What makes a sweep faster is kept if it fits beside all states.
template <class T>
Plan PlainLayers<T>::plan(std::int64_t own_bytes) {
    const PlanInput rich = plan_input(own_bytes, true);
    const std::int64_t all_states = std::max<std::int64_t>(segments_.n_segments() - 1, 0) *
                                    (rich.state_bytes + rich.slot_bytes);
    const bool fits = request_.memory_bytes < 0 ||
                      rich.fixed_bytes + rich.block_bytes + all_states <= request_.memory_bytes;
    const PlanInput lean = plan_input(own_bytes, false);
    Plan plan = make_plan(fits ? rich : lean);
    plan.minimum_bytes = lean.fixed_bytes + lean.block_bytes;
    is_rich_ = fits;
    return plan;
}

template <class T>
PlanInput PlainLayers<T>::plan_input(std::int64_t own_bytes, bool is_rich) {
    PlanInput input = FieldLayers<T>::plan_input();
    Arena block;
    is_rich_ = is_rich;
    carve(block, 0);
    input.block_bytes = block.used_bytes() + own_bytes + 2 * kAlignment;
    return input;
}

template <class T>
void PlainLayers<T>::carve(Arena& arena, const Plan& plan) {
    carve(arena, plan.n_snapshots);
}

template <class T>
void PlainLayers<T>::carve(Arena& arena, std::int64_t n_snapshots) {
    FieldRequest asked;
    asked.batch = request_.batch;
    asked.n_workers = request_.n_threads;
    asked.first = segments_.first();
    asked.n_layers = segments_.n_layers();
    asked.has_gradient = request_.kind == SweepKind::gradient;
    asked.has_tangent = request_.kind == SweepKind::tangent;
    asked.is_rich = is_rich_;
    op_->carve(arena, asked);
    this->carve_shared(arena, n_snapshots);
    const std::int64_t n_kept = is_rich_ ? std::max<std::int64_t>(segments_.n_layers(), 1) : 1;
    if (asked.has_gradient) pre_ = arena.take<T>(state_length() * n_kept);
    if (!asked.has_tangent) return;
    pre_ = arena.take<T>(state_length());
    s_ = arena.take<T>(state_length());
}

template <class T>
void PlainLayers<T>::prepare(const Parameters<T>& parameters, Team& team) {
    parameters_ = &parameters;
    op_->prepare(parameters, team);
}

template <class T>
bool PlainLayers<T>::recovers(std::int64_t layer) const {
    const Layer view = layer_of(*parameters_, layer);
    return recovers_activation<T>(config_.activation, {view.omega, view.omega_step != 0},
                                  config_.measures_states());
}

// Z of the rows of a block; the operand is loaded.
template <class T>
void PlainLayers<T>::evaluate(std::int64_t layer, const Layer& view, const FieldBlock& block,
                              T* pre) const {
    op_->apply(layer, block, pre);
    for (std::int64_t sample = 0; view.bias && sample < request_.batch; ++sample) {
        for (std::int64_t i = block.begin; i < block.end; ++i) {
            pre[sample * n_ + i] -= view.bias[i * view.bias_step];
        }
    }
    const T* drive = this->bundles_[0].drive;
    for (std::int64_t sample = 0; drive && sample < request_.batch; ++sample) {
        for (std::int64_t i = sample * n_ + block.begin; i < sample * n_ + block.end; ++i) {
            pre[i] += drive[i];
        }
    }
}

// Z in `pre` and z' in `out`, which may be the same array; the operand is loaded.
template <class T>
void PlainLayers<T>::relax(std::int64_t layer, const T* z, T* pre, T* out, Team& team) {
    const Layer view = layer_of(*parameters_, layer);
    find_growth(z, nullptr, team);
    for_each_block(team, [&](const FieldBlock& block) {
        evaluate(layer, view, block, pre);
        alignas(64) T f[kFieldRows];
        const std::int64_t length = block.end - block.begin;
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            const std::int64_t start = sample * n_ + block.begin;
            activate(config_.activation, pre + start, f, static_cast<std::size_t>(length));
            for (std::int64_t i = 0; i < length; ++i) {
                const T omega = view.omega[(block.begin + i) * view.omega_step];
                out[start + i] = (T(1) - omega - growth_[sample]) * z[start + i] + omega * f[i];
            }
        }
        zero_masked(out, block.begin, block.end);
    });
    if (config_.is_normalised()) normalise(layer, out, team);
}

// Z is kept where the reverse sweep will ask for it.
template <class T>
void PlainLayers<T>::advance(Bundle& bundle, std::int64_t layer, std::int64_t, T* out,
                             bool is_reversed) {
    const bool keeps = is_reversed && is_rich_ && !recovers(layer);
    op_->load(layer, bundle.states.current, *bundle.team);
    relax(layer, bundle.states.current, keeps ? kept_pre(layer) : out, out, *bundle.team);
}

template <class T>
void PlainLayers<T>::apply(Bundle& bundle, std::int64_t layer, T* out) {
    op_->load(layer, bundle.states.current, *bundle.team);
    for_each_block(*bundle.team, [&](const FieldBlock& block) { op_->apply(layer, block, out); });
    zero_masked(out, 0, n_);
}

template class PlainLayers<float>;
template class PlainLayers<double>;

}  // namespace relaxon
