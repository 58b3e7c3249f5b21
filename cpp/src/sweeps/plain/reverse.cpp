#include <algorithm>

#include "relaxon/base/simd.hpp"
#include "relaxon/sweeps/plain/layers.hpp"
#include "relaxon/sweeps/stencil/layer.hpp"

namespace relaxon {

template <class T>
void PlainLayers<T>::clear(const Gradients<T>& gradients, Team& team) {
    gradients_ = gradients;
    op_->clear(gradients, team);
    for (std::size_t i = n_own_arrays_; i < arrays_.size(); ++i) {
        if (!gradients.arrays[i]) continue;
        std::fill(gradients.arrays[i], gradients.arrays[i] + arrays_[i].size(), T(0));
    }
    std::fill(bias_sums_, bias_sums_ + config_.n_sets() * n_blocks_, OrderedSum());
    std::fill(omega_sums_, omega_sums_ + n_omega_sets() * n_blocks_, OrderedSum());
}

// Sums of homogeneous coefficients to the caller's arrays; fields are there already.
template <class T>
void PlainLayers<T>::finish(const Parameters<T>&, const Gradients<T>& gradients, Team&) const {
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

template <class T>
void PlainLayers<T>::start_cotangent(Bundle& bundle, const T* y_bar) const {
    T* lambda = bundle.lambda[0];
    if (!y_bar) {
        std::fill(lambda, lambda + state_length(), T(0));
        return;
    }
    std::copy(y_bar, y_bar + state_length(), lambda);
    zero_masked(lambda, 0, n_);
}

template <class T>
void PlainLayers<T>::add_cotangent(Bundle& bundle, const T* cells, std::int64_t stride) const {
    bundle.team->parallel_for(request_.batch, [&](std::int64_t sample, int) {
        const T* bar = cells + sample * stride;
        T* lambda = bundle.lambda[0] + sample * n_;
        for (std::int64_t i = 0; i < n_; ++i) {
            if (config_.grid->exists(i)) lambda[i] += bar[i];
        }
    });
}

// s of one block of rows and the sums of bias and omega. f comes from Z in `pre` or, where that is
// null, from the next state.
template <class T>
void PlainLayers<T>::pull_elements(const Layer& layer, const T* pre, const T* z, const T* later,
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

// The later state is z_{l+1}; Z of the layer is in pre_ where it is kept and f is not recovered.
template <class T>
void PlainLayers<T>::reverse(Bundle& bundle, std::int64_t layer, std::int64_t, const Seed<T>*,
                             std::int64_t) {
    Team& team = *bundle.team;
    const T* z = bundle.states.current;
    const Layer view = layer_of(*parameters_, layer);
    T* pre = recovers(layer) ? nullptr : is_rich_ ? kept_pre(layer) : pre_;
    if (pre && !is_rich_) {
        op_->load(layer, z, team);
        for_each_block(team, [&](const FieldBlock& block) { evaluate(layer, view, block, pre); });
    }
    find_growth(z, bundle.lambda[0], team);
    for_each_block(team, [&](const FieldBlock& block) {
        pull_elements(view, pre, z, bundle.states.later, bundle.lambda[0], block, layer);
        op_->collect(layer, block, z, s_);
    });
    T* next = bundle.lambda[1];
    op_->load_sources(layer, s_, team);
    for_each_block(team, [&](const FieldBlock& block) {
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            for (std::int64_t i = block.begin; i < block.end; ++i) {
                const std::int64_t at = sample * n_ + i;
                const T omega = view.omega[i * view.omega_step];
                next[at] =
                    (T(1) - omega - growth_[sample]) * bundle.lambda[0][at] - pull_[sample] * z[at];
            }
        }
        op_->add_transpose(layer, block, next);
        zero_masked(next, block.begin, block.end);
    });
    std::swap(bundle.lambda[0], bundle.lambda[1]);
    op_->accumulate(layer, gradients_, team);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void PlainLayers<T>::clear(const Gradients<T>&, Team&);                               \
    template void PlainLayers<T>::finish(const Parameters<T>&, const Gradients<T>&, Team&) const;  \
    template void PlainLayers<T>::start_cotangent(Bundle&, const T*) const;                        \
    template void PlainLayers<T>::add_cotangent(Bundle&, const T*, std::int64_t) const;            \
    template void PlainLayers<T>::reverse(Bundle&, std::int64_t, std::int64_t, const Seed<T>*,     \
                                          std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
