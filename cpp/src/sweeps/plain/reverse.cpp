#include <algorithm>

#include "relaxon/sweeps/plain/layers.hpp"

namespace relaxon {

template <class T>
void PlainLayers<T>::clear(const Gradients<T>& gradients, Team& team) {
    op_->clear(gradients, team);
    this->clear_shared(gradients);
}

// The later state is z_{l+1}; Z of the layer is in pre_ where it is kept and f is not recovered.
template <class T>
void PlainLayers<T>::reverse(Bundle& bundle, std::int64_t layer, std::int64_t, const Seed<T>*,
                             std::int64_t) {
    Team& team = *bundle.team;
    const T* z = bundle.states.current;
    const Layer view = layer_of(*parameters_, layer);
    if (config_.is_normalised()) project(layer, bundle.states.later, bundle.lambda[0], team);
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
    template void PlainLayers<T>::reverse(Bundle&, std::int64_t, std::int64_t, const Seed<T>*,     \
                                          std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
