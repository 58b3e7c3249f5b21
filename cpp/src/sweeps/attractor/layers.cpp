#include "relaxon/sweeps/attractor/layers.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/operators/matrix_vector.hpp"

namespace relaxon {

namespace {

const char* reason_of(NewtonStatus status) {
    switch (status) {
    case NewtonStatus::max_iterations:
        return "no convergence within the iterations allowed";
    case NewtonStatus::stalled:
        return "no step lowers the residual";
    case NewtonStatus::singular:
        return "the Jacobian has no inverse";
    default:
        return "numbers are not finite";
    }
}

}  // namespace

template <class T>
AttractorLayers<T>::AttractorLayers(const NetworkConfig& config, const SweepRequest& request)
    : FieldLayers<T>(config, request), attractor_(std::get<Attractor>(config.dynamics)),
      wants_omega_(request.wants_omega), matrix_(make_layer_matrix<T>(config, request.wants_omega)),
      jacobian_(matrix_->pattern()),
      method_(AttractorSearcher<T>::method_for(attractor_.search, matrix_->pattern())) {
    equation_.grid = config_.grid.get();
    equation_.activation = config_.activation;
    equation_.pattern = &matrix_->pattern();
    equation_.jacobian = &jacobian_;
}

template <class T>
Plan AttractorLayers<T>::plan(std::int64_t own_bytes) {
    PlanInput input = FieldLayers<T>::plan_input();
    Arena block;
    carve(block, 0);
    input.block_bytes = block.used_bytes() + own_bytes + 2 * kAlignment;
    const std::int64_t n_solvers = is_linear() ? 1 : request_.n_threads;
    const Use use = is_linear() ? Use::often : Use::once;
    input.fixed_bytes += n_solvers * linear_solver_bytes<T>(jacobian_.pattern(), use);
    return make_plan(input);
}

template <class T>
void AttractorLayers<T>::carve(Arena& arena, std::int64_t n_snapshots) {
    const bool is_gradient = request_.kind == SweepKind::gradient;
    const bool is_tangent = request_.kind == SweepKind::tangent;
    const std::int64_t n_entries = matrix_->pattern().n_entries();
    matrix_->carve(arena, request_.n_threads, is_gradient, is_tangent);
    this->carve_shared(arena, n_snapshots);
    entries_ = arena.take<T>(n_entries);
    offset_ = arena.take<T>(n_);
    equation_.entries = entries_;
    equation_.offset = offset_;
    searchers_.clear();
    searchers_.resize(static_cast<std::size_t>(request_.n_threads));
    for (AttractorSearcher<T>& searcher : searchers_) {
        searcher.carve(arena, jacobian_.pattern(), method_);
    }
    if (is_gradient) {
        entries_bar_ = arena.take<T>(n_entries);
        shift_bar_ = arena.take<T>(n_);
        pre_ = arena.take<T>(state_length());
    }
    if (is_tangent) {
        entries_dot_ = arena.take<T>(n_entries);
        offset_dot_ = arena.take<T>(n_);
        moved_ = arena.take<T>(request_.n_threads * n_);
    }
    if (arena.is_measuring() || !is_linear()) return;
    shared_ = make_linear_solver<T>(jacobian_.pattern(), Use::often);
    shared_->init(jacobian_.pattern());
}

template <class T>
void AttractorLayers<T>::prepare(const Parameters<T>& parameters, Team& team) {
    parameters_ = &parameters;
    unsolved_.reset();
    matrix_->prepare(parameters, team);
    matrix_->assemble(0, entries_, offset_);
    const Layer view = layer_of(parameters, 0);
    for (std::int64_t i = 0; view.bias && i < n_; ++i) offset_[i] -= view.bias[i * view.bias_step];
    equation_.measure();
    for (AttractorSearcher<T>& searcher : searchers_) {
        searcher.take(equation_, shared_.get(), static_cast<double>(*view.omega));
    }
    is_singular_ = false;
    if (!is_linear()) return;
    try {
        searchers_[0].factorise_for(searchers_);
    } catch (const SingularError&) {
        is_singular_ = true;
    }
}

template <class T>
AttractorResult AttractorLayers<T>::find(std::int64_t sample, const T* source, const T* start, T* z,
                                         Team& team, int worker, std::vector<double>* history) {
    AttractorSearcher<T>& searcher = searchers_[static_cast<std::size_t>(worker)];
    AttractorResult result;
    if (is_singular_ && method_ == AttractorMethod::newton) {
        result.status = NewtonStatus::singular;
        result.residual = searcher.residual(source, start);
        std::copy(start, start + n_, z);
    } else {
        const auto poll = [&] { team.poll(worker == 0); };
        result = searcher.find(attractor_.search, method_, source, start, z, poll, history);
    }
    if (result.status != NewtonStatus::converged) note(sample, result);
    return result;
}

template <class T>
void AttractorLayers<T>::advance(Bundle& bundle, std::int64_t, std::int64_t, T* out,
                                 bool is_reversed) {
    const bool must_solve = request_.kind != SweepKind::forward && !request_.allows_unsolved;
    for_each_sample(
        *bundle.team, [&](std::int64_t sample, AttractorSearcher<T>& searcher, int worker) {
            const T* source = source_of(bundle, sample);
            const T* start = bundle.states.current + sample * n_;
            T* z = out + sample * n_;
            const AttractorResult result =
                find(sample, source, start, z, *bundle.team, worker, nullptr);
            const bool is_differentiated = is_reversed || request_.kind == SweepKind::tangent;
            if (is_differentiated && result.status == NewtonStatus::converged) {
                searcher.polish(source, z);
            }
        });
    if (must_solve && unsolved_) throw *unsolved_;
}

template <class T>
void AttractorLayers<T>::apply(Bundle& bundle, std::int64_t, T* out) {
    const Layer view = layer_of(*parameters_, 0);
    for_each_sample(*bundle.team, [&](std::int64_t sample, AttractorSearcher<T>&, int) {
        T* to = out + sample * n_;
        equation_.evaluate(bundle.states.current + sample * n_, nullptr, to);
        for (std::int64_t i = 0; view.bias && i < n_; ++i) {
            if (exists(i)) to[i] += view.bias[i * view.bias_step];
        }
    });
}

template <class T>
AttractorFindings AttractorLayers<T>::find(const Parameters<T>& parameters,
                                           const AttractorFields<T>& fields, bool wants_histories,
                                           Team& team) {
    const FlushToZero flush;
    prepare(parameters, team);
    AttractorFindings found;
    found.contraction = equation_.contraction;
    found.results.resize(static_cast<std::size_t>(request_.batch));
    found.histories.resize(wants_histories ? found.results.size() : 0);
    for_each_sample(team, [&](std::int64_t sample, AttractorSearcher<T>& searcher, int worker) {
        const auto place = static_cast<std::size_t>(sample);
        const std::int64_t first = sample * n_;
        const T* source = fields.sources ? fields.sources + first : nullptr;
        T* z = fields.z + first;
        found.results[place] = find(sample, source, fields.starts + first, z, team, worker,
                                    wants_histories ? &found.histories[place] : nullptr);
        if (!fields.slopes) return;
        searcher.residual(source, z);
        std::copy(searcher.slope(), searcher.slope() + n_, fields.slopes + first);
    });
    return found;
}

template <class T>
void AttractorLayers<T>::note(std::int64_t sample, const AttractorResult& result) {
    note(sample, result.residual, reason_of(result.status));
}

// Of the samples that fail, the first is told, whoever came to it when.
template <class T>
void AttractorLayers<T>::note(std::int64_t sample, double residual, const char* reason) {
    const std::lock_guard<std::mutex> lock(noting_);
    if (unsolved_ && unsolved_->sample() < sample) return;
    unsolved_.emplace(sample, residual, reason);
}

template class AttractorLayers<float>;
template class AttractorLayers<double>;

}  // namespace relaxon
