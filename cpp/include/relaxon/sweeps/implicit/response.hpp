// Solves with the Jacobian of one sample's layer at its end, and with the transpose, in place.
#pragma once

#include "relaxon/sweeps/implicit/layers.hpp"

namespace relaxon {

template <class T>
class ImplicitLayers<T>::Response {
public:
    Response(ImplicitLayers& layers, const Layer& view, std::int64_t layer, const T* later,
             int worker, Team* inner)
        : layers_(layers), view_(view), layer_(layer), later_(later),
          worker_(static_cast<std::size_t>(worker)), inner_(inner) {
        if (layers_.line_ && !layers_.is_linear()) {
            auto& line = *layers_.line_;
            line.newton.take_source(view_.drive, line.works[worker_].newton, inner_);
        }
    }

    void solve(T* x) {
        if (!layers_.line_) {
            solver().solve(x, x, 1);
        } else if (auto& line = *layers_.line_; layers_.is_linear() && line.lu_serves) {
            line.lu.solve(x, x, line.works[worker_].lu, inner_);
        } else if (layers_.is_linear() ||
                   !line.newton.solve(later_, x, x, line.works[worker_].newton, inner_)) {
            solver().solve(x, x, 1);
        }
    }

    void solve_transposed(T* x) {
        if (!layers_.line_) {
            solver().solve_transposed(x, x, 1);
        } else if (auto& line = *layers_.line_; layers_.is_linear() && line.lu_serves) {
            line.lu.solve_transposed(x, x, line.works[worker_].lu, inner_);
        } else if (layers_.is_linear() ||
                   !line.newton.solve_transposed(later_, x, x, work().pre, nullptr,
                                                 line.works[worker_].newton, inner_)) {
            solver().solve_transposed(x, x, 1);
        }
    }

private:
    Work& work() { return layers_.works_[worker_]; }

    // The general one, factorised when it is first asked for.
    LinearSolver<T>& solver() {
        if (layers_.is_linear()) return *layers_.shared_;
        LinearSolver<T>& own = layers_.solver_of(work().solver);
        if (is_factorised_) return own;
        layers_.take_entries(layer_);
        layers_.evaluate(view_, later_, work().pre);
        activate_with_derivative(layers_.config_.activation, work().pre, work().f, work().slope,
                                 static_cast<std::size_t>(layers_.n_));
        layers_.factorise(view_, T(0), work(), own);
        own.set_tolerance(kLinearTolerance);
        is_factorised_ = true;
        return own;
    }

    ImplicitLayers& layers_;
    const Layer& view_;
    std::int64_t layer_;
    const T* later_;
    std::size_t worker_;
    Team* inner_;
    bool is_factorised_ = false;
};

template <class T>
template <class F>
void ImplicitLayers<T>::for_each_response(Bundle& bundle, std::int64_t layer, const T* later,
                                          const F& f) {
    Team& team = *bundle.team;
    take_layer(layer, team);
    const Layer all = layer_of(*parameters_, layer);
    const auto visit = [&](std::int64_t sample, int worker, Team* inner) {
        team.poll(worker == 0);
        const Layer view = view_of(all, bundle.drive, sample);
        Response response(*this, view, layer, later + sample * n_, worker, inner);
        try {
            f(sample, worker, response);
        } catch (const SingularError&) {
            NewtonResult result;
            result.status = NewtonStatus::singular;
            fail(layer, sample, result);
        }
    };
    if (line_) {
        for_each_line(team, visit);
    } else {
        for_each_sample(
            team, [&](std::int64_t sample, Work&, int worker) { visit(sample, worker, nullptr); });
    }
}

}  // namespace relaxon
