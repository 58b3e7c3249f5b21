#include "relaxon/dense_sweep.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/extreme_search.hpp"

namespace relaxon {

namespace {

// Rows of W per task, and cells per elementwise run.
constexpr std::int64_t kBlockRows = 256;
// Depth that the collected outer products reach for.
constexpr std::int64_t kCollectedSamples = 512;

}  // namespace

template <class T>
DenseSweep<T>::DenseSweep(const NetworkConfig& config, const SweepRequest& request,
                          bool takes_memory)
    : config_(config), request_(request), arrays_(parameter_arrays(config)),
      n_(config.grid->n_cells()), n_blocks_((n_ + kBlockRows - 1) / kBlockRows), n_collected_(1),
      segments_(request.at, 1) {
    if (!config.is_layered) {
        n_collected_ = std::max<std::int64_t>(1, kCollectedSamples / request.batch);
        n_collected_ = std::min(n_collected_, config.depth);
    }
    // Z of every layer is kept if that fits beside all states.
    const bool is_gradient = request.kind == SweepKind::gradient;
    keeps_pre_ = is_gradient;
    const PlanInput rich = plan_input(keeps_pre_);
    const std::int64_t all_states = std::max<std::int64_t>(segments_.n_segments() - 1, 0) *
                                    (rich.state_bytes + rich.slot_bytes);
    const bool fits = request.memory_bytes < 0 ||
                      rich.fixed_bytes + rich.block_bytes + all_states <= request.memory_bytes;
    keeps_pre_ = is_gradient && fits;
    const bool keeps_pre = keeps_pre_;
    const PlanInput lean = plan_input(false);
    plan_ = make_plan(keeps_pre ? rich : lean);
    plan_.minimum_bytes = lean.fixed_bytes + lean.block_bytes;
    keeps_pre_ = keeps_pre;
    if (!takes_memory) return;
    Arena measure;
    carve(measure, plan_.n_snapshots);
    memory_ = Block(measure.used_bytes());
    Arena arena(memory_);
    carve(arena, plan_.n_snapshots);
}

template <class T>
PlanInput DenseSweep<T>::plan_input(bool keeps_pre) {
    PlanInput input;
    input.segments = segments_;
    input.memory_bytes = request_.memory_bytes;
    input.has_gradient = request_.kind == SweepKind::gradient;
    input.has_output = input.has_gradient;
    Arena field, block;
    field.take<T>(state_length());
    input.state_bytes = field.used_bytes();
    input.slot_bytes = static_cast<std::int64_t>(sizeof(T*) + sizeof(std::int64_t));
    keeps_pre_ = keeps_pre;
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
    for (int i = 0; i < 2; ++i) states_.scratch[i] = arena.take<T>(length);
    growth_ = arena.take<T>(request_.batch);
    pull_ = arena.take<T>(request_.batch);
    losses_ = arena.take<double>(request_.batch * static_cast<std::int64_t>(request_.at.size()));
    if (config_.grid->has_mask()) clean_weights_ = arena.take<T>(n_ * n_);
    if (request_.kind == SweepKind::tangent) {
        for (T*& field : scratch_dot_) field = arena.take<T>(length);
        pre_ = arena.take<T>(length);
        s_panel_ = arena.take<T>(length);
    }
    if (!is_gradient) return;
    for (T*& field : lambda_) field = arena.take<T>(length);
    pre_ =
        arena.take<T>(length * (keeps_pre_ ? std::max<std::int64_t>(segments_.n_layers(), 1) : 1));
    s_panel_ = arena.take<T>(length * n_collected_);
    z_panel_ = arena.take<T>(length * n_collected_);
    bias_sums_ = arena.take<OrderedSum>((config_.is_layered ? config_.depth : 1) * n_blocks_);
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
        view.bias = bias + (config_.is_layered ? layer * (view.bias_step ? n_ : 1) : 0);
    }
    view.omega_step = config_.omega == OmegaKind::cell ? 1 : 0;
    if (config_.omega == OmegaKind::layer) view.omega += layer;
    return view;
}

template <class T>
const T* DenseSweep<T>::weights(const Parameters<T>& parameters, std::int64_t layer) {
    const std::int64_t set = config_.is_layered ? layer : 0;
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

// Z in `pre` and z' in `out`, which may be the same array.
template <class T>
void DenseSweep<T>::relax(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* pre,
                          T* out, Team& team) {
    const T* w = weights(parameters, layer);
    const Layer view = layer_of(parameters, layer);
    find_growth(z, nullptr, team);
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kBlockRows;
        const std::int64_t end = std::min(begin + kBlockRows, n_);
        multiply(w, n_, begin, end, z, pre, request_.batch,
                 panels_[static_cast<std::size_t>(worker)]);
        alignas(64) T f[kBlockRows];
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            const std::int64_t start = sample * n_ + begin;
            const std::int64_t length = end - begin;
            if (view.bias) {
                for (std::int64_t i = 0; i < length; ++i) {
                    pre[start + i] -= view.bias[(begin + i) * view.bias_step];
                }
            }
            activate(config_.activation, pre + start, f, static_cast<std::size_t>(length));
            for (std::int64_t i = 0; i < length; ++i) {
                const T omega = view.omega[(begin + i) * view.omega_step];
                out[start + i] = (T(1) - omega - growth_[sample]) * z[start + i] + omega * f[i];
            }
        }
        zero_masked(out, begin, end);
    });
}

// s of one block of rows and the sums of bias and omega.
template <class T>
void DenseSweep<T>::pull_elements(const Layer& layer, const T* pre, const T* z, T* s,
                                  std::int64_t block, std::int64_t number,
                                  const Gradients<T>& gradients) {
    const std::int64_t begin = block * kBlockRows;
    const std::int64_t end = std::min(begin + kBlockRows, n_);
    const std::int64_t length = end - begin;
    const std::int64_t bias_set = config_.is_layered ? number : 0;
    const std::int64_t omega_set = config_.omega == OmegaKind::layer ? number : 0;
    T* bias_bar = config_.bias == BiasKind::none ? nullptr : gradients.arrays[1];
    T* omega_bar = gradients.arrays.back();
    alignas(64) T f[kBlockRows], slope[kBlockRows];
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        const std::int64_t start = sample * n_ + begin;
        const T* lambda = lambda_[0] + start;
        activate_with_derivative(config_.activation, pre + start, f, slope,
                                 static_cast<std::size_t>(length));
        double bias_sum = 0.0, omega_sum = 0.0;
        for (std::int64_t i = 0; i < length; ++i) {
            const T omega = layer.omega[(begin + i) * layer.omega_step];
            const T pulled = lambda[i] == T(0) ? T(0) : omega * slope[i] * lambda[i];
            s[start + i] = pulled;
            bias_sum -= static_cast<double>(pulled);
        }
        if (bias_bar && config_.bias == BiasKind::local) {
            T* bar = bias_bar + bias_set * n_ + begin;
            for (std::int64_t i = 0; i < length; ++i) bar[i] -= s[start + i];
        } else if (bias_bar) {
            bias_sums_[bias_set * n_blocks_ + block].add(bias_sum);
        }
        if (!omega_bar) continue;
        for (std::int64_t i = 0; i < length; ++i) {
            const T change = lambda[i] == T(0) ? T(0) : (f[i] - z[start + i]) * lambda[i];
            omega_sum += static_cast<double>(change);
            if (layer.omega_step) omega_bar[begin + i] += change;
        }
        if (!layer.omega_step) omega_sums_[omega_set * n_blocks_ + block].add(omega_sum);
    }
}

// lambda_{l+1} to lambda_l, both in lambda_[0]. Z of the layer is in pre_ already where it is kept.
template <class T>
void DenseSweep<T>::reverse(const Parameters<T>& parameters, std::int64_t layer, const T* z,
                            const Gradients<T>& gradients, Team& team) {
    const T* w = weights(parameters, layer);
    const Layer view = layer_of(parameters, layer);
    const std::int64_t panel_start = n_in_panel_ * state_length();
    T* s = s_panel_ + panel_start;
    T* z_copy = z_panel_ + panel_start;
    T* pre = pre_ + (keeps_pre_ ? layer * state_length() : 0);
    find_growth(z, lambda_[0], team);
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kBlockRows;
        const std::int64_t end = std::min(begin + kBlockRows, n_);
        if (!keeps_pre_) {
            multiply(w, n_, begin, end, z, pre, request_.batch,
                     panels_[static_cast<std::size_t>(worker)]);
            for (std::int64_t i = 0; view.bias && i < request_.batch * (end - begin); ++i) {
                const std::int64_t cell = begin + i % (end - begin);
                pre[i / (end - begin) * n_ + cell] -= view.bias[cell * view.bias_step];
            }
        }
        pull_elements(view, pre, z, s, block, layer, gradients);
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            std::copy(z + sample * n_ + begin, z + sample * n_ + end, z_copy + sample * n_ + begin);
        }
    });
    T* next = lambda_[1];
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kBlockRows;
        const std::int64_t end = std::min(begin + kBlockRows, n_);
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            for (std::int64_t i = begin; i < end; ++i) {
                const std::int64_t at = sample * n_ + i;
                const T omega = view.omega[i * view.omega_step];
                next[at] =
                    (T(1) - omega - growth_[sample]) * lambda_[0][at] - pull_[sample] * z[at];
            }
        }
        add_transposed_product(w, n_, begin, end, s, next, request_.batch,
                               panels_[static_cast<std::size_t>(worker)]);
        zero_masked(next, begin, end);
    });
    std::swap(lambda_[0], lambda_[1]);
    ++n_in_panel_;
    // Groups of layers are counted from layer 0, so a group ends at its lowest layer.
    if (layer % n_collected_ == 0) {
        flush_outer_products(config_.is_layered ? layer : 0, gradients, team);
    }
}

template <class T>
void DenseSweep<T>::flush_outer_products(std::int64_t set, const Gradients<T>& gradients,
                                         Team& team) {
    T* bar = gradients.arrays[0] + set * n_ * n_;
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kBlockRows;
        add_outer_product(bar, n_, begin, std::min(begin + kBlockRows, n_), s_panel_, z_panel_,
                          n_in_panel_ * request_.batch, panels_[static_cast<std::size_t>(worker)]);
    });
    n_in_panel_ = 0;
}

template <class T>
void DenseSweep<T>::add_loss(const Target<T>& target, std::int64_t layer, const T* z,
                             bool wants_cotangent, Team& team) {
    const auto found = std::find(request_.at.begin(), request_.at.end(), layer);
    if (found == request_.at.end()) return;
    const auto n_at = static_cast<std::int64_t>(request_.at.size());
    team.parallel_for(request_.batch, [&](std::int64_t sample, int) {
        const std::int64_t index = sample * n_at + (found - request_.at.begin());
        StateTarget<T> state{target.y + index * n_, target.weights, config_.grid->mask()};
        if (target.weights && !target.weights_are_shared) state.weights += index * n_;
        losses_[index] =
            squared_distance(state, z + sample * n_, 1.0 / static_cast<double>(request_.batch),
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
void DenseSweep<T>::clear(const Gradients<T>& gradients) {
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
        if (!gradients.arrays[i]) continue;
        std::fill(gradients.arrays[i], gradients.arrays[i] + arrays_[i].size(), T(0));
    }
    const std::int64_t n_bias_sets = config_.is_layered ? config_.depth : 1;
    const std::int64_t n_omega_sets = config_.omega == OmegaKind::layer ? config_.depth : 1;
    std::fill(bias_sums_, bias_sums_ + n_bias_sets * n_blocks_, OrderedSum());
    std::fill(omega_sums_, omega_sums_ + n_omega_sets * n_blocks_, OrderedSum());
    std::fill(lambda_[0], lambda_[0] + state_length(), T(0));
    n_in_panel_ = 0;
    evaluations_ = Evaluations();
}

// Sums of homogeneous coefficients to the caller's arrays; fields are there already.
template <class T>
void DenseSweep<T>::finish(const Gradients<T>& gradients) const {
    const auto write = [&](const OrderedSum* sums, std::int64_t n_sets, T* out) {
        for (std::int64_t set = 0; set < n_sets; ++set) {
            OrderedSum total;
            for (std::int64_t block = 0; block < n_blocks_; ++block) {
                total.add(sums[set * n_blocks_ + block]);
            }
            out[set] = static_cast<T>(total.value());
        }
    };
    if (config_.bias == BiasKind::homogeneous) {
        write(bias_sums_, config_.is_layered ? config_.depth : 1, gradients.arrays[1]);
    }
    if (gradients.arrays.back() && config_.omega != OmegaKind::cell) {
        write(omega_sums_, config_.omega == OmegaKind::layer ? config_.depth : 1,
              gradients.arrays.back());
    }
}

// The steps of a schedule, a layer each.
template <class T>
struct DenseSweep<T>::Stepper {
    DenseSweep& sweep;
    const Parameters<T>& parameters;
    const T* x;
    const Target<T>* target;
    const Gradients<T>& gradients;
    Team& team;

    T* pre_of(std::int64_t layer, T* otherwise) const {
        return sweep.keeps_pre_ ? sweep.pre_ + layer * sweep.state_length() : otherwise;
    }
    void advance(std::int64_t layer) {
        T* next = sweep.states_.free_scratch();
        sweep.relax(parameters, layer, sweep.states_.current, pre_of(layer, next), next, team);
        sweep.states_.current = next;
        ++sweep.evaluations_.advances;
    }
    void keep(std::int64_t slot) { sweep.states_.keep(slot); }
    void restore(std::int64_t slot) { sweep.states_.restore(slot); }
    void restore_input() { sweep.states_.current = sweep.load_input(x, sweep.states_.scratch[0]); }
    // Runs the last layer where its state, or its Z, is still missing.
    void reverse(std::int64_t layer) {
        const T* z = sweep.states_.current;
        if (layer + 1 == sweep.segments_.n_layers() && (target || sweep.keeps_pre_)) {
            T* last = sweep.states_.free_scratch();
            sweep.relax(parameters, layer, z, pre_of(layer, last), last, team);
            ++sweep.evaluations_.outputs;
            if (target) sweep.add_loss(*target, layer + 1, last, true, team);
        }
        sweep.reverse(parameters, layer, z, gradients, team);
        ++sweep.evaluations_.reversals;
        if (target) sweep.add_loss(*target, layer, z, true, team);
    }
};

template <class T>
void DenseSweep<T>::gradient_sweep(const Parameters<T>& parameters, const T* x,
                                   const Target<T>* target, const T* y_bar,
                                   const Gradients<T>& gradients, Team& team) {
    const FlushToZero flush;
    clean_set_ = -1;
    clear(gradients);
    if (y_bar) {
        std::copy(y_bar, y_bar + state_length(), lambda_[0]);
        zero_masked(lambda_[0], 0, n_);
    }
    Stepper stepper{*this, parameters, x, target, gradients, team};
    stepper.restore_input();
    if (segments_.n_layers() == 0) {
        if (target) add_loss(*target, 0, states_.current, true, team);
    } else {
        Schedule schedule(segments_.n_layers(), plan_.n_snapshots, schedule_);
        run_schedule(schedule, stepper);
    }
    finish(gradients);
    if (gradients.x) std::copy(lambda_[0], lambda_[0] + state_length(), gradients.x);
}

template <class T>
double DenseSweep<T>::value_and_gradient(const Parameters<T>& parameters, const T* x,
                                         const Target<T>& target, const Gradients<T>& gradients,
                                         Team& team) {
    gradient_sweep(parameters, x, &target, nullptr, gradients, team);
    return total_loss();
}

template <class T>
void DenseSweep<T>::vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
                        const Gradients<T>& gradients, Team& team) {
    gradient_sweep(parameters, x, nullptr, y_bar, gradients, team);
}

template <class T>
void DenseSweep<T>::forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                            Team& team) {
    const FlushToZero flush;
    clean_set_ = -1;
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
    clean_set_ = -1;
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
void DenseSweep<T>::jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                        const T* x, const T* x_dot, T* y_dot, Team& team) {
    const FlushToZero flush;
    clean_set_ = -1;
    const std::int64_t length = state_length();
    T* z_dot = scratch_dot_[0];
    T* next_dot = scratch_dot_[1];
    std::fill(z_dot, z_dot + length, T(0));
    if (x_dot) std::copy(x_dot, x_dot + length, z_dot);
    zero_masked(z_dot, 0, n_);
    states_.current = load_input(x, states_.scratch[0]);
    for (std::int64_t number = 0; number < config_.depth; ++number) {
        const T* z = states_.current;
        T* next = states_.free_scratch();
        relax(parameters, number, z, pre_, next, team);
        const T* w = weights(parameters, number);
        const T* w_dot = parameters_dot[0] + (config_.is_layered ? number : 0) * n_ * n_;
        const Layer layer = layer_of(parameters, number);
        const Layer layer_dot = layer_of(parameters_dot, number);
        find_growth(z, z_dot, team);
        team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
            const PanelWorkspace<T>& panel = panels_[static_cast<std::size_t>(worker)];
            const std::int64_t begin = block * kBlockRows;
            const std::int64_t end = std::min(begin + kBlockRows, n_);
            multiply(w_dot, n_, begin, end, z, next_dot, request_.batch, panel);
            multiply(w, n_, begin, end, z_dot, s_panel_, request_.batch, panel);
            alignas(64) T f[kBlockRows], slope[kBlockRows];
            for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
                const std::int64_t start = sample * n_ + begin;
                activate_with_derivative(config_.activation, pre_ + start, f, slope,
                                         static_cast<std::size_t>(end - begin));
                for (std::int64_t i = 0; i < end - begin; ++i) {
                    const std::int64_t at = start + i;
                    const T omega = layer.omega[(begin + i) * layer.omega_step];
                    const T omega_dot = layer_dot.omega[(begin + i) * layer_dot.omega_step];
                    T pre_dot = next_dot[at] + s_panel_[at];
                    if (layer.bias) pre_dot -= layer_dot.bias[(begin + i) * layer_dot.bias_step];
                    next_dot[at] = (T(1) - omega - growth_[sample]) * z_dot[at] +
                                   omega * slope[i] * pre_dot + omega_dot * (f[i] - z[at]) -
                                   pull_[sample] * z[at];
                }
            }
            zero_masked(next_dot, begin, end);
        });
        states_.current = next;
        std::swap(z_dot, next_dot);
    }
    std::copy(z_dot, z_dot + length, y_dot);
}

template <class T>
void DenseSweep<T>::apply(const Parameters<T>& parameters, std::int64_t layer, const T* z, T* out,
                          Team& team) {
    const FlushToZero flush;
    clean_set_ = -1;
    const T* state = load_input(z, states_.scratch[0]);
    const T* w = weights(parameters, layer);
    team.parallel_for(n_blocks_, [&](std::int64_t block, int worker) {
        const std::int64_t begin = block * kBlockRows;
        multiply(w, n_, begin, std::min(begin + kBlockRows, n_), state, out, request_.batch,
                 panels_[static_cast<std::size_t>(worker)]);
    });
    zero_masked(out, 0, n_);
}

template <class T>
Extreme DenseSweep<T>::find_extreme(const Parameters<T>& parameters, const T* x, Team& team) {
    const FlushToZero flush;
    clean_set_ = -1;
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
            search.look(states_.current + sample * n_, 0, n_);
        }
    }
    Extreme worst;
    for (const ExtremeSearch& search : searches) search.add_to(worst);
    return worst;
}

template class DenseSweep<float>;
template class DenseSweep<double>;

}  // namespace relaxon
