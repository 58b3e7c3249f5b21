#include <algorithm>

#include "relaxon/operators/matrix_vector.hpp"
#include "relaxon/sweeps/implicit/response.hpp"

namespace relaxon {

template <class T>
void ImplicitLayers<T>::prepare_tangent(const Parameters<T>& parameters,
                                        const Parameters<T>& parameters_dot, Team& team) {
    parameters_dot_ = &parameters_dot;
    const auto scheme = static_cast<T>(1.0 - 2.0 * theta_);
    for (std::int64_t i = 0; i < arrays_.back().size(); ++i) {
        scheme_omega_dot_[i] = scheme * parameters_dot.back()[i];
    }
    scheme_parameters_dot_ = parameters_dot;
    scheme_parameters_dot_.back() = scheme_omega_dot_;
    static_cast<void>(parameters);
    matrix_->prepare_tangent(scheme_parameters_, scheme_parameters_dot_, team);
}

// J z'_dot = r_dot + e f'(Z') (W_dot z' - b_dot) + theta omega_dot (f(Z') - z').
template <class T>
void ImplicitLayers<T>::advance_tangent(Bundle& bundle, std::int64_t layer, const T* z_dot, T* out,
                                        T* out_dot) {
    Team& team = *bundle.team;
    const T* z = bundle.states.current;
    advance(bundle, layer, layer + 1, out, false);
    take_entries(layer);
    matrix_->assemble_tangent(layer, entries_dot_, shift_dot_);
    find_growth(z, z_dot, team);
    const Layer all = layer_of(*parameters_, layer);
    const Layer all_dot = layer_of(*parameters_dot_, layer);
    const Pattern& pattern = matrix_->pattern();
    const auto explicit_weight = static_cast<T>(1.0 - theta_);
    for_each_sample(team, [&](std::int64_t sample, Work& work, int worker) {
        const std::int64_t first = sample * n_;
        const Layer view = view_of(all, bundle.drive, sample);
        const Layer dot = view_of(all_dot, bundle.drive_dot, sample);
        T* right = work.right;
        T* moved = work.newton.step;  // W_dot z - b_dot
        const auto move = [&](const T* state) {
            multiply(pattern, entries_dot_, state, moved);
            for (std::int64_t i = 0; i < n_; ++i) moved[i] += shift_dot_[i] - bias(dot, i);
            evaluate(view, state, work.pre);
            activate_with_derivative(config_.activation, work.pre, work.f, work.slope,
                                     static_cast<std::size_t>(n_));
        };
        // r_dot.
        move(z + first);
        multiply(pattern, entries_, z_dot + first, work.newton.trial);
        for (std::int64_t i = 0; i < n_; ++i) {
            const T rate = explicit_weight * view.omega[i * view.omega_step];
            const T rate_dot = explicit_weight * dot.omega[i * dot.omega_step];
            right[i] =
                (T(1) - rate - growth_[sample]) * z_dot[first + i] - pull_[sample] * z[first + i];
            if (theta_ < 1.0) {
                right[i] += rate * work.slope[i] * (moved[i] + work.newton.trial[i]) +
                            rate_dot * (work.f[i] - z[first + i]);
            }
        }
        const T* later = out + first;
        if (config_.is_normalised()) {
            restore_size(layer, sample, out, solution_);
            later = solution_ + first;
        }
        move(later);
        for (std::int64_t i = 0; i < n_; ++i) {
            const T rate_dot = static_cast<T>(theta_) * dot.omega[i * dot.omega_step];
            right[i] += implicit_rate(view, i) * work.slope[i] * moved[i] +
                        rate_dot * (work.f[i] - later[i]);
            if (!exists(i)) right[i] = T(0);
        }
        std::copy(right, right + n_, out_dot + first);
        Response(*this, view, layer, later, worker, nullptr).solve(out_dot + first);
    });
    if (config_.is_normalised()) project(layer, out, out_dot, team);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void ImplicitLayers<T>::prepare_tangent(const Parameters<T>&, const Parameters<T>&,   \
                                                     Team&);                                       \
    template void ImplicitLayers<T>::advance_tangent(Bundle&, std::int64_t, const T*, T*, T*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
