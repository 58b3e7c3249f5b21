#include "relaxon/sweeps/plain/layers.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/network/extreme_search.hpp"

namespace relaxon {

namespace {

// Depth that the collected outer products reach for.
constexpr std::int64_t kCollectedSamples = 512;

}  // namespace

template <class T>
DenseSweep<T>::DenseSweep(const NetworkConfig& config, const SweepRequest& request,
                          bool takes_memory)
    : config_(config), request_(request), arrays_(parameter_arrays(config)),
      n_(config.grid->n_cells()), n_blocks_((n_ + kProductRows - 1) / kProductRows),
      n_collected_(1), segments_(request.at, 1) {
    if (!config.op->is_layered()) {
        n_collected_ = std::max<std::int64_t>(1, kCollectedSamples / request.batch);
        n_collected_ = std::min(n_collected_, config.depth);
    }
    // Z of every layer and W in packed form are kept if that fits beside all states.
    const PlanInput rich = plan_input(true);
    const std::int64_t all_states = std::max<std::int64_t>(segments_.n_segments() - 1, 0) *
                                    (rich.state_bytes + rich.slot_bytes);
    const bool fits = request.memory_bytes < 0 ||
                      rich.fixed_bytes + rich.block_bytes + all_states <= request.memory_bytes;
    const PlanInput lean = plan_input(false);
    plan_ = make_plan(fits ? rich : lean);
    plan_.minimum_bytes = lean.fixed_bytes + lean.block_bytes;
    is_rich_ = fits;
    if (!takes_memory) return;
    Arena measure;
    carve(measure, plan_.n_snapshots);
    memory_ = Block(measure.used_bytes());
    Arena arena(memory_);
    carve(arena, plan_.n_snapshots);
}

template <class T>
PlanInput DenseSweep<T>::plan_input(bool is_rich) {
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
    input.block_bytes = block.used_bytes() + 2 * kAlignment;
    return input;
}

template <class T>
void DenseSweep<T>::carve(Arena& arena, std::int64_t n_snapshots) {
    const bool is_gradient = request_.kind == SweepKind::gradient;
    const std::int64_t length = state_length();
    panels_.clear();
    for (int worker = 0; worker < request_.n_threads; ++worker) panels_.emplace_back(arena);
    const int n_scratch = is_gradient ? 3 : 2;
    for (int i = 0; i < n_scratch; ++i) states_.scratch[i] = arena.take<T>(length);
    const std::int64_t packed_length =
        request_.batch > 1 ? packed_states_length(n_, request_.batch) : 0;
    packed_states_ = arena.take<T>(packed_length);
    if (is_rich_ && request_.batch > 1 && !config_.op->is_layered()) {
        packed_rows_ = arena.take<T>(packed_matrix_length(n_));
        if (is_gradient) packed_columns_ = arena.take<T>(packed_matrix_length(n_));
    }
    growth_ = arena.take<T>(request_.batch);
    pull_ = arena.take<T>(request_.batch);
    losses_ = arena.take<double>(request_.batch * static_cast<std::int64_t>(request_.at.size()));
    if (config_.grid->has_mask()) clean_weights_ = arena.take<T>(n_ * n_);
    if (request_.kind == SweepKind::tangent) {
        for (T*& field : scratch_dot_) field = arena.take<T>(length);
        pre_ = arena.take<T>(length);
        s_ = arena.take<T>(length);
        packed_states_dot_ = arena.take<T>(packed_length);
    }
    if (!is_gradient) return;
    for (T*& field : lambda_) field = arena.take<T>(length);
    pre_ = arena.take<T>(length * (is_rich_ ? std::max<std::int64_t>(segments_.n_layers(), 1) : 1));
    s_ = arena.take<T>(length);
    const std::int64_t outer_length = packed_outer_length(n_, n_collected_ * request_.batch);
    outer_sources_ = arena.take<T>(outer_length);
    outer_states_ = arena.take<T>(outer_length);
    bias_sums_ = arena.take<OrderedSum>(config_.n_sets() * n_blocks_);
    omega_sums_ =
        arena.take<OrderedSum>((config_.omega == OmegaKind::layer ? config_.depth : 1) * n_blocks_);
    schedule_ = arena.take<std::int64_t>(n_snapshots);
    states_.slots = arena.take<T*>(n_snapshots);
    for (std::int64_t slot = 0; slot < n_snapshots; ++slot) {
        T* field = arena.take<T>(length);
        if (!arena.is_measuring()) states_.slots[slot] = field;
    }
}

template <class T>
const T* DenseSweep<T>::bias_of(const Parameters<T>& parameters) const {
    return config_.bias == BiasKind::none ? nullptr : parameters[1];
}

template <class T>
typename DenseSweep<T>::Layer DenseSweep<T>::layer_of(const Parameters<T>& parameters,
                                                      std::int64_t layer) const {
    Layer view{nullptr, 0, parameters.back(), 0};
    if (const T* bias = bias_of(parameters)) {
        view.bias_step = config_.bias == BiasKind::local ? 1 : 0;
        view.bias = bias + (config_.op->is_layered() ? layer * (view.bias_step ? n_ : 1) : 0);
    }
    view.omega_step = config_.omega == OmegaKind::cell ? 1 : 0;
    if (config_.omega == OmegaKind::layer) view.omega += layer;
    return view;
}

template <class T>
const T* DenseSweep<T>::weights(const Parameters<T>& parameters, std::int64_t layer) {
    const std::int64_t set = config_.set_of(layer);
    const T* w = parameters[0] + set * n_ * n_;
    if (!config_.grid->has_mask()) return w;
    if (clean_set_ == set) return clean_weights_;
    for (std::int64_t i = 0; i < n_; ++i) {
        for (std::int64_t j = 0; j < n_; ++j) {
            const bool exists = config_.grid->exists(i) && config_.grid->exists(j);
            clean_weights_[i * n_ + j] = exists ? w[i * n_ + j] : T(0);
        }
    }
    clean_set_ = set;
    return clean_weights_;
}

// Once per sweep, before any layer.
template <class T>
void DenseSweep<T>::prepare(const Parameters<T>& parameters, Team& team) {
    clean_set_ = -1;
    if (!packed_rows_) return;
    const T* w = weights(parameters, 0);
    for_each_block(team, [&](std::int64_t begin, std::int64_t end, int) {
        pack_rows(w, n_, begin, end, packed_rows_);
        if (packed_columns_) pack_columns(w, n_, begin, end, packed_columns_);
    });
}

template <class T>
Matrix<T> DenseSweep<T>::matrix_of(const Parameters<T>& parameters, std::int64_t layer) {
    return {weights(parameters, layer), n_, packed_rows_, packed_columns_};
}

// States as an operand of products.
template <class T>
States<T> DenseSweep<T>::pack(const T* z, T* packed, Team& team) const {
    team.parallel_for(n_state_slices(n_, request_.batch), [&](std::int64_t slice, int) {
        pack_states(z, n_, request_.batch, slice, packed);
    });
    return {z, packed, request_.batch};
}

template <class T>
bool DenseSweep<T>::recovers(const Parameters<T>& parameters, std::int64_t layer) const {
    const Layer view = layer_of(parameters, layer);
    return recovers_activation<T>(config_.activation, {view.omega, view.omega_step != 0},
                                  config_.beta);
}

// The caller's states where every cell exists, else a copy with zeros in the mask.
template <class T>
const T* DenseSweep<T>::load_input(const T* x, T* field) {
    if (!config_.grid->has_mask()) return x;
    std::copy(x, x + state_length(), field);
    zero_masked(field, 0, n_);
    return field;
}

// Cells [begin, end) of every sample.
template <class T>
void DenseSweep<T>::zero_masked(T* field, std::int64_t begin, std::int64_t end) const {
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
void DenseSweep<T>::find_growth(const T* z, const T* lambda, Team& team) {
    std::fill(growth_, growth_ + request_.batch, T(0));
    std::fill(pull_, pull_ + request_.batch, T(0));
    if (config_.beta == 0.0) return;
    const double volume = config_.grid->cell_volume();
    team.parallel_for(request_.batch, [&](std::int64_t sample, int) {
        OrderedSum squares, overlap;
        for (std::int64_t i = sample * n_; i < (sample + 1) * n_; ++i) {
            squares.add(static_cast<double>(z[i]) * z[i]);
            if (lambda) overlap.add(static_cast<double>(z[i]) * lambda[i]);
        }
        const double length = std::sqrt(squares.value() * volume);
        growth_[sample] = static_cast<T>(config_.beta * (length - 1.0));
        if (length > 0.0) {
            pull_[sample] = static_cast<T>(config_.beta * overlap.value() * volume / length);
        }
    });
}

// Z of the rows [begin, end) in `pre`.
template <class T>
void DenseSweep<T>::evaluate_rows(const Matrix<T>& matrix, const Layer& layer,
                                  const States<T>& states, std::int64_t begin, std::int64_t end,
                                  int worker, T* pre) const {
    multiply(matrix, begin, end, states, pre, panels_[static_cast<std::size_t>(worker)]);
    for (std::int64_t sample = 0; layer.bias && sample < request_.batch; ++sample) {
        for (std::int64_t i = begin; i < end; ++i) {
            pre[sample * n_ + i] -= layer.bias[i * layer.bias_step];
        }
    }
}

template <class T>
void DenseSweep<T>::evaluate(const Matrix<T>& matrix, const Layer& layer, const T* z, T* pre,
                             Team& team) {
    const States<T> states = pack(z, packed_states_, team);
    for_each_block(team, [&](std::int64_t begin, std::int64_t end, int worker) {
        evaluate_rows(matrix, layer, states, begin, end, worker, pre);
    });
}

// Z in `pre` and z' in `out`, which may be the same array.
template <class T>
void DenseSweep<T>::relax(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* pre,
                          T* out, Team& team) {
    const Matrix<T> matrix = matrix_of(parameters, layer);
    const Layer view = layer_of(parameters, layer);
    const States<T> states = pack(z, packed_states_, team);
    find_growth(z, nullptr, team);
    for_each_block(team, [&](std::int64_t begin, std::int64_t end, int worker) {
        evaluate_rows(matrix, view, states, begin, end, worker, pre);
        alignas(64) T f[kProductRows];
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            const std::int64_t start = sample * n_ + begin;
            activate(config_.activation, pre + start, f, static_cast<std::size_t>(end - begin));
            for (std::int64_t i = 0; i < end - begin; ++i) {
                const T omega = view.omega[(begin + i) * view.omega_step];
                out[start + i] = (T(1) - omega - growth_[sample]) * z[start + i] + omega * f[i];
            }
        }
        zero_masked(out, begin, end);
    });
}

template <class T>
void DenseSweep<T>::add_loss(const Target<T>& target, std::int64_t layer, const T* z,
                             bool wants_cotangent, Team& team) {
    const auto found = std::find(request_.at.begin(), request_.at.end(), layer);
    if (found == request_.at.end()) return;
    const auto n_at = static_cast<std::int64_t>(request_.at.size());
    const std::int64_t place = found - request_.at.begin();
    team.parallel_for(request_.batch, [&](std::int64_t sample, int) {
        const std::int64_t index = sample * n_at + place;
        if (StateLoss<T>* whole = target.state_loss) {
            std::copy(z + sample * n_, z + (sample + 1) * n_, whole->states() + index * n_);
            whole->evaluate(place, sample, 1, wants_cotangent, losses_ + index);
            if (!wants_cotangent) return;
            const T* bar = whole->cotangents() + index * n_;
            for (std::int64_t i = 0; i < n_; ++i) {
                if (config_.grid->exists(i)) lambda_[0][sample * n_ + i] += bar[i];
            }
            return;
        }
        StateTarget<T> state{target.y + index * n_, target.weights, config_.grid->mask(),
                             target.loss};
        if (target.weights && !target.weights_are_shared) state.weights += index * n_;
        losses_[index] = distance(state, z + sample * n_, 1.0 / static_cast<double>(request_.batch),
                                  wants_cotangent ? lambda_[0] + sample * n_ : nullptr, n_)
                             .value();
    });
}

template <class T>
double DenseSweep<T>::total_loss() const {
    OrderedSum total;
    const auto n_at = static_cast<std::int64_t>(request_.at.size());
    for (std::int64_t i = 0; i < request_.batch * n_at; ++i) total.add(losses_[i]);
    return total.value() / static_cast<double>(request_.batch);
}

template <class T>
void DenseSweep<T>::forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                            Team& team) {
    const FlushToZero flush;
    prepare(parameters, team);
    const auto write = [&](const T* z, std::int64_t layer) {
        const std::int64_t n_states = all_layers ? config_.depth + 1 : 1;
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            std::copy(z + sample * n_, z + (sample + 1) * n_, y + (sample * n_states + layer) * n_);
        }
    };
    states_.current = load_input(x, states_.scratch[0]);
    if (all_layers) write(states_.current, 0);
    for (std::int64_t layer = 0; layer < config_.depth; ++layer) {
        T* next = states_.free_scratch();
        relax(parameters, layer, states_.current, next, next, team);
        states_.current = next;
        if (all_layers) write(next, layer + 1);
    }
    if (!all_layers) write(states_.current, 0);
}

template <class T>
double DenseSweep<T>::loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                           Team& team) {
    const FlushToZero flush;
    prepare(parameters, team);
    states_.current = load_input(x, states_.scratch[0]);
    add_loss(target, 0, states_.current, false, team);
    for (std::int64_t layer = 0; layer < segments_.n_layers(); ++layer) {
        T* next = states_.free_scratch();
        relax(parameters, layer, states_.current, next, next, team);
        states_.current = next;
        add_loss(target, layer + 1, next, false, team);
    }
    return total_loss();
}

template <class T>
void DenseSweep<T>::apply(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* out,
                          Team& team) {
    const FlushToZero flush;
    prepare(parameters, team);
    const T* state = load_input(z, states_.scratch[0]);
    const Matrix<T> matrix = matrix_of(parameters, layer);
    const States<T> states = pack(state, packed_states_, team);
    for_each_block(team, [&](std::int64_t begin, std::int64_t end, int worker) {
        multiply(matrix, begin, end, states, out, panels_[static_cast<std::size_t>(worker)]);
    });
    zero_masked(out, 0, n_);
}

template <class T>
Extreme DenseSweep<T>::find_extreme(const Parameters<T>& parameters, const T* x, Team& team) {
    const FlushToZero flush;
    prepare(parameters, team);
    states_.current = load_input(x, states_.scratch[0]);
    std::vector<ExtremeSearch> searches;
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) searches.emplace_back(sample);
    for (std::int64_t layer = 0; layer <= config_.depth; ++layer) {
        if (layer > 0) {
            T* next = states_.free_scratch();
            relax(parameters, layer - 1, states_.current, next, next, team);
            states_.current = next;
        }
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            ExtremeSearch& search = searches[static_cast<std::size_t>(sample)];
            if (!search.goes_on()) continue;
            search.start_layer(layer);
            search.look(states_.current + sample * n_, 1, 0, n_);
        }
    }
    Extreme worst;
    for (const ExtremeSearch& search : searches) search.add_to(worst);
    return worst;
}

template class DenseSweep<float>;
template class DenseSweep<double>;

}  // namespace relaxon
