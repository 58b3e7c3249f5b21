#include <algorithm>

#include "relaxon/sweeps/plain/layers.hpp"

namespace relaxon {

template <class T>
void PlainLayers<T>::prepare_tangent(const Parameters<T>&, const Parameters<T>& parameters_dot,
                                     Team&) {
    parameters_dot_ = &parameters_dot;
}

template <class T>
void PlainLayers<T>::advance_tangent(Bundle& bundle, std::int64_t number, const T* z_dot, T* out,
                                     T* out_dot) {
    Team& team = *bundle.team;
    const T* z = bundle.states.current;
    op_->load_tangent(number, z, z_dot, team);
    relax(number, z, pre_, out, team);
    find_growth(z, z_dot, team);
    const Layer layer = layer_of(*parameters_, number);
    const Layer layer_dot = layer_of(*parameters_dot_, number);
    for_each_block(team, [&](const FieldBlock& block) {
        op_->apply_tangent(*parameters_dot_, number, block, out_dot, s_);
        alignas(64) T f[kFieldRows], slope[kFieldRows];
        const std::int64_t begin = block.begin, length = block.end - block.begin;
        for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
            const std::int64_t start = sample * n_ + begin;
            activate_with_derivative(config_.activation, pre_ + start, f, slope,
                                     static_cast<std::size_t>(length));
            for (std::int64_t i = 0; i < length; ++i) {
                const std::int64_t at = start + i;
                const T omega = layer.omega[(begin + i) * layer.omega_step];
                const T omega_dot = layer_dot.omega[(begin + i) * layer_dot.omega_step];
                T pre_dot = out_dot[at];
                if (layer.bias) pre_dot -= layer_dot.bias[(begin + i) * layer_dot.bias_step];
                if (bundle.drive_dot) pre_dot += bundle.drive_dot[at];
                out_dot[at] = (T(1) - omega - growth_[sample]) * z_dot[at] +
                              omega * slope[i] * pre_dot + omega_dot * (f[i] - z[at]) -
                              pull_[sample] * z[at];
            }
        }
        zero_masked(out_dot, begin, block.end);
    });
    if (config_.is_normalised()) project(number, out, out_dot, team);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void PlainLayers<T>::prepare_tangent(const Parameters<T>&, const Parameters<T>&,      \
                                                  Team&);                                          \
    template void PlainLayers<T>::advance_tangent(Bundle&, std::int64_t, const T*, T*, T*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
