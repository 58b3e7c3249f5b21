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

std::int64_t pattern_bytes(const Pattern& pattern) {
    if (pattern.is_full()) return 0;
    return (pattern.n() + 1 + pattern.n_entries()) *
           static_cast<std::int64_t>(sizeof(std::int64_t));
}

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
      wants_omega_(request.wants_omega),
      matrix_(make_layer_matrix<T>(config, request.wants_omega)) {
    if (matrix_->is_line()) {
        line_.emplace(n_, request.batch, request.n_threads);
    } else {
        jacobian_.emplace(matrix_->pattern());
    }
}

// Of a line, made when the general way is first taken.
template <class T>
const ShiftedPattern& ImplicitLayers<T>::jacobian() {
    const std::lock_guard<std::mutex> lock(making_);
    if (!jacobian_) jacobian_.emplace(matrix_->pattern());
    return *jacobian_;
}

template <class T>
LinearSolver<T>& ImplicitLayers<T>::solver_of(std::unique_ptr<LinearSolver<T>>& place) {
    if (!place) {
        const Pattern& pattern = jacobian().pattern();
        place = make_linear_solver<T>(pattern, use());
        place->init(pattern);
    }
    return *place;
}

template <class T>
Plan ImplicitLayers<T>::plan(std::int64_t own_bytes) {
    PlanInput input = FieldLayers<T>::plan_input();
    Arena block;
    carve(block, 0);
    input.block_bytes = block.used_bytes() + own_bytes + 2 * kAlignment;
    input.fixed_bytes += solver_bytes();
    return make_plan(input);
}

// What lines need for the general way, and planes for a sparse LU after iterations in vain, is not
// counted.
template <class T>
std::int64_t ImplicitLayers<T>::solver_bytes() const {
    if (line_) return config_.op->is_stencil() ? 0 : pattern_bytes(matrix_->pattern());
    const std::int64_t n_solvers = is_linear() ? 1 : n_works();
    const Pattern& pattern = jacobian_->pattern();
    // W's, beside the Jacobian's a copy of it, and where the entries of W go.
    return pattern_bytes(matrix_->pattern()) + 3 * pattern_bytes(pattern) +
           n_solvers * linear_solver_bytes<T>(pattern, use());
}

template <class T>
void ImplicitLayers<T>::carve(Arena& arena, std::int64_t n_snapshots) {
    const bool is_gradient = request_.kind == SweepKind::gradient;
    const bool is_tangent = request_.kind == SweepKind::tangent;
    const std::int64_t n_entries = line_ ? 3 * n_ : matrix_->pattern().n_entries();
    const std::int64_t n_omega = arrays_.back().size();
    matrix_->carve(arena, request_.n_threads, is_gradient, is_tangent);
    this->carve_shared(arena, n_snapshots);
    scheme_omega_ = arena.take<T>(n_omega);
    entries_ = arena.take<T>(n_entries);
    shift_ = arena.take<T>(n_);
    works_.clear();
    if (line_) {
        line_->carve(arena, {is_linear(), theta_ < 1.0, config_.drive(), is_gradient,
                             matrix_->has_shift() || config_.bias != BiasKind::none, wants_omega_});
    }
    for (int worker = 0; worker < n_works(); ++worker) {
        Work work{};
        for (T** field :
             {&work.pre, &work.f, &work.slope, &work.right, &work.newton.z, &work.newton.residual,
              &work.newton.step, &work.newton.trial, &work.newton.trial_residual}) {
            *field = arena.take<T>(n_);
        }
        work.entries = arena.take<T>(line_ ? 3 * n_ : jacobian_->pattern().n_entries());
        works_.push_back(std::move(work));
    }
    if (is_gradient) {
        scheme_omega_bar_ = arena.take<T>(n_omega);
        if (!line_) {
            entries_bar_ = arena.take<T>(n_entries);
            shift_bar_ = arena.take<T>(n_);
            pre_ = arena.take<T>(state_length());
            scaled_ = arena.take<T>(state_length());
        }
    }
    if (config_.is_normalised()) solution_ = arena.take<T>(state_length());
    if (is_tangent) {
        scheme_omega_dot_ = arena.take<T>(n_omega);
        entries_dot_ = arena.take<T>(n_entries);
        shift_dot_ = arena.take<T>(n_);
    }
    if (arena.is_measuring() || line_) return;
    if (is_linear()) {
        solver_of(shared_);
    } else {
        for (Work& work : works_) solver_of(work.solver);
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
    set_ = entries_set_ = -1;
}

// The entries of a layer and, where f = identity, their factorisation.
template <class T>
void ImplicitLayers<T>::take_layer(std::int64_t layer, Team& team) {
    // omega, and with it what is made of it here, may differ between layers that share W.
    const bool follows_omega = (is_linear() || line_) && config_.omega() == OmegaKind::layer;
    const std::int64_t set = follows_omega ? layer : matrix_->set_of(layer);
    if (set == set_) return;
    const Layer view = layer_of(*parameters_, layer);
    set_ = set;
    if (line_) {
        take_line(view, layer, team);
    } else {
        take_entries(layer);
    }
    if (is_linear() && !(line_ && line_->lu_serves)) {
        take_entries(layer);
        try {
            factorise(view, T(0), works_[0], solver_of(shared_));
        } catch (const SingularError&) {
            set_ = -1;
            throw LayerError(layer, 0, std::numeric_limits<double>::quiet_NaN(),
                             reason_of(NewtonStatus::singular));
        }
    }
}

// The entries of the layer that is taken; of a line, by the first sample that goes the general way.
template <class T>
void ImplicitLayers<T>::take_entries(std::int64_t layer) {
    const std::lock_guard<std::mutex> lock(making_);
    if (entries_set_ == set_) return;
    matrix_->assemble(layer, entries_, shift_);
    find_norm();
    entries_set_ = set_;
}

// What is_solved of the problem asks first.
template <class T>
void ImplicitLayers<T>::find_norm() {
    row_norm_ = 0.0;
    const Pattern& pattern = matrix_->pattern();
    for (std::int64_t row = 0; row < n_; ++row) {
        if (!exists(row)) continue;
        double sum = 0.0;
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            sum += std::abs(static_cast<double>(entries_[i]));
        }
        row_norm_ = std::max(row_norm_, sum);
    }
}

// Z = W z - b, 0 on masked cells.
template <class T>
void ImplicitLayers<T>::evaluate(const Layer& view, const T* z, T* pre) const {
    if (line_) {
        evaluate_line(view, z, 0, n_, pre);
        return;
    }
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
void ImplicitLayers<T>::factorise(const Layer& view, T shift, Work& work, LinearSolver<T>& solver) {
    const auto diagonal = [&](std::int64_t row) {
        return exists(row) ? T(1) + shift + implicit_rate(view, row) : T(1);
    };
    const auto factor = [&](std::int64_t row) {
        if (!exists(row)) return T(0);
        return is_linear() ? implicit_rate(view, row) : implicit_rate(view, row) * work.slope[row];
    };
    jacobian().fill(entries_, diagonal, factor, work.entries);
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
    take_layer(layer, team);
    find_growth(bundle.states.current, nullptr, team);
    const Layer all = layer_of(*parameters_, layer);
    if (line_) {
        for_each_line(team, [&](std::int64_t sample, int worker, Team* inner) {
            const std::int64_t first = sample * n_;
            solve_line(view_of(all, bundle.drive, sample), layer, sample,
                       bundle.states.current + first, out + first, worker, team, inner);
        });
    } else {
        for_each_sample(team, [&](std::int64_t sample, Work& work, int worker) {
            const Layer view = view_of(all, bundle.drive, sample);
            const T* z = bundle.states.current + sample * n_;
            set_right(view, z, growth_[sample], work);
            solve(view, layer, sample, z, out + sample * n_, work, team, worker);
        });
    }
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
    take_layer(layer, *bundle.team);
    take_entries(layer);
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
