#include "relaxon/training/on_the_fly.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "relaxon/base/error.hpp"
#include "relaxon/base/sum.hpp"
#include "relaxon/solvers/bordered_blocks.hpp"
#include "relaxon/training/penalty.hpp"

namespace relaxon {

namespace {

// Of its first value: beyond it V has run away.
constexpr double kMostGrowth = 10.0;
// Of a step, and how much of what V' promises it has to lower V by: half, where V is a parabola.
constexpr int kMostHalvings = 10;
constexpr double kDecrease = 0.25;

// One layer of the network alone.
NetworkConfig one_layer_of(NetworkConfig config) {
    require(config.op->is_stencil() && !std::holds_alternative<Attractor>(config.dynamics),
            "network", "layers over a stencil", "others");
    const OmegaKind omega = config.omega() == OmegaKind::cell ? OmegaKind::cell : OmegaKind::scalar;
    const auto cut = [&](auto& layers) {
        layers.depth = 1;
        layers.omega = omega;
        layers.normalization = Normalization::none;
    };
    std::visit(cut, config.dynamics);
    config.gamma_dt = 0.0;
    return config;
}

// What V may come to by rounding the targets: first values below it say nothing.
template <class T>
double rounding_value(const Target<T>& target, const Grid& grid, std::int64_t batch) {
    const T unit = T(100) * std::numeric_limits<T>::epsilon();
    OrderedSum sum;
    with_distance<T>(target.loss, [&](const auto& distance) {
        for (std::int64_t i = 0; i < batch * grid.n_cells(); ++i) {
            const std::int64_t cell = i % grid.n_cells();
            const T* w = target.weights;
            const T weight = w ? w[target.weights_are_shared ? cell : i] : T(1);
            if (weight == T(0) || !grid.exists(cell)) continue;
            sum.add(static_cast<double>(weight * distance.value(unit * target.y[i])));
        }
    });
    return sum.value() / static_cast<double>(batch);
}

double inverse(double value) { return value > 0.0 ? 1.0 / value : 0.0; }

}  // namespace

template <class T>
OnTheFly<T>::OnTheFly(const OnTheFlyProblem<T>& problem, const OnTheFlyOptions& options)
    : problem_(problem), options_(options), layer_config_(one_layer_of(problem.config)),
      layer_(layer_config_, problem.batch, problem.n_threads),
      n_cells_(problem.config.grid->n_cells()) {
    for (std::int64_t cell = 0; cell < n_cells_; ++cell) {
        n_existing_ += problem.config.grid->exists(cell) ? 1 : 0;
    }
    const std::size_t n_arrays = layer_.unknowns().n_arrays;
    view_.resize(n_arrays + 1);
    parameters_.resize(n_arrays);
    scales_.resize(n_arrays);
    find_strengths();
    shared_velocity_.resize(static_cast<std::size_t>(layer_.unknowns().n_shared));
    Arena measure;
    carve(measure);
    total_bytes_ = measure.used_bytes() + layer_.solver_bytes();
    if (problem.memory_bytes >= 0 && problem.memory_bytes < total_bytes_) {
        throw BudgetError(problem.memory_bytes, total_bytes_);
    }
    memory_ = Block(measure.used_bytes());
    Arena arena(memory_);
    carve(arena);
    const Target<T>& target = problem.target;
    target_ = {problem.x, target.y, target.weights, target.weights_are_shared, target.loss, 1.0};
}

// What couples the cells.
template <class T>
void OnTheFly<T>::find_strengths() {
    const LayerUnknowns& unknowns = layer_.unknowns();
    system_.strengths.resize(static_cast<std::size_t>(unknowns.n_local));
    for (const Penalty& penalty : problem_.penalties) {
        if (penalty.kind != PenaltyKind::smoothness || penalty.strength == 0.0) continue;
        is_smooth_ = true;
        for (const LayerUnknowns::Component& own : unknowns.components) {
            if (own.array != penalty.array) continue;
            system_.strengths[static_cast<std::size_t>(own.place)] += penalty.strength;
        }
    }
    system_.blocks.n_local = unknowns.n_local;
    system_.blocks.n_shared = unknowns.n_shared;
    system_.blocks.n_cells = n_cells_;
    system_.grid = problem_.config.grid.get();
}

template <class T>
void OnTheFly<T>::carve(Arena& arena) {
    layer_.carve(arena);
    if (is_smooth_) smoothness_ = arena.take<double>(n_cells_);
    if (is_smooth_ && options_.method == LayerMethod::newton) {
        scratch_ = arena.take<double>(scratch_size(system_));
    }
    if (is_implicit()) gradient_ = arena.take<double>(layer_.unknowns().n_local * n_cells_);
    if (options_.method == LayerMethod::second_order) {
        velocity_ = arena.take_zeroed<double>(layer_.unknowns().n_local * n_cells_);
    }
    if (is_smooth_ && !arena.is_measuring()) smoothness_diagonal(*system_.grid, smoothness_);
    const LayerSums& sums = layer_.sums();
    system_.blocks.blocks = sums.matrix;
    system_.blocks.coupling = sums.coupling;
    system_.blocks.border = sums.shared_matrix;
    system_.diagonal = smoothness_;
}

// f(value, gradient, velocity, array) for every unknown of an existing cell and every shared one.
template <class T>
template <class F>
void OnTheFly<T>::for_each_unknown(const F& f) {
    const LayerSums& sums = layer_.sums();
    const Grid& grid = *layer_config_.grid;
    double unused = 0.0;
    for (const LayerUnknowns::Component& own : layer_.unknowns().components) {
        T* const p = parameters_[own.array] + own.offset;
        if (!own.is_local) {
            f(*p, sums.shared_gradient[own.place],
              shared_velocity_[static_cast<std::size_t>(own.place)], own.array);
            continue;
        }
        const std::int64_t start = own.place * n_cells_;
        for (std::int64_t cell = 0; cell < n_cells_; ++cell) {
            if (!grid.exists(cell)) continue;
            f(p[cell], sums.gradient[start + cell], velocity_ ? velocity_[start + cell] : unused,
              own.array);
        }
    }
}

template <class T>
bool OnTheFly<T>::run(Team& team) {
    const FlushToZero flush;
    const std::int64_t depth = problem_.config.depth();
    const std::vector<ParameterArray> arrays = parameter_arrays(layer_config_);
    const std::int64_t omega_step = problem_.config.omega() == OmegaKind::layer ? 1 : 0;
    layer_.load(problem_.x, team);
    const bool chooses = is_implicit() && options_.method != LayerMethod::second_order;
    for (std::size_t i = 0; chooses && i < parameters_.size(); ++i) {
        const T* first = problem_.parameters[i];
        start_.emplace_back(first, first + arrays[i].size());
    }
    for (std::int64_t layer = 0; layer < depth; ++layer) {
        for (std::size_t i = 0; i < parameters_.size(); ++i) {
            const std::int64_t n = arrays[i].size();
            T* own = problem_.parameters[i] + layer * n;
            if (layer > 0) std::copy(own - n, own, own);
            parameters_[i] = own;
            view_[i] = own;
        }
        view_.back() = problem_.omega + layer * omega_step;
        if (options_.follows_path) {
            target_.part = static_cast<double>(layer + 1) / static_cast<double>(depth);
        }
        LayerRecord record;
        bool is_fine = false;
        try {
            if (chooses && layer > 0) choose_start(team);
            is_fine = train_layer(layer, record, team);
        } catch (const LayerError& error) {
            failure_ = LayerError(layer, error.sample(), error.residual(), error.reason()).what();
            record.loss = std::numeric_limits<double>::quiet_NaN();
        }
        records_.push_back(record);
        if (!is_fine) return false;
    }
    return true;
}

template <class T>
bool OnTheFly<T>::is_lost(const Value& value) const {
    return !std::isfinite(value.total()) || value.total() > kMostGrowth * first_value_;
}

template <class T>
typename OnTheFly<T>::Value OnTheFly<T>::evaluate(LayerDerivatives wanted, Team& team) {
    Value value;
    value.loss = layer_.evaluate(view_, target_, wanted, team);
    value.penalty = penalize(wanted);
    return value;
}

// Value of the penalties of the layer; their derivatives are added to the sums.
template <class T>
double OnTheFly<T>::penalize(LayerDerivatives wanted) {
    const Grid& grid = *layer_config_.grid;
    const LayerSums& sums = layer_.sums();
    const bool has_gradient = wanted != LayerDerivatives::none;
    const bool has_diagonal =
        wanted == LayerDerivatives::diagonal || wanted == LayerDerivatives::matrix;
    double value = 0.0;
    for (const Penalty& penalty : problem_.penalties) {
        const bool is_l2 = penalty.kind == PenaltyKind::l2;
        for (const LayerUnknowns::Component& own : layer_.unknowns().components) {
            if (own.array != penalty.array || penalty.strength == 0.0) continue;
            const T* p = parameters_[own.array] + own.offset;
            double* bar = !has_gradient  ? nullptr
                          : own.is_local ? sums.gradient + own.place * n_cells_
                                         : sums.shared_gradient + own.place;
            value += is_l2 ? l2_penalty(grid, own.is_local, penalty.strength, p, 1, bar)
                           : smoothness_penalty(grid, penalty.strength, p, 1, bar);
            if (!has_diagonal) continue;
            const int place = triangle(own.place, own.place);
            if (!own.is_local) {
                sums.shared_matrix[place] += 2.0 * penalty.strength;
                continue;
            }
            for (std::int64_t cell = 0; cell < n_cells_; ++cell) {
                if (!grid.exists(cell)) continue;
                sums.matrix[place * n_cells_ + cell] +=
                    penalty.strength * (is_l2 ? 2.0 : smoothness_[cell]);
            }
        }
    }
    return value;
}

template <class T>
double OnTheFly<T>::gradient_norm() {
    OrderedSum square;
    for_each_unknown([&](const T&, const double& gradient, double&, std::size_t) {
        square.add(gradient * gradient);
    });
    return std::sqrt(square.value());
}

template <class T>
bool OnTheFly<T>::train_layer(std::int64_t layer, LayerRecord& record, Team& team) {
    const LayerMethod method = options_.method;
    const auto wanted =
        method == LayerMethod::newton ? LayerDerivatives::matrix : LayerDerivatives::diagonal;
    if (layer == 0 && options_.follows_path) {
        const double part = std::exchange(target_.part, 1.0);
        first_value_ = evaluate(LayerDerivatives::none, team).total();
        target_.part = part;
    }
    Value value = evaluate(wanted, team);
    record.loss_before = value.loss;
    record.penalty_before = value.penalty;
    record.gradient_norm = gradient_norm();
    if (layer == 0) {
        if (!options_.follows_path) first_value_ = value.total();
        const double rounding =
            rounding_value(problem_.target, *layer_config_.grid, problem_.batch);
        first_value_ = std::max(first_value_, rounding);
    }
    const auto goes_on = [&](const Value& now) {
        record.loss = now.loss;
        record.penalty = now.penalty;
        return !is_lost(now);
    };
    if (!goes_on(value)) return false;
    if (method == LayerMethod::second_order) find_scales();
    for (std::int64_t step = 0; step < options_.inner_steps; ++step) {
        if (is_implicit()) keep_gradient();
        switch (method) {
        case LayerMethod::newton:
            find_newton_step(team);
            break;
        case LayerMethod::descent:
            find_descent_step();
            break;
        case LayerMethod::second_order:
            if (!goes_on(take_dynamic_step(team))) return false;
            continue;
        }
        if (is_implicit()) {
            take_implicit_step(value.total(), team);
        } else {
            move(1.0);
        }
        if (step + 1 == options_.inner_steps) break;
        value = evaluate(wanted, team);
        if (!goes_on(value)) return false;
    }
    record.kinetic_energy = kinetic_energy();
    value.loss = layer_.advance(view_, target_, team);
    value.penalty = penalize(LayerDerivatives::none);
    return goes_on(value);
}

// The parameters by a part of the step, which stands where the gradient did.
template <class T>
void OnTheFly<T>::move(double part) {
    for_each_unknown([&](T& p, const double& step, double&, std::size_t) {
        p = static_cast<T>(static_cast<double>(p) - part * step);
    });
}

// The parameters of the layer before, or where V is less those that the first layer was given.
template <class T>
void OnTheFly<T>::choose_start(Team& team) {
    const auto value = [&] {
        try {
            return evaluate(LayerDerivatives::none, team).total();
        } catch (const LayerError&) {
            return std::numeric_limits<double>::quiet_NaN();
        }
    };
    const auto exchange = [&] {
        for (std::size_t i = 0; i < start_.size(); ++i) {
            std::swap_ranges(start_[i].begin(), start_[i].end(), parameters_[i]);
        }
    };
    const double before = value();
    exchange();
    const double first = value();
    if (first < before || !std::isfinite(before)) {
        for (std::size_t i = 0; i < start_.size(); ++i) {
            std::copy(parameters_[i], parameters_[i] + start_[i].size(), start_[i].begin());
        }
    } else {
        exchange();
    }
}

template <class T>
void OnTheFly<T>::keep_gradient() {
    const LayerSums& sums = layer_.sums();
    std::copy(sums.gradient, sums.gradient + layer_.unknowns().n_local * n_cells_, gradient_);
    shared_gradient_.assign(sums.shared_gradient,
                            sums.shared_gradient + layer_.unknowns().n_shared);
}

// V' times the step.
template <class T>
double OnTheFly<T>::promise() {
    const LayerSums& sums = layer_.sums();
    OrderedSum sum;
    for (const LayerUnknowns::Component& own : layer_.unknowns().components) {
        if (!own.is_local) {
            sum.add(sums.shared_gradient[own.place] *
                    shared_gradient_[static_cast<std::size_t>(own.place)]);
            continue;
        }
        const std::int64_t start = own.place * n_cells_;
        for (std::int64_t i = start; i < start + n_cells_; ++i) {
            sum.add(sums.gradient[i] * gradient_[i]);
        }
    }
    return sum.value();
}

// The step, or as many times its half until V has fallen far enough from `before`; else none.
template <class T>
void OnTheFly<T>::take_implicit_step(double before, Team& team) {
    const double rounding = 8.0 * std::numeric_limits<T>::epsilon() * before;
    const double slope = promise();
    double part = 1.0;
    const auto is_lower = [&] {
        try {
            return evaluate(LayerDerivatives::none, team).total() <=
                   before - kDecrease * part * slope + rounding;
        } catch (const LayerError&) {
            return false;
        }
    };
    move(part);
    for (int i = 0; i < kMostHalvings; ++i) {
        if (is_lower()) return;
        part /= 2.0;
        move(-part);
    }
    move(-part);
    evaluate(LayerDerivatives::none, team);
}

template <class T>
void OnTheFly<T>::find_newton_step(Team& team) {
    const LayerSums& sums = layer_.sums();
    const LayerUnknowns& unknowns = layer_.unknowns();
    OrderedSum local, shared;
    for (int a = 0; a < unknowns.n_local; ++a) {
        const double* diagonal = sums.matrix + triangle(a, a) * n_cells_;
        for (std::int64_t cell = 0; cell < n_cells_; ++cell) local.add(diagonal[cell]);
    }
    for (int a = 0; a < unknowns.n_shared; ++a) shared.add(sums.shared_matrix[triangle(a, a)]);
    BorderedBlocks& system = system_.blocks;
    if (unknowns.n_local > 0) {
        const double n = static_cast<double>(n_existing_) * unknowns.n_local;
        system.local_ridge = options_.ridge * local.value() / n;
    }
    if (unknowns.n_shared > 0) {
        system.shared_ridge = options_.ridge * shared.value() / unknowns.n_shared;
    }
    if (is_smooth_) {
        solve(system_, sums.gradient, sums.shared_gradient, scratch_, team);
    } else {
        solve(system, sums.gradient, sums.shared_gradient, team);
    }
}

// n H_j of every array.
template <class T>
void OnTheFly<T>::find_scales() {
    const LayerSums& sums = layer_.sums();
    std::fill(scales_.begin(), scales_.end(), 0.0);
    for (const LayerUnknowns::Component& own : layer_.unknowns().components) {
        const int diagonal = triangle(own.place, own.place);
        const double* from =
            own.is_local ? sums.matrix + diagonal * n_cells_ : sums.shared_matrix + diagonal;
        const double largest = *std::max_element(from, from + (own.is_local ? n_cells_ : 1));
        scales_[own.array] = std::max(scales_[own.array], layer_.unknowns().n() * largest);
    }
}

template <class T>
void OnTheFly<T>::find_descent_step() {
    find_scales();
    for_each_unknown([&](T&, double& gradient, double&, std::size_t array) {
        gradient *= options_.rate * inverse(scales_[array]);
    });
}

// Half a step of the velocities.
template <class T>
void OnTheFly<T>::kick() {
    const double half = options_.tau / 2.0 / options_.mass;
    for_each_unknown([&](const T&, const double& gradient, double& velocity, std::size_t array) {
        velocity -= half * inverse(scales_[array]) * gradient;
    });
}

// The gradient is that at the present parameters, before and after.
template <class T>
typename OnTheFly<T>::Value OnTheFly<T>::take_dynamic_step(Team& team) {
    kick();
    for_each_unknown([&](T& p, const double&, double& velocity, std::size_t) {
        p = static_cast<T>(static_cast<double>(p) + options_.tau * velocity);
    });
    const Value value = evaluate(LayerDerivatives::gradient, team);
    kick();
    const double kept = std::exp(-options_.friction * options_.tau);
    for_each_unknown(
        [&](const T&, const double&, double& velocity, std::size_t) { velocity *= kept; });
    return value;
}

template <class T>
double OnTheFly<T>::kinetic_energy() {
    if (options_.method != LayerMethod::second_order) return 0.0;
    OrderedSum energy;
    for_each_unknown([&](const T&, const double&, const double& velocity, std::size_t array) {
        energy.add(options_.mass * scales_[array] * velocity * velocity / 2.0);
    });
    return energy.value();
}

template class OnTheFly<float>;
template class OnTheFly<double>;

}  // namespace relaxon
