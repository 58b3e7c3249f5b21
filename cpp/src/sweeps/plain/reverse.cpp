#include <algorithm>

#include "relaxon/sweeps/plain/layers.hpp"

namespace relaxon {

template <class T>
void DenseSweep<T>::clear(const Gradients<T>& gradients, Team& team) {
    for (std::size_t i = 1; i < arrays_.size(); ++i) {
        if (!gradients.arrays[i]) continue;
        std::fill(gradients.arrays[i], gradients.arrays[i] + arrays_[i].size(), T(0));
    }
    // Sets of W that layers reach are set by their first product.
    const std::int64_t n_sets = config_.n_sets();
    const std::int64_t n_reached = std::min(segments_.n_layers(), n_sets);
    team.parallel_for((n_sets - n_reached) * n_, [&](std::int64_t row, int) {
        T* bar = gradients.arrays[0] + (n_reached * n_ + row) * n_;
        std::fill(bar, bar + n_, T(0));
    });
    const std::int64_t n_omega_sets = config_.omega == OmegaKind::layer ? config_.depth : 1;
    std::fill(bias_sums_, bias_sums_ + n_sets * n_blocks_, OrderedSum());
    std::fill(omega_sums_, omega_sums_ + n_omega_sets * n_blocks_, OrderedSum());
    std::fill(lambda_[0], lambda_[0] + state_length(), T(0));
    n_collected_samples_ = 0;
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
        write(bias_sums_, config_.n_sets(), gradients.arrays[1]);
    }
    if (gradients.arrays.back() && config_.omega != OmegaKind::cell) {
        write(omega_sums_, config_.omega == OmegaKind::layer ? config_.depth : 1,
              gradients.arrays.back());
    }
}

// s of one block of rows and the sums of bias and omega. f comes from Z in `pre` or, where that is
// null, from the next state.
template <class T>
void DenseSweep<T>::pull_elements(const Layer& layer, const T* pre, const T* z, T* s,
                                  std::int64_t begin, std::int64_t end, std::int64_t number,
                                  const Gradients<T>& gradients) {
    const std::int64_t length = end - begin;
    const std::int64_t bias_set = config_.set_of(number);
    const std::int64_t omega_set = config_.omega == OmegaKind::layer ? number : 0;
    const std::int64_t block = begin / kProductRows;
    T* bias_bar = config_.bias == BiasKind::none ? nullptr : gradients.arrays[1];
    T* omega_bar = gradients.arrays.back();
    const DerivativeOfValue<T> derivative(config_.activation);
    alignas(64) T f[kProductRows], slope[kProductRows];
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        const std::int64_t start = sample * n_ + begin;
        const T* lambda = lambda_[0] + start;
        if (pre) {
            activate_with_derivative(config_.activation, pre + start, f, slope,
                                     static_cast<std::size_t>(length));
        } else {
            const T* next = states_.later + start;
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

// lambda_{l+1} to lambda_l, both in lambda_[0]. The later state is z_{l+1}; Z of the layer is in
// pre_ where it is kept and f is not recovered.
template <class T>
void DenseSweep<T>::reverse(const Parameters<T>& parameters, std::int64_t layer, const T* z,
                            const Gradients<T>& gradients, Team& team) {
    const Matrix<T> matrix = matrix_of(parameters, layer);
    const Layer view = layer_of(parameters, layer);
    T* pre = recovers(parameters, layer) ? nullptr : pre_ + (is_rich_ ? layer * state_length() : 0);
    if (pre && !is_rich_) evaluate(matrix, view, z, pre, team);
    find_growth(z, lambda_[0], team);
    for_each_block(team, [&](std::int64_t begin, std::int64_t end, int) {
        pull_elements(view, pre, z, s_, begin, end, layer, gradients);
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            const std::int64_t number = n_collected_samples_ + sample;
            pack_outer_state(z + sample * n_, n_, begin, end, number, outer_states_);
            pack_outer_source(s_ + sample * n_, n_, begin, end, number, outer_sources_);
        }
    });
    n_collected_samples_ += request_.batch;
    T* next = lambda_[1];
    const States<T> sources = pack(s_, packed_states_, team);
    for_each_block(team, [&](std::int64_t begin, std::int64_t end, int worker) {
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            for (std::int64_t i = begin; i < end; ++i) {
                const std::int64_t at = sample * n_ + i;
                const T omega = view.omega[i * view.omega_step];
                next[at] =
                    (T(1) - omega - growth_[sample]) * lambda_[0][at] - pull_[sample] * z[at];
            }
        }
        add_transposed_product(matrix, begin, end, sources, next,
                               panels_[static_cast<std::size_t>(worker)]);
        zero_masked(next, begin, end);
    });
    std::swap(lambda_[0], lambda_[1]);
    // Groups of layers are counted from layer 0, so a group ends at its lowest layer.
    if (layer % n_collected_ == 0) add_outer_products(layer, gradients, team);
}

// The group of layers that begins with `layer`.
template <class T>
void DenseSweep<T>::add_outer_products(std::int64_t layer, const Gradients<T>& gradients,
                                       Team& team) {
    T* bar = gradients.arrays[0] + (config_.op->is_layered() ? layer * n_ * n_ : 0);
    const bool adds = !config_.op->is_layered() &&
                      layer + n_collected_samples_ / request_.batch < segments_.n_layers();
    for_each_block(team, [&](std::int64_t begin, std::int64_t end, int) {
        outer_product(bar, n_, begin, end, outer_sources_, outer_states_, n_collected_samples_,
                      adds);
    });
    n_collected_samples_ = 0;
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

    void advance(std::int64_t layer) {
        sweep.states_.current = advance_to(layer);
        ++sweep.evaluations_.advances;
    }
    void keep(std::int64_t slot) { sweep.states_.keep(slot); }
    void restore(std::int64_t slot) { sweep.states_.restore(slot); }
    void restore_input() {
        sweep.states_.current = sweep.load_input(x, sweep.states_.free_scratch());
    }
    void reverse(std::int64_t layer) {
        const T* z = sweep.states_.current;
        if (layer + 1 == sweep.segments_.n_layers()) {
            sweep.states_.later = advance_to(layer);
            ++sweep.evaluations_.outputs;
            if (target) sweep.add_loss(*target, layer + 1, sweep.states_.later, true, team);
        }
        sweep.reverse(parameters, layer, z, gradients, team);
        ++sweep.evaluations_.reversals;
        if (target) sweep.add_loss(*target, layer, z, true, team);
        sweep.states_.later = z;
    }

private:
    T* advance_to(std::int64_t layer) {
        T* next = sweep.states_.free_scratch();
        // Z is kept where the reverse sweep will ask for it.
        const bool keeps = sweep.is_rich_ && !sweep.recovers(parameters, layer);
        T* pre = keeps ? sweep.pre_ + layer * sweep.state_length() : next;
        sweep.relax(parameters, layer, sweep.states_.current, pre, next, team);
        return next;
    }
};

template <class T>
void DenseSweep<T>::gradient_sweep(const Parameters<T>& parameters, const T* x,
                                   const Target<T>* target, const T* y_bar,
                                   const Gradients<T>& gradients, Team& team) {
    const FlushToZero flush;
    prepare(parameters, team);
    clear(gradients, team);
    states_.later = nullptr;
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

#define RELAXON_INSTANTIATE(T)                                                                     \
    template double DenseSweep<T>::value_and_gradient(                                             \
        const Parameters<T>&, const T*, const Target<T>&, const Gradients<T>&, Team&);             \
    template void DenseSweep<T>::vjp(const Parameters<T>&, const T*, const T*,                     \
                                     const Gradients<T>&, Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
