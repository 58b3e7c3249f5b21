#include "relaxon/sweeps/ends.hpp"

#include <algorithm>

#include "relaxon/base/error.hpp"

namespace relaxon {

namespace {

// Rows of a full matrix, columns of it, and samples that a task takes, by shape alone.
constexpr std::int64_t kRowsPerTask = 64;
constexpr std::int64_t kSamplesPerTask = 16;

// f(begin, end) for the parts of [0, n).
template <class F>
void for_each_part(std::int64_t n, std::int64_t length, Team& team, const F& f) {
    team.parallel_for((n + length - 1) / length, [&](std::int64_t part, int) {
        f(part * length, std::min((part + 1) * length, n));
    });
}

template <class T>
void multiply_by(T* values, const T* factors, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) values[i] *= factors[i];
}

}  // namespace

template <class T>
EndsSweep<T>::EndsSweep(const NetworkConfig& config, const SweepRequest& request, bool takes_memory)
    : config_(config), request_(request), n_cells_(config.grid->n_cells()) {
    require(request.first == 0 && request.end < 0, "layers", "all of them with a lift or readout",
            request.first);
    const std::vector<ParameterArray> arrays = parameter_arrays(config);
    std::size_t first = arrays.size() - 1 - (config.lift ? 2 : 0) - (config.readout ? 2 : 0);
    for (End* end : {&lift_, &readout_}) {
        end->config = end == &lift_ ? config.lift : config.readout;
        end->first_array = first;
        if (end->config) first += 2;
    }
    inner_parameters_.resize(arrays.size());
    inner_dot_.resize(arrays.size());
    inner_gradients_.arrays.resize(arrays.size());

    const NetworkConfig inner = layers_config();
    SweepRequest inner_request = layers_request();
    Arena measure;
    carve(measure);
    const std::int64_t own_bytes = measure.used_bytes() + 2 * kAlignment +
                                   returned_bytes<T>(config, request) -
                                   returned_bytes<T>(inner, inner_request);
    if (request.memory_bytes >= 0) {
        const std::int64_t minimum = plan_sweep<T>(inner, inner_request).minimum_bytes + own_bytes;
        if (request.memory_bytes < minimum) throw BudgetError(request.memory_bytes, minimum);
        inner_request.memory_bytes = request.memory_bytes - own_bytes;
    }
    plan_ = plan_sweep<T>(inner, inner_request);
    plan_.fixed_bytes += own_bytes;
    plan_.minimum_bytes += own_bytes;
    plan_.total_bytes += own_bytes;
    if (!takes_memory) return;
    layers_ = make_sweep<T>(inner, inner_request);
    memory_ = Block(measure.used_bytes());
    Arena arena(memory_);
    carve(arena);
}

template <class T>
NetworkConfig EndsSweep<T>::layers_config() const {
    NetworkConfig inner = config_;
    inner.lift = inner.readout = EndConfig();
    return inner;
}

template <class T>
SweepRequest EndsSweep<T>::layers_request() const {
    SweepRequest inner = request_;
    inner.memory_bytes = -1;
    inner.wants_input = request_.wants_input || config_.lift;
    inner.has_state_loss = static_cast<bool>(config_.readout);
    return inner;
}

template <class T>
void EndsSweep<T>::carve(Arena& arena) {
    const bool has_derivative = request_.kind != SweepKind::forward;
    const auto carve_end = [&](End& end, std::int64_t n) {
        if (!end.config) return;
        end.values = arena.take<T>(n);
        if (!has_derivative) return;
        end.slopes = arena.take<T>(n);
        end.bars = arena.take<T>(n);
    };
    carve_end(lift_, request_.batch * n_cells_);
    carve_end(readout_, request_.batch * n_at() * config_.readout.width);
    if (!readout_.config) return;
    states_ = arena.take<T>(request_.batch * n_at() * n_cells_);
    if (has_derivative) state_bars_ = arena.take<T>(request_.batch * n_at() * n_cells_);
}

template <class T>
AffineMap<T> EndsSweep<T>::lift_map(const Parameters<T>& parameters) const {
    const std::size_t i = lift_.first_array;
    return {parameters[i], parameters[i + 1], n_cells_, config_.lift.width};
}

template <class T>
AffineMap<T> EndsSweep<T>::readout_map(const Parameters<T>& parameters) const {
    const std::size_t i = readout_.first_array;
    return {parameters[i], parameters[i + 1], config_.readout.width, n_cells_};
}

// The arrays of a network without ends out of those of one with them.
template <class T>
template <class Pointers>
void EndsSweep<T>::take_inner(const Pointers& all, Pointers& inner) const {
    inner.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(lift_.first_array));
    inner.push_back(all.back());
}

// The first states, with slopes where there is a derivative; zero on masked cells.
template <class T>
const T* EndsSweep<T>::start(const Parameters<T>& parameters, const T* x, Team& team) {
    take_inner(parameters, inner_parameters_);
    if (readout_.config) readout_map_ = readout_map(parameters);
    if (!lift_.config) return x;
    const AffineMap<T> map = lift_map(parameters);
    for_each_part(n_cells_, kRowsPerTask, team, [&](std::int64_t begin, std::int64_t end) {
        apply(map, {x, map.n_in}, request_.batch, begin, end, Rectangle<T>{lift_.values, n_cells_},
              false);
        const auto length = static_cast<std::size_t>(end - begin);
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            T* values = lift_.values + sample * n_cells_ + begin;
            T* slopes = lift_.slopes ? lift_.slopes + sample * n_cells_ + begin : nullptr;
            if (slopes) {
                activate_with_derivative(lift_.config.activation, values, values, slopes, length);
            } else {
                activate(lift_.config.activation, values, values, length);
            }
            for (std::int64_t i = begin; config_.grid->has_mask() && i < end; ++i) {
                if (config_.grid->exists(i)) continue;
                values[i - begin] = T(0);
                if (slopes) slopes[i - begin] = T(0);
            }
        }
    });
    return lift_.values;
}

// Outputs of target number `place` of the samples [first, first + n) from `states_`.
template <class T>
void EndsSweep<T>::read_out(std::int64_t place, std::int64_t first, std::int64_t n) {
    const std::int64_t width = config_.readout.width, index = first * n_at() + place;
    const Rectangle<T> out{readout_.values + index * width, n_at() * width};
    apply(readout_map_, {states_ + index * n_cells_, n_at() * n_cells_}, n, 0, width, out, false);
    for (std::int64_t i = 0; i < n; ++i) {
        T* values = out.sample(i);
        const Activation activation = readout_.config.activation;
        if (readout_.slopes) {
            activate_with_derivative(activation, values, values,
                                     readout_.slopes + (values - readout_.values),
                                     static_cast<std::size_t>(width));
        } else {
            activate(activation, values, values, static_cast<std::size_t>(width));
        }
    }
}

// The same for all samples of a sweep whose target is the last state.
template <class T>
void EndsSweep<T>::read_out_all(Team& team) {
    for_each_part(request_.batch, kSamplesPerTask, team,
                  [&](std::int64_t begin, std::int64_t end) { read_out(0, begin, end - begin); });
}

// x to the output; through(z_0, z) are the layers.
template <class T>
template <class Through>
void EndsSweep<T>::map(const Parameters<T>& parameters, const T* x, T* y, const Through& through,
                       Team& team) {
    const FlushToZero flush;
    const T* first = start(parameters, x, team);
    through(first, readout_.config ? states_ : y);
    if (!readout_.config) return;
    read_out_all(team);
    std::copy(readout_.values, readout_.values + request_.batch * config_.readout.width, y);
}

template <class T>
void EndsSweep<T>::forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                           Team& team) {
    if (all_layers) {
        const FlushToZero flush;
        layers_->forward(inner_parameters_, start(parameters, x, team), y, true, team);
        return;
    }
    const auto through = [&](const T* first, T* last) {
        layers_->forward(inner_parameters_, first, last, false, team);
    };
    map(parameters, x, y, through, team);
}

template <class T>
void EndsSweep<T>::settle(const Parameters<T>& parameters, const T* x, T* y, double tolerance,
                          std::int64_t* n_layers, Team& team) {
    const auto through = [&](const T* first, T* last) {
        layers_->settle(inner_parameters_, first, last, tolerance, n_layers, team);
    };
    map(parameters, x, y, through, team);
}

template <class T>
double EndsSweep<T>::loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                          Team& team) {
    const FlushToZero flush;
    const T* first = start(parameters, x, team);
    if (!readout_.config) return layers_->loss(inner_parameters_, first, target, team);
    target_ = &target;
    Target<T> whole;
    whole.state_loss = this;
    return layers_->loss(inner_parameters_, first, whole, team);
}

template <class T>
void EndsSweep<T>::evaluate(std::int64_t place, std::int64_t first, std::int64_t n,
                            bool wants_cotangents, double* losses) {
    read_out(place, first, n);
    const std::int64_t width = config_.readout.width;
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t index = (first + i) * n_at() + place;
        T* bar = wants_cotangents ? readout_.bars + index * width : nullptr;
        if (y_bar_) {
            std::copy(y_bar_ + index * width, y_bar_ + (index + 1) * width, bar);
        } else {
            losses[i * n_at()] = output_loss(index, bar);
        }
        if (bar) multiply_by(readout_.slopes + index * width, bar, width);
    }
    if (!wants_cotangents) return;
    const std::int64_t index = first * n_at() + place;
    apply_transpose(readout_map_, {readout_.slopes + index * width, n_at() * width}, n, 0, n_cells_,
                    Rectangle<T>{state_bars_ + index * n_cells_, n_at() * n_cells_});
}

// Loss of one output and, where wanted, its cotangent.
template <class T>
double EndsSweep<T>::output_loss(std::int64_t index, T* y_bar) const {
    const std::int64_t width = config_.readout.width;
    const T* y = readout_.values + index * width;
    const double scale = 1.0 / static_cast<double>(request_.batch);
    if (y_bar) std::fill(y_bar, y_bar + width, T(0));
    if (target_->loss.kind == LossKind::cross_entropy) {
        const double weight = target_->weights ? static_cast<double>(target_->weights[index]) : 1.0;
        if (weight == 0.0) return 0.0;
        return weight * cross_entropy(y, target_->labels[index], weight * scale, y_bar, width);
    }
    StateTarget<T> target{target_->y + index * width, target_->weights, nullptr, target_->loss};
    if (target.weights && !target_->weights_are_shared) target.weights += index * width;
    return distance(target, y, scale, y_bar, width).value();
}

template <class T>
double EndsSweep<T>::gradient_sweep(const Parameters<T>& parameters, const T* x,
                                    const Target<T>* target, const T* y_bar,
                                    const Gradients<T>& gradients, Team& team) {
    const FlushToZero flush;
    const T* first = start(parameters, x, team);
    take_inner(gradients.arrays, inner_gradients_.arrays);
    inner_gradients_.x = lift_.config ? lift_.bars : gradients.x;
    double value = 0.0;
    if (readout_.config) {
        target_ = target;
        y_bar_ = y_bar;
        Target<T> whole;
        whole.state_loss = this;
        value =
            layers_->value_and_gradient(inner_parameters_, first, whole, inner_gradients_, team);
        y_bar_ = nullptr;
        write_gradient(readout_, config_.readout.width, n_cells_, states_, request_.batch * n_at(),
                       gradients, team);
    } else if (target) {
        value =
            layers_->value_and_gradient(inner_parameters_, first, *target, inner_gradients_, team);
    } else {
        layers_->vjp(inner_parameters_, first, y_bar, inner_gradients_, team);
    }
    if (lift_.config) finish_lift(lift_map(parameters), gradients, x, team);
    return value;
}

// From the cotangent of z_0 to those of the lift's parameters and of x.
template <class T>
void EndsSweep<T>::finish_lift(const AffineMap<T>& map, const Gradients<T>& gradients, const T* x,
                               Team& team) {
    const std::int64_t n_in = map.n_in;
    for_each_part(request_.batch, kSamplesPerTask, team, [&](std::int64_t begin, std::int64_t end) {
        multiply_by(lift_.slopes + begin * n_cells_, lift_.bars + begin * n_cells_,
                    (end - begin) * n_cells_);
    });
    write_gradient(lift_, n_cells_, n_in, x, request_.batch, gradients, team);
    if (!gradients.x) return;
    for_each_part(request_.batch, kSamplesPerTask, team, [&](std::int64_t begin, std::int64_t end) {
        apply_transpose(map, {lift_.slopes + begin * n_cells_, n_cells_}, end - begin, 0, n_in,
                        Rectangle<T>{gradients.x + begin * n_in, n_in});
    });
}

template <class T>
void EndsSweep<T>::write_gradient(const End& end, std::int64_t n_out, std::int64_t n_in,
                                  const T* inputs, std::int64_t n_samples,
                                  const Gradients<T>& gradients, Team& team) const {
    for_each_part(n_out, kRowsPerTask, team, [&](std::int64_t first, std::int64_t last) {
        affine_gradient(n_in, {end.slopes, n_out}, {inputs, n_in}, n_samples, first, last,
                        gradients.arrays[end.first_array], gradients.arrays[end.first_array + 1]);
    });
}

template <class T>
double EndsSweep<T>::value_and_gradient(const Parameters<T>& parameters, const T* x,
                                        const Target<T>& target, const Gradients<T>& gradients,
                                        Team& team) {
    return gradient_sweep(parameters, x, &target, nullptr, gradients, team);
}

template <class T>
void EndsSweep<T>::vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
                       const Gradients<T>& gradients, Team& team) {
    gradient_sweep(parameters, x, nullptr, y_bar, gradients, team);
}

template <class T>
void EndsSweep<T>::jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                       const T* x, const T* x_dot, T* y_dot, Team& team) {
    const FlushToZero flush;
    const T* first = start(parameters, x, team);
    take_inner(parameters_dot, inner_dot_);
    const T* first_dot = x_dot;
    if (lift_.config) {
        // z_0_dot = g' (A_dot x + a_dot + A x_dot)
        const std::int64_t n_in = config_.lift.width;
        AffineMap<T> map = lift_map(parameters);
        map.shift = nullptr;
        for_each_part(n_cells_, kRowsPerTask, team, [&](std::int64_t begin, std::int64_t end) {
            const Rectangle<T> out{lift_.bars, n_cells_};
            apply(lift_map(parameters_dot), {x, n_in}, request_.batch, begin, end, out, false);
            if (x_dot) apply(map, {x_dot, n_in}, request_.batch, begin, end, out, true);
            for (std::int64_t i = 0; i < request_.batch; ++i) {
                multiply_by(out.sample(i) + begin, lift_.slopes + i * n_cells_ + begin,
                            end - begin);
            }
        });
        first_dot = lift_.bars;
    }
    if (!readout_.config) {
        layers_->jvp(inner_parameters_, inner_dot_, first, first_dot, y_dot, team);
        return;
    }
    layers_->forward(inner_parameters_, first, states_, false, team);
    layers_->jvp(inner_parameters_, inner_dot_, first, first_dot, state_bars_, team);
    read_out_all(team);
    // y_dot = h' (B_dot z + c_dot + B z_dot)
    const std::int64_t width = config_.readout.width;
    AffineMap<T> map = readout_map_;
    map.shift = nullptr;
    for_each_part(request_.batch, kSamplesPerTask, team, [&](std::int64_t begin, std::int64_t end) {
        const Rectangle<T> out{y_dot + begin * width, width};
        apply(readout_map(parameters_dot), {states_ + begin * n_cells_, n_cells_}, end - begin, 0,
              width, out, false);
        apply(map, {state_bars_ + begin * n_cells_, n_cells_}, end - begin, 0, width, out, true);
        multiply_by(y_dot + begin * width, readout_.slopes + begin * width, (end - begin) * width);
    });
}

template <class T>
Extreme EndsSweep<T>::find_extreme(const Parameters<T>& parameters, const T* x, Team& team) {
    const FlushToZero flush;
    const T* first = start(parameters, x, team);
    return layers_->find_extreme(inner_parameters_, first, team);
}

template class EndsSweep<float>;
template class EndsSweep<double>;

}  // namespace relaxon
