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
      method_(AttractorSearcher<T>::method_for(attractor_.search, *matrix_)) {
    equation_.grid = config_.grid.get();
    equation_.activation = config_.activation;
    equation_.assemble = [this] { assemble_once(); };
    equation_.jacobian = [this]() -> const ShiftedPattern& { return jacobian(); };
    const bool is_newton = method_ == AttractorMethod::newton && !is_linear();
    if (is_newton && matrix_->is_line()) line_.emplace(n_);
}

template <class T>
const ShiftedPattern& AttractorLayers<T>::jacobian() {
    const std::lock_guard<std::mutex> lock(making_);
    if (!jacobian_) jacobian_.emplace(matrix_->pattern());
    return *jacobian_;
}

template <class T>
bool AttractorLayers<T>::shares_lines() const {
    const std::int64_t n_threads = request_.n_threads;
    return line_ && line_->cut().n_stretches() >= 8 * n_threads && request_.batch < 4 * n_threads;
}

template <class T>
Plan AttractorLayers<T>::plan(std::int64_t own_bytes) {
    PlanInput input = FieldLayers<T>::plan_input();
    Arena block;
    carve(block, 0);
    input.block_bytes = block.used_bytes() + own_bytes + 2 * kAlignment;
    if (!line_) {
        const std::int64_t n_solvers = is_linear() ? 1 : n_searchers();
        const Use use = is_linear() ? Use::often : Use::once;
        input.fixed_bytes += n_solvers * linear_solver_bytes<T>(jacobian().pattern(), use);
    }
    return make_plan(input);
}

template <class T>
void AttractorLayers<T>::carve(Arena& arena, std::int64_t n_snapshots) {
    const bool is_gradient = request_.kind == SweepKind::gradient;
    const bool is_tangent = request_.kind == SweepKind::tangent;
    matrix_->carve(arena, request_.n_threads, is_gradient, is_tangent);
    carve_bundle(arena, n_snapshots);
    searchers_.clear();
    searchers_.resize(static_cast<std::size_t>(n_searchers()));
    if (line_) {
        const bool is_uniform = matrix_->is_uniform() && config_.bias != BiasKind::local;
        line_->carve(arena, config_.grid->has_mask(), is_uniform);
        for (AttractorSearcher<T>& searcher : searchers_) {
            searcher.carve(arena, *line_, attractor_.drive);
        }
    } else {
        entries_ = arena.take<T>(n_entries());
        offset_ = arena.take<T>(n_);
        for (AttractorSearcher<T>& searcher : searchers_) {
            searcher.carve(arena, n_, jacobian().pattern().n_entries(), method_);
        }
        if (is_gradient) {
            entries_bar_ = arena.take<T>(n_entries());
            shift_bar_ = arena.take<T>(n_);
        }
    }
    if (is_tangent) {
        entries_dot_ = arena.take<T>(n_entries());
        offset_dot_ = arena.take<T>(n_);
        moved_ = arena.take<T>(n_searchers() * n_);
    }
    if (arena.is_measuring() || !is_linear()) return;
    shared_ = make_linear_solver<T>(jacobian().pattern(), Use::often);
    shared_->init(jacobian().pattern());
}

// What the walk through the layers asks for, of which there is one: a state besides the first, and
// one cotangent, which the source's and s share.
template <class T>
void AttractorLayers<T>::carve_bundle(Arena& arena, std::int64_t n_snapshots) {
    const std::int64_t length = state_length();
    const bool has_mask = config_.grid->has_mask();
    bundles_.assign(1, Bundle());
    Bundle& bundle = bundles_[0];
    const int n_states = has_mask && !attractor_.drive ? 2 : 1;
    for (int i = 0; i < n_states; ++i) bundle.states.scratch[i] = arena.take<T>(length);
    if (attractor_.drive && has_mask) bundle.drive = arena.take<T>(length);
    if (request_.kind == SweepKind::tangent) {
        if (attractor_.drive) bundle.drive_dot = arena.take<T>(length);
        for (T*& field : bundle.tangents) field = arena.take<T>(length);
    }
    if (request_.kind != SweepKind::gradient) return;
    bundle.lambda[0] = arena.take<T>(length);
    if (attractor_.drive) bundle.drive_bar = bundle.lambda[0];
    bias_sums_ = arena.take<OrderedSum>(config_.n_sets() * n_blocks_);
    omega_sums_ = arena.take<OrderedSum>(n_blocks_);
    bundle.schedule = arena.take<std::int64_t>(n_snapshots);
}

template <class T>
void AttractorLayers<T>::load(Bundle& bundle, const T* x) {
    bundle.states.current = nullptr;
    if (x) FieldLayers<T>::load(bundle, x);
}

template <class T>
void AttractorLayers<T>::load_drive(Bundle& bundle, const T* x) {
    sources_ = x;
    if (!bundle.drive) return;
    std::copy(x, x + state_length(), bundle.drive);
    this->zero_masked(bundle.drive, 0, n_);
    sources_ = bundle.drive;
}

template <class T>
void AttractorLayers<T>::unload(const Bundle& bundle, const T* z, T* cells,
                                std::int64_t stride) const {
    Team* inner = shares_lines() ? bundle.team : nullptr;
    for (std::int64_t sample = 0; sample < request_.batch; ++sample) {
        for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
            T* to = cells + sample * stride;
            if (z) {
                std::copy(z + sample * n_ + begin, z + sample * n_ + end, to + begin);
            } else {
                std::fill(to + begin, to + end, T(0));
            }
        });
    }
}

template <class T>
void AttractorLayers<T>::assemble(T* entries, T* offset) {
    matrix_->assemble(0, entries, offset);
    const Layer view = layer_of(*parameters_, 0);
    for (std::int64_t i = 0; view.bias && i < n_; ++i) offset[i] -= view.bias[i * view.bias_step];
    equation_.pattern = &matrix_->pattern();
    equation_.entries = entries;
    equation_.offset = offset;
}

// Of a line, from whichever worker asks first.
template <class T>
void AttractorLayers<T>::assemble_once() {
    const std::lock_guard<std::mutex> lock(making_);
    if (equation_.entries) return;
    if (!entries_) {
        const auto take = [&](Arena arena) {
            entries_ = arena.take<T>(n_entries());
            offset_ = arena.take<T>(n_);
            return arena.used_bytes();
        };
        line_entries_ = Block(take(Arena()));
        take(Arena(line_entries_));
    }
    assemble(entries_, offset_);
}

// In the place of searches to come.
template <class T>
void AttractorLayers<T>::prepare_line(Team& team) {
    const auto& place = searchers_[0].line_work();
    const ThreePoint<T> points{n_, place.z, place.fill, place.ratio};
    T *offset = place.value, *weights = place.slope;
    const bool has_mask = config_.grid->has_mask();
    const Layer view = layer_of(*parameters_, 0);
    Team* inner = shares_lines() ? &team : nullptr;
    matrix_->assemble_line(0, points, offset, inner);
    RowBounds bounds(config_.activation);
    for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
        RowBounds own(config_.activation);
        for (std::int64_t i = begin; i < end; ++i) {
            if (has_mask) weights[i] = exists(i) ? T(1) : T(0);
            if (view.bias) offset[i] -= view.bias[i * view.bias_step];
            if (!exists(i)) {
                offset[i] = T(0);
                continue;
            }
            const double others = std::abs(static_cast<double>(points.lower[i])) +
                                  std::abs(static_cast<double>(points.upper[i]));
            own.add(points.diagonal[i], others, offset[i]);
        }
        const std::lock_guard<std::mutex> lock(making_);
        bounds.add(own);
    });
    equation_.take(bounds);
    line_->set({points, offset, has_mask ? weights : nullptr, T(0), config_.activation}, inner);
}

template <class T>
void AttractorLayers<T>::prepare(const Parameters<T>& parameters, Team& team) {
    parameters_ = &parameters;
    unsolved_.reset();
    matrix_->prepare(parameters, team);
    equation_.entries = nullptr;
    if (line_) {
        prepare_line(team);
    } else {
        assemble(entries_, offset_);
        equation_.measure();
    }
    const auto omega = static_cast<double>(*layer_of(parameters, 0).omega);
    for (AttractorSearcher<T>& searcher : searchers_) {
        searcher.take(equation_, shared_.get(), omega);
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
                                         bool is_polished, Team& team, int worker,
                                         std::vector<double>* history) {
    AttractorSearcher<T>& searcher = searchers_[static_cast<std::size_t>(worker)];
    AttractorResult result;
    if (is_singular_ && method_ == AttractorMethod::newton) {
        result.status = NewtonStatus::singular;
        if (start) {
            std::copy(start, start + n_, z);
        } else {
            std::fill(z, z + n_, T(0));
        }
        result.residual = searcher.residual(source, z);
    } else {
        const auto poll = [&] { team.poll(worker == 0); };
        result = searcher.find(attractor_.search, method_, source, start, z, is_polished, poll,
                               history, shares_lines() ? &team : nullptr);
    }
    if (result.status != NewtonStatus::converged) note(sample, result);
    return result;
}

template <class T>
void AttractorLayers<T>::advance(Bundle& bundle, std::int64_t, std::int64_t, T* out,
                                 bool is_reversed) {
    const bool must_solve = request_.kind != SweepKind::forward && !request_.allows_unsolved;
    const bool is_polished = is_reversed || request_.kind == SweepKind::tangent;
    for_each_sample(*bundle.team, [&](std::int64_t sample, AttractorSearcher<T>&, int worker) {
        find(sample, source_of(sample), start_of(bundle, sample), out + sample * n_, is_polished,
             *bundle.team, worker, nullptr);
    });
    if (must_solve && unsolved_) throw *unsolved_;
}

template <class T>
void AttractorLayers<T>::apply(Bundle& bundle, std::int64_t, T* out) {
    const Layer view = layer_of(*parameters_, 0);
    assemble_once();
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
        found.results[place] = find(sample, source, fields.starts + first, z, false, team, worker,
                                    wants_histories ? &found.histories[place] : nullptr);
        if (!fields.slopes) return;
        searcher.find_slopes(source, z, fields.slopes + first, shares_lines() ? &team : nullptr);
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
