#include "relaxon/sweeps/implicit/layers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "relaxon/operators/matrix_vector.hpp"
#include "relaxon/sweeps/implicit/problem.hpp"

namespace relaxon {

namespace {

// Factorisations of one sample's layer.
constexpr std::int64_t kMostIterations = 100;

const char* reason_of(NewtonStatus status) {
    switch (status) {
    case NewtonStatus::max_iterations:
        return "no convergence in 100 iterations";
    case NewtonStatus::stalled:
        return "no step lowers the residual";
    case NewtonStatus::singular:
        return "its Jacobian has no inverse";
    default:
        return "numbers are not finite";
    }
}

}  // namespace

template <class T>
ImplicitLayers<T>::ImplicitLayers(const NetworkConfig& config, const SweepRequest& request)
    : FieldLayers<T>(config, request), theta_(std::get<Theta>(config.dynamics).theta),
      wants_omega_(request.wants_omega), matrix_(make_layer_matrix<T>(config, request.wants_omega)),
      jacobian_(matrix_->pattern()) {}

template <class T>
Plan ImplicitLayers<T>::plan(std::int64_t own_bytes) {
    PlanInput input = FieldLayers<T>::plan_input();
    Arena block;
    carve(block, 0);
    input.block_bytes = block.used_bytes() + own_bytes + 2 * kAlignment;
    const std::int64_t n_solvers = is_linear() ? 1 : request_.n_threads;
    input.fixed_bytes += n_solvers * linear_solver_bytes<T>(jacobian_.pattern(), use());
    return make_plan(input);
}

template <class T>
void ImplicitLayers<T>::carve(Arena& arena, std::int64_t n_snapshots) {
    const bool is_gradient = request_.kind == SweepKind::gradient;
    const bool is_tangent = request_.kind == SweepKind::tangent;
    const std::int64_t n_entries = matrix_->pattern().n_entries();
    const std::int64_t n_omega = arrays_.back().size();
    matrix_->carve(arena, request_.n_threads, is_gradient, is_tangent);
    this->carve_shared(arena, n_snapshots);
    scheme_omega_ = arena.take<T>(n_omega);
    entries_ = arena.take<T>(n_entries);
    shift_ = arena.take<T>(n_);
    works_.clear();
    for (int worker = 0; worker < request_.n_threads; ++worker) {
        Work work{};
        for (T** field :
             {&work.pre, &work.f, &work.slope, &work.right, &work.newton.z, &work.newton.residual,
              &work.newton.step, &work.newton.trial, &work.newton.trial_residual}) {
            *field = arena.take<T>(n_);
        }
        work.entries = arena.take<T>(jacobian_.pattern().n_entries());
        works_.push_back(std::move(work));
    }
    if (is_gradient) {
        scheme_omega_bar_ = arena.take<T>(n_omega);
        entries_bar_ = arena.take<T>(n_entries);
        shift_bar_ = arena.take<T>(n_);
        pre_ = arena.take<T>(state_length());
        scaled_ = arena.take<T>(state_length());
    }
    if (config_.is_normalised()) solution_ = arena.take<T>(state_length());
    if (is_tangent) {
        scheme_omega_dot_ = arena.take<T>(n_omega);
        entries_dot_ = arena.take<T>(n_entries);
        shift_dot_ = arena.take<T>(n_);
    }
    if (arena.is_measuring()) return;
    const auto make = [&] {
        auto solver = make_linear_solver<T>(jacobian_.pattern(), use());
        solver->init(jacobian_.pattern());
        return solver;
    };
    if (is_linear()) {
        shared_ = make();
    } else {
        for (Work& work : works_) work.solver = make();
    }
}

template <class T>
void ImplicitLayers<T>::prepare(const Parameters<T>& parameters, Team& team) {
    parameters_ = &parameters;
    const auto scheme = static_cast<T>(1.0 - 2.0 * theta_);
    const std::int64_t n_omega = arrays_.back().size();
    for (std::int64_t i = 0; i < n_omega; ++i) scheme_omega_[i] = scheme * parameters.back()[i];
    scheme_parameters_ = parameters;
    scheme_parameters_.back() = scheme_omega_;
    matrix_->prepare(scheme_parameters_, team);
    set_ = -1;
}

// The entries of a layer and, where f = identity, their factorisation.
template <class T>
void ImplicitLayers<T>::take_layer(std::int64_t layer) {
    // omega, and with it the factorisation, may differ between layers that share W.
    const bool follows_omega = is_linear() && config_.omega() == OmegaKind::layer;
    const std::int64_t set = follows_omega ? layer : matrix_->set_of(layer);
    if (set == set_) return;
    matrix_->assemble(layer, entries_, shift_);
    const Pattern& pattern = matrix_->pattern();
    row_norm_ = 0.0;
    for (std::int64_t row = 0; row < n_; ++row) {
        if (!exists(row)) continue;
        double sum = 0.0;
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            sum += std::abs(static_cast<double>(entries_[i]));
        }
        row_norm_ = std::max(row_norm_, sum);
    }
    if (is_linear()) {
        try {
            factorise(layer_of(*parameters_, layer), T(0), works_[0], *shared_);
        } catch (const SingularError&) {
            throw LayerError(layer, 0, std::numeric_limits<double>::quiet_NaN(),
                             reason_of(NewtonStatus::singular));
        }
    }
    set_ = set;
}

// Z = W z - b, 0 on masked cells.
template <class T>
void ImplicitLayers<T>::evaluate(const Layer& view, const T* z, T* pre) const {
    multiply(matrix_->pattern(), entries_, z, pre);
    for (std::int64_t i = 0; i < n_; ++i) {
        pre[i] = exists(i) ? pre[i] + (shift_[i] - bias(view, i)) : T(0);
    }
}

// r.
template <class T>
void ImplicitLayers<T>::set_right(const Layer& view, const T* z, T growth, Work& work) const {
    const auto weight = static_cast<T>(1.0 - theta_);
    if (theta_ < 1.0) {
        evaluate(view, z, work.pre);
        activate(config_.activation, work.pre, work.f, static_cast<std::size_t>(n_));
    }
    for (std::int64_t i = 0; i < n_; ++i) {
        T right = z[i] - growth * z[i];
        if (theta_ < 1.0) {
            right += weight * view.omega[i * view.omega_step] * (work.f[i] - z[i]);
        }
        work.right[i] = exists(i) ? right : T(0);
    }
}

// 1 + shift + e (1 - f'(Z) W), with the slopes in work.slope.
template <class T>
void ImplicitLayers<T>::factorise(const Layer& view, T shift, Work& work,
                                  LinearSolver<T>& solver) const {
    const auto diagonal = [&](std::int64_t row) {
        return exists(row) ? T(1) + shift + implicit_rate(view, row) : T(1);
    };
    const auto factor = [&](std::int64_t row) {
        if (!exists(row)) return T(0);
        return is_linear() ? implicit_rate(view, row) : implicit_rate(view, row) * work.slope[row];
    };
    jacobian_.fill(entries_, diagonal, factor, work.entries);
    solver.factorise(work.entries);
}

template <class T>
void ImplicitLayers<T>::solve(const Layer& view, std::int64_t layer, std::int64_t sample,
                              const T* z, T* out, Work& work, Team& team, int worker) {
    if (is_linear()) {
        for (std::int64_t i = 0; i < n_; ++i) {
            if (exists(i)) work.right[i] += implicit_rate(view, i) * (shift_[i] - bias(view, i));
        }
        shared_->solve(work.right, out, 1);
        return;
    }
    Problem problem(*this, view, work);
    std::copy(z, z + n_, work.newton.z);
    const NewtonResult result =
        newton(problem, n_, work.newton, kMostIterations, [&] { team.poll(worker == 0); });
    if (result.status != NewtonStatus::converged) fail(layer, sample, result);
    std::copy(work.newton.z, work.newton.z + n_, out);
}

template <class T>
void ImplicitLayers<T>::advance(Bundle& bundle, std::int64_t layer, std::int64_t, T* out, bool) {
    Team& team = *bundle.team;
    take_layer(layer);
    find_growth(bundle.states.current, nullptr, team);
    const Layer all = layer_of(*parameters_, layer);
    for_each_sample(team, [&](std::int64_t sample, Work& work, int worker) {
        const Layer view = view_of(all, bundle.drive, sample);
        const T* z = bundle.states.current + sample * n_;
        set_right(view, z, growth_[sample], work);
        solve(view, layer, sample, z, out + sample * n_, work, team, worker);
    });
    if (config_.is_normalised()) normalise(layer, out, team);
}

// y = |y| z, from z of a layer with hard normalisation.
template <class T>
void ImplicitLayers<T>::restore_size(std::int64_t layer, std::int64_t sample, const T* z,
                                     T* y) const {
    const auto size = static_cast<T>(size_of(layer, sample));
    for (std::int64_t i = sample * n_; i < (sample + 1) * n_; ++i) y[i] = size * z[i];
}

template <class T>
void ImplicitLayers<T>::apply(Bundle& bundle, std::int64_t layer, T* out) {
    take_layer(layer);
    for_each_sample(*bundle.team, [&](std::int64_t sample, Work&, int) {
        T* to = out + sample * n_;
        multiply(matrix_->pattern(), entries_, bundle.states.current + sample * n_, to);
        for (std::int64_t i = 0; i < n_; ++i) to[i] = exists(i) ? to[i] + shift_[i] : T(0);
    });
}

// Of the samples that fail in one loop, the first is told, whoever came to it when.
template <class T>
void ImplicitLayers<T>::fail(std::int64_t layer, std::int64_t sample, const NewtonResult& result) {
    const std::lock_guard<std::mutex> lock(failing_);
    if (failure_ && failure_->sample() < sample) return;
    failure_.emplace(layer, sample, result.residual, reason_of(result.status));
}

template <class T>
void ImplicitLayers<T>::throw_failure() {
    if (!failure_) return;
    const LayerError failure = *failure_;
    failure_.reset();
    throw failure;
}

template class ImplicitLayers<float>;
template class ImplicitLayers<double>;

}  // namespace relaxon
