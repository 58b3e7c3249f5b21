#include "relaxon/sweeps/fields/layers.hpp"

#include <cmath>

#include "relaxon/base/simd.hpp"
#include "relaxon/sweeps/stencil/layer.hpp"

namespace relaxon {

template <class T>
FieldLayers<T>::FieldLayers(const NetworkConfig& config, const SweepRequest& request)
    : config_(config), request_(request), arrays_(parameter_arrays(config)),
      n_own_arrays_(config.op->arrays(*config.grid, config.depth()).size()),
      n_(config.grid->n_cells()), n_blocks_((n_ + kFieldRows - 1) / kFieldRows),
      segments_(request.at, 1, request.first) {}

template <class T>
PlanInput FieldLayers<T>::plan_input() const {
    PlanInput input;
    input.segments = segments_;
    input.memory_bytes = request_.memory_bytes;
    input.has_gradient = request_.kind == SweepKind::gradient;
    input.has_output = input.has_gradient;
    Arena field;
    field.take<T>(state_length());
    input.state_bytes = field.used_bytes();
    input.slot_bytes = static_cast<std::int64_t>(sizeof(T*) + sizeof(std::int64_t));
    input.fixed_bytes = returned_bytes<T>(config_, request_);
    return input;
}

template <class T>
void FieldLayers<T>::carve_shared(Arena& arena, std::int64_t n_snapshots) {
    const bool is_gradient = request_.kind == SweepKind::gradient;
    const std::int64_t length = state_length();
    bundles_.assign(1, Bundle());
    Bundle& bundle = bundles_[0];
    const int n_scratch = is_gradient ? 3 : 2;
    for (int i = 0; i < n_scratch; ++i) bundle.states.scratch[i] = arena.take<T>(length);
    growth_ = arena.take<T>(request_.batch);
    pull_ = arena.take<T>(request_.batch);
    if (config_.drive()) {
        bundle.drive = arena.take<T>(length);
        if (request_.kind == SweepKind::tangent) bundle.drive_dot = arena.take<T>(length);
        if (request_.wants_input) bundle.drive_bar = arena.take<T>(length);
    }
    if (config_.is_normalised()) {
        bundle.sizes = arena.take<double>(segments_.n_layers() * request_.batch);
    }
    if (request_.kind == SweepKind::tangent) {
        for (T*& field : bundle.tangents) field = arena.take<T>(length);
    }
    if (!is_gradient) return;
    for (T*& field : bundle.lambda) field = arena.take<T>(length);
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
typename FieldLayers<T>::Layer FieldLayers<T>::layer_of(const Parameters<T>& parameters,
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

// The caller's states where every cell exists, else a copy with zeros in the mask.
template <class T>
void FieldLayers<T>::load(Bundle& bundle, const T* x) {
    bundle.states.current = x;
    if (x && !config_.grid->has_mask()) return;
    T* field = bundle.states.free_scratch();
    if (x) {
        std::copy(x, x + state_length(), field);
        zero_masked(field, 0, n_);
    } else {
        std::fill(field, field + state_length(), T(0));
    }
    bundle.states.current = field;
}

// A copy: the caller may have the output written into x.
template <class T>
void FieldLayers<T>::load_drive(Bundle& bundle, const T* x) const {
    std::copy(x, x + state_length(), bundle.drive);
    zero_masked(bundle.drive, 0, n_);
    if (bundle.drive_bar) std::fill(bundle.drive_bar, bundle.drive_bar + state_length(), T(0));
}

template <class T>
void FieldLayers<T>::unload(const Bundle&, const T* z, T* cells, std::int64_t stride) const {
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        std::copy(z + sample * n_, z + (sample + 1) * n_, cells + sample * stride);
    }
}

template <class T>
void FieldLayers<T>::load_tangent(Bundle& bundle, const T* x_dot, T* z_dot) const {
    std::fill(z_dot, z_dot + state_length(), T(0));
    T* place = bundle.drive_dot ? bundle.drive_dot : z_dot;
    if (bundle.drive_dot) std::fill(place, place + state_length(), T(0));
    if (x_dot) std::copy(x_dot, x_dot + state_length(), place);
    zero_masked(place, 0, n_);
}

// Cells [begin, end) of every sample.
template <class T>
void FieldLayers<T>::zero_masked(T* field, std::int64_t begin, std::int64_t end) const {
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
void FieldLayers<T>::find_growth(const T* z, const T* lambda, Team& team) {
    std::fill(growth_, growth_ + request_.batch, T(0));
    std::fill(pull_, pull_ + request_.batch, T(0));
    if (config_.beta() == 0.0) return;
    team.parallel_for(request_.batch,
                      [&](std::int64_t sample, int) { find_growth(sample, z, lambda); });
}

// The same for one sample, given the fields of all.
template <class T>
void FieldLayers<T>::find_growth(std::int64_t sample, const T* z, const T* lambda) {
    const double volume = config_.grid->cell_volume();
    OrderedSum squares, overlap;
    for (std::int64_t i = sample * n_; i < (sample + 1) * n_; ++i) {
        squares.add(static_cast<double>(z[i]) * z[i]);
        if (lambda) overlap.add(static_cast<double>(z[i]) * lambda[i]);
    }
    const double length = std::sqrt(squares.value() * volume);
    growth_[sample] = static_cast<T>(config_.beta() * (length - 1.0));
    pull_[sample] =
        length > 0.0 ? static_cast<T>(config_.beta() * overlap.value() * volume / length) : T(0);
}

// Hard normalisation: z = y / |y| in place, and |y| kept.
template <class T>
void FieldLayers<T>::normalise(std::int64_t layer, T* y, Team& team) const {
    const double volume = config_.grid->cell_volume();
    team.parallel_for(request_.batch, [&](std::int64_t sample, int) {
        T* values = y + sample * n_;
        OrderedSum squares;
        for (std::int64_t i = 0; i < n_; ++i) {
            squares.add(static_cast<double>(values[i]) * values[i]);
        }
        const double size = std::sqrt(squares.value() * volume);
        size_of(layer, sample) = size;
        const auto factor = static_cast<T>(inverse_size(size));
        for (std::int64_t i = 0; i < n_; ++i) {
            values[i] = config_.grid->exists(i) ? values[i] * factor : T(0);
        }
    });
}

// Its tangent and its transpose, (v - (z . v) dV z) / |y| in place of v.
template <class T>
void FieldLayers<T>::project(std::int64_t layer, const T* states, T* all_values, Team& team) const {
    const double volume = config_.grid->cell_volume();
    team.parallel_for(request_.batch, [&](std::int64_t sample, int) {
        const T* z = states + sample * n_;
        T* values = all_values + sample * n_;
        OrderedSum sum;
        for (std::int64_t i = 0; i < n_; ++i) sum.add(static_cast<double>(z[i]) * values[i]);
        const auto factor = static_cast<T>(inverse_size(size_of(layer, sample)));
        const auto overlap = static_cast<T>(sum.value() * volume);
        for (std::int64_t i = 0; i < n_; ++i) {
            values[i] = config_.grid->exists(i) ? factor * (values[i] - overlap * z[i]) : T(0);
        }
    });
}

template <class T>
double FieldLayers<T>::distance(const Bundle& bundle, std::int64_t i, const StateTarget<T>& target,
                                const T* z, double scale, bool wants_cotangent) const {
    T* lambda = wants_cotangent ? bundle.lambda[0] + i * n_ : nullptr;
    return relaxon::distance(target, z + i * n_, scale, lambda, n_).value();
}

template <class T>
void FieldLayers<T>::start_cotangent(Bundle& bundle, const T* y_bar) const {
    T* lambda = bundle.lambda[0];
    if (!y_bar) {
        std::fill(lambda, lambda + state_length(), T(0));
        return;
    }
    std::copy(y_bar, y_bar + state_length(), lambda);
    zero_masked(lambda, 0, n_);
}

template <class T>
void FieldLayers<T>::add_cotangent(Bundle& bundle, const T* cells, std::int64_t stride) const {
    bundle.team->parallel_for(request_.batch, [&](std::int64_t sample, int) {
        const T* bar = cells + sample * stride;
        T* lambda = bundle.lambda[0] + sample * n_;
        for (std::int64_t i = 0; i < n_; ++i) {
            if (config_.grid->exists(i)) lambda[i] += bar[i];
        }
    });
}

template <class T>
void FieldLayers<T>::clear_shared(const Gradients<T>& gradients) {
    gradients_ = gradients;
    for (std::size_t i = n_own_arrays_; i < arrays_.size(); ++i) {
        if (!gradients.arrays[i]) continue;
        std::fill(gradients.arrays[i], gradients.arrays[i] + arrays_[i].size(), T(0));
    }
    std::fill(bias_sums_, bias_sums_ + config_.n_sets() * n_blocks_, OrderedSum());
    std::fill(omega_sums_, omega_sums_ + n_omega_sets() * n_blocks_, OrderedSum());
}

// Sums of homogeneous coefficients to the caller's arrays; fields are there already.
template <class T>
void FieldLayers<T>::finish_shared(const Gradients<T>& gradients) const {
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
        write(bias_sums_, config_.n_sets(), gradients.arrays[n_own_arrays_]);
    }
    if (gradients.arrays.back() && config_.omega() != OmegaKind::cell) {
        write(omega_sums_, n_omega_sets(), gradients.arrays.back());
    }
}

// s of one block of rows and the sums of bias and omega. f comes from Z in `pre` or, where that is
// null, from the next state.
template <class T>
void FieldLayers<T>::pull_elements(const Layer& layer, const T* pre, const T* z, const T* later,
                                   const T* lambda_first, const FieldBlock& rows,
                                   std::int64_t number) {
    const std::int64_t begin = rows.begin, length = rows.end - rows.begin;
    const std::int64_t bias_set = config_.set_of(number);
    const std::int64_t omega_set = config_.omega() == OmegaKind::layer ? number : 0;
    const std::int64_t block = begin / kFieldRows;
    T* bias_bar = config_.bias == BiasKind::none ? nullptr : gradients_.arrays[n_own_arrays_];
    T* omega_bar = gradients_.arrays.back();
    const DerivativeOfValue<T> derivative(config_.activation);
    alignas(64) T f[kFieldRows], slope[kFieldRows];
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        const std::int64_t start = sample * n_ + begin;
        const T* lambda = lambda_first + start;
        if (pre) {
            activate_with_derivative(config_.activation, pre + start, f, slope,
                                     static_cast<std::size_t>(length));
        } else {
            const T* next = later + start;
            const Pack<T> inverse = broadcast(T(1) / *layer.omega);
            for (std::int64_t i = 0; i < length; i += kPackWidth<T>) {
                const Pack<T> from = load_up_to(z + start + i, length - i);
                const Pack<T> value = from + inverse * (load_up_to(next + i, length - i) - from);
                store(f + i, value);
                store(slope + i, derivative(value));
            }
        }
        double bias_sum = 0.0, omega_sum = 0.0;
        for (std::int64_t i = 0; i < length; ++i) {
            const T omega = layer.omega[(begin + i) * layer.omega_step];
            const T pulled = lambda[i] == T(0) ? T(0) : omega * slope[i] * lambda[i];
            s_[start + i] = pulled;
            bias_sum -= static_cast<double>(pulled);
        }
        if (T* bar = bundles_[0].drive_bar) {
            for (std::int64_t i = start; i < start + length; ++i) bar[i] += s_[i];
        }
        if (bias_bar && config_.bias == BiasKind::local) {
            T* bar = bias_bar + bias_set * n_ + begin;
            for (std::int64_t i = 0; i < length; ++i) bar[i] -= s_[start + i];
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

template class FieldLayers<float>;
template class FieldLayers<double>;

}  // namespace relaxon
