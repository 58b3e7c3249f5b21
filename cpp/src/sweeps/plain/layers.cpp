#include "relaxon/sweeps/plain/layers.hpp"

#include <cmath>

#include "relaxon/sweeps/stencil/layer.hpp"

namespace relaxon {

template <class T>
PlainLayers<T>::PlainLayers(const NetworkConfig& config, const SweepRequest& request)
    : config_(config), request_(request), arrays_(parameter_arrays(config)),
      op_(config.op->template field<T>(*config.grid, config.depth())),
      n_own_arrays_(config.op->arrays(*config.grid, config.depth()).size()),
      n_(config.grid->n_cells()), n_blocks_((n_ + kFieldRows - 1) / kFieldRows),
      segments_(request.at, 1, request.first) {}

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
    PlanInput input;
    input.segments = segments_;
    input.memory_bytes = request_.memory_bytes;
    input.has_gradient = request_.kind == SweepKind::gradient;
    input.has_output = input.has_gradient;
    Arena field, block;
    field.take<T>(state_length());
    input.state_bytes = field.used_bytes();
    input.slot_bytes = static_cast<std::int64_t>(sizeof(T*) + sizeof(std::int64_t));
    is_rich_ = is_rich;
    carve(block, 0);
    input.fixed_bytes = returned_bytes<T>(config_, request_);
    input.block_bytes = block.used_bytes() + own_bytes + 2 * kAlignment;
    return input;
}

template <class T>
void PlainLayers<T>::carve(Arena& arena, const Plan& plan) {
    carve(arena, plan.n_snapshots);
}

template <class T>
void PlainLayers<T>::carve(Arena& arena, std::int64_t n_snapshots) {
    const bool is_gradient = request_.kind == SweepKind::gradient;
    const bool is_tangent = request_.kind == SweepKind::tangent;
    const std::int64_t length = state_length();
    FieldRequest asked;
    asked.batch = request_.batch;
    asked.n_workers = request_.n_threads;
    asked.first = segments_.first();
    asked.n_layers = segments_.n_layers();
    asked.has_gradient = is_gradient;
    asked.has_tangent = is_tangent;
    asked.is_rich = is_rich_;
    op_->carve(arena, asked);
    bundles_.assign(1, Bundle());
    Bundle& bundle = bundles_[0];
    const int n_scratch = is_gradient ? 3 : 2;
    for (int i = 0; i < n_scratch; ++i) bundle.states.scratch[i] = arena.take<T>(length);
    growth_ = arena.take<T>(request_.batch);
    pull_ = arena.take<T>(request_.batch);
    if (is_tangent) {
        for (T*& field : bundle.tangents) field = arena.take<T>(length);
        pre_ = arena.take<T>(length);
        s_ = arena.take<T>(length);
    }
    if (!is_gradient) return;
    for (T*& field : bundle.lambda) field = arena.take<T>(length);
    pre_ = arena.take<T>(length * (is_rich_ ? std::max<std::int64_t>(segments_.n_layers(), 1) : 1));
    s_ = arena.take<T>(length);
    bias_sums_ = arena.take<OrderedSum>(config_.n_sets() * n_blocks_);
    omega_sums_ = arena.take<OrderedSum>(n_omega_sets() * n_blocks_);
    bundle.schedule = arena.take<std::int64_t>(n_snapshots);
    bundle.states.slots = arena.take<T*>(n_snapshots);
    for (std::int64_t slot = 0; slot < n_snapshots; ++slot) {
        T* field = arena.take<T>(length);
        if (!arena.is_measuring()) bundle.states.slots[slot] = field;
    }
}

template <class T>
void PlainLayers<T>::prepare(const Parameters<T>& parameters, Team& team) {
    parameters_ = &parameters;
    op_->prepare(parameters, team);
}

template <class T>
typename PlainLayers<T>::Layer PlainLayers<T>::layer_of(const Parameters<T>& parameters,
                                                        std::int64_t layer) const {
    Layer view;
    if (config_.bias != BiasKind::none) {
        view.bias_step = config_.bias == BiasKind::local ? 1 : 0;
        view.bias = parameters[n_own_arrays_] + config_.set_of(layer) * (view.bias_step ? n_ : 1);
    }
    view.omega_step = config_.omega() == OmegaKind::cell ? 1 : 0;
    view.omega = parameters.back() + (config_.omega() == OmegaKind::layer ? layer : 0);
    return view;
}

template <class T>
bool PlainLayers<T>::recovers(std::int64_t layer) const {
    const Layer view = layer_of(*parameters_, layer);
    return recovers_activation<T>(config_.activation, {view.omega, view.omega_step != 0},
                                  config_.beta());
}

// The caller's states where every cell exists, else a copy with zeros in the mask.
template <class T>
void PlainLayers<T>::load(Bundle& bundle, const T* x) {
    bundle.states.current = x;
    if (!config_.grid->has_mask()) return;
    T* field = bundle.states.free_scratch();
    std::copy(x, x + state_length(), field);
    zero_masked(field, 0, n_);
    bundle.states.current = field;
}

template <class T>
void PlainLayers<T>::unload(const Bundle&, const T* z, T* cells, std::int64_t stride) const {
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        std::copy(z + sample * n_, z + (sample + 1) * n_, cells + sample * stride);
    }
}

// Cells [begin, end) of every sample.
template <class T>
void PlainLayers<T>::zero_masked(T* field, std::int64_t begin, std::int64_t end) const {
    if (!config_.grid->has_mask()) return;
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        for (std::int64_t i = begin; i < end; ++i) {
            if (!config_.grid->exists(i)) field[sample * n_ + i] = T(0);
        }
    }
}

// The normalisation of section 2 of the numerics, per sample; with lambda also its transpose, or
// with a tangent in its place the tangent of |z|.
template <class T>
void PlainLayers<T>::find_growth(const T* z, const T* lambda, Team& team) {
    std::fill(growth_, growth_ + request_.batch, T(0));
    std::fill(pull_, pull_ + request_.batch, T(0));
    if (config_.beta() == 0.0) return;
    const double volume = config_.grid->cell_volume();
    team.parallel_for(request_.batch, [&](std::int64_t sample, int) {
        OrderedSum squares, overlap;
        for (std::int64_t i = sample * n_; i < (sample + 1) * n_; ++i) {
            squares.add(static_cast<double>(z[i]) * z[i]);
            if (lambda) overlap.add(static_cast<double>(z[i]) * lambda[i]);
        }
        const double length = std::sqrt(squares.value() * volume);
        growth_[sample] = static_cast<T>(config_.beta() * (length - 1.0));
        if (length > 0.0) {
            pull_[sample] = static_cast<T>(config_.beta() * overlap.value() * volume / length);
        }
    });
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

template <class T>
double PlainLayers<T>::distance(const Bundle& bundle, std::int64_t i, const StateTarget<T>& target,
                                const T* z, double scale, bool wants_cotangent) const {
    T* lambda = wants_cotangent ? bundle.lambda[0] + i * n_ : nullptr;
    return relaxon::distance(target, z + i * n_, scale, lambda, n_).value();
}

template class PlainLayers<float>;
template class PlainLayers<double>;

}  // namespace relaxon
