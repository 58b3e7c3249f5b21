// Sweeps of networks that are told gamma in the place of omega (config.gamma_dt):
//
//     omega = 1 - exp(-gamma dt),   gamma_bar = dt exp(-gamma dt) omega_bar
//
// dz/dt = gamma (f - z) solved exactly over a layer while f is frozen. A sweep of the same network
// with omega does the work.
#pragma once

#include <memory>

#include "relaxon/base/array.hpp"
#include "relaxon/sweeps/make_sweep.hpp"

namespace relaxon {

// omega of n numbers gamma.
template <class T>
void omega_of_gamma(const T* gamma, std::int64_t n, double dt, T* omega, Team& team);

template <class T>
class GammaSweep final : public Sweep<T> {
public:
    // takes_memory = false: only to be asked for its plan.
    GammaSweep(const NetworkConfig& config, const SweepRequest& request, bool takes_memory);

    const Plan& plan() const override { return plan_; }
    Evaluations evaluations() const override { return inner_->evaluations(); }
    std::optional<AttractorError> unsolved() const override { return inner_->unsolved(); }

    void forward(const Parameters<T>& parameters, const T* x, T* y, bool all_layers,
                 Team& team) override {
        inner_->forward(with_omega(parameters, team), x, y, all_layers, team);
    }
    void settle(const Parameters<T>& parameters, const T* x, T* y, double tolerance,
                std::int64_t* n_layers, Team& team) override {
        inner_->settle(with_omega(parameters, team), x, y, tolerance, n_layers, team);
    }
    double loss(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                Team& team) override {
        return inner_->loss(with_omega(parameters, team), x, target, team);
    }
    double value_and_gradient(const Parameters<T>& parameters, const T* x, const Target<T>& target,
                              const Gradients<T>& gradients, Team& team) override;
    void vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
             const Gradients<T>& gradients, Team& team) override;
    void jvp(const Parameters<T>& parameters, const Parameters<T>& parameters_dot, const T* x,
             const T* x_dot, T* y_dot, Team& team) override;
    Extreme find_extreme(const Parameters<T>& parameters, const T* x, Team& team) override {
        return inner_->find_extreme(with_omega(parameters, team), x, team);
    }

private:
    void carve(Arena& arena);
    const Parameters<T>& with_omega(const Parameters<T>& parameters, Team& team);
    void chain(const T* gamma, const T* bars, T* out, Team& team) const;

    double dt_;
    std::int64_t n_;  // numbers of gamma
    bool is_tangent_;
    std::unique_ptr<Sweep<T>> inner_;
    Plan plan_;
    Block memory_;
    T* omega_ = nullptr;
    T* omega_dot_ = nullptr;
    Parameters<T> parameters_, parameters_dot_;
};

}  // namespace relaxon
