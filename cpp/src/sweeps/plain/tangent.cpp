#include <algorithm>

#include "relaxon/sweeps/plain/layers.hpp"

namespace relaxon {

template <class T>
void DenseSweep<T>::jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                        const T* x, const T* x_dot, T* y_dot, Team& team) {
    const FlushToZero flush;
    prepare(parameters, team);
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
        const Matrix<T> matrix = matrix_of(parameters, number);
        const Matrix<T> matrix_dot{parameters_dot[0] + config_.set_of(number) * n_ * n_, n_};
        // relax has packed z already.
        const States<T> states{z, packed_states_, request_.batch};
        const States<T> states_dot = pack(z_dot, packed_states_dot_, team);
        const Layer layer = layer_of(parameters, number);
        const Layer layer_dot = layer_of(parameters_dot, number);
        find_growth(z, z_dot, team);
        for_each_block(team, [&](std::int64_t begin, std::int64_t end, int worker) {
            const PanelWorkspace<T>& panel = panels_[static_cast<std::size_t>(worker)];
            multiply(matrix_dot, begin, end, states, next_dot, panel);
            multiply(matrix, begin, end, states_dot, s_, panel);
            alignas(64) T f[kProductRows], slope[kProductRows];
            for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
                const std::int64_t start = sample * n_ + begin;
                activate_with_derivative(config_.activation, pre_ + start, f, slope,
                                         static_cast<std::size_t>(end - begin));
                for (std::int64_t i = 0; i < end - begin; ++i) {
                    const std::int64_t at = start + i;
                    const T omega = layer.omega[(begin + i) * layer.omega_step];
                    const T omega_dot = layer_dot.omega[(begin + i) * layer_dot.omega_step];
                    T pre_dot = next_dot[at] + s_[at];
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

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void DenseSweep<T>::jvp(const Parameters<T>&, const Parameters<T>&, const T*,         \
                                     const T*, T*, Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
