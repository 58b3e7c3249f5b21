#include "relaxon/sweeps/gamma.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/base/error.hpp"

namespace relaxon {

namespace {

// Numbers that a task takes, by shape alone.
constexpr std::int64_t kPart = 4096;

// f(i) for i in [0, n).
template <class F>
void for_each(std::int64_t n, Team& team, const F& f) {
    team.parallel_for((n + kPart - 1) / kPart, [&](std::int64_t part, int) {
        const std::int64_t end = std::min((part + 1) * kPart, n);
        for (std::int64_t i = part * kPart; i < end; ++i) f(i);
    });
}

NetworkConfig with_omega_config(NetworkConfig config) {
    config.gamma_dt = 0.0;
    return config;
}

}  // namespace

template <class T>
void omega_of_gamma(const T* gamma, std::int64_t n, double dt, T* omega, Team& team) {
    for_each(n, team, [&](std::int64_t i) {
        // Without the cancellation of 1 - exp.
        omega[i] = static_cast<T>(-std::expm1(-dt * static_cast<double>(gamma[i])));
    });
}

template <class T>
GammaSweep<T>::GammaSweep(const NetworkConfig& config, const SweepRequest& request,
                          bool takes_memory)
    : dt_(config.gamma_dt), is_tangent_(request.kind == SweepKind::tangent) {
    const std::vector<ParameterArray> arrays = parameter_arrays(config);
    n_ = arrays.back().size();
    const NetworkConfig inner = with_omega_config(config);
    SweepRequest inner_request = request;
    Arena measure;
    carve(measure);
    const std::int64_t own_bytes = measure.used_bytes();
    if (request.memory_bytes >= 0) {
        inner_request.memory_bytes = -1;
        const std::int64_t minimum = plan_sweep<T>(inner, inner_request).minimum_bytes + own_bytes;
        if (request.memory_bytes < minimum) throw BudgetError(request.memory_bytes, minimum);
        inner_request.memory_bytes = request.memory_bytes - own_bytes;
    }
    plan_ = plan_sweep<T>(inner, inner_request);
    plan_.fixed_bytes += own_bytes;
    plan_.minimum_bytes += own_bytes;
    plan_.total_bytes += own_bytes;
    if (!takes_memory) return;
    inner_ = make_sweep<T>(inner, inner_request);
    memory_ = Block(own_bytes);
    Arena arena(memory_);
    carve(arena);
    parameters_.resize(arrays.size());
    parameters_dot_.resize(arrays.size());
}

template <class T>
void GammaSweep<T>::carve(Arena& arena) {
    omega_ = arena.take<T>(n_);
    if (is_tangent_) omega_dot_ = arena.take<T>(n_);
}

template <class T>
const Parameters<T>& GammaSweep<T>::with_omega(const Parameters<T>& parameters, Team& team) {
    omega_of_gamma(parameters.back(), n_, dt_, omega_, team);
    parameters_ = parameters;
    parameters_.back() = omega_;
    return parameters_;
}

// out = dt exp(-gamma dt) bars, which may be its own place.
template <class T>
void GammaSweep<T>::chain(const T* gamma, const T* bars, T* out, Team& team) const {
    for_each(n_, team, [&](std::int64_t i) {
        const double slope = dt_ * std::exp(-dt_ * static_cast<double>(gamma[i]));
        // On masked cells gamma may be anything.
        out[i] = bars[i] == T(0) ? T(0) : static_cast<T>(slope * static_cast<double>(bars[i]));
    });
}

template <class T>
double GammaSweep<T>::value_and_gradient(const Parameters<T>& parameters, const T* x,
                                         const Target<T>& target, const Gradients<T>& gradients,
                                         Team& team) {
    const double value =
        inner_->value_and_gradient(with_omega(parameters, team), x, target, gradients, team);
    T* bars = gradients.arrays.back();
    if (bars) chain(parameters.back(), bars, bars, team);
    return value;
}

template <class T>
void GammaSweep<T>::vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
                        const Gradients<T>& gradients, Team& team) {
    inner_->vjp(with_omega(parameters, team), x, y_bar, gradients, team);
    T* bars = gradients.arrays.back();
    if (bars) chain(parameters.back(), bars, bars, team);
}

template <class T>
void GammaSweep<T>::jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot,
                        const T* x, const T* x_dot, T* y_dot, Team& team) {
    chain(parameters.back(), parameters_dot.back(), omega_dot_, team);
    parameters_dot_ = parameters_dot;
    parameters_dot_.back() = omega_dot_;
    inner_->jvp(with_omega(parameters, team), parameters_dot_, x, x_dot, y_dot, team);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void omega_of_gamma<T>(const T*, std::int64_t, double, T*, Team&);                    \
    template class GammaSweep<T>;
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
