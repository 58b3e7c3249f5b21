#include "relaxon/sweeps/stencil/held_layer.hpp"

#include <algorithm>
#include <cmath>

#include "relaxon/operators/stencil/loops.hpp"

namespace relaxon {

namespace {

constexpr std::int64_t kTaskCells = 128;
constexpr std::int64_t kMostTasks = 64;

}  // namespace

LayerUnknowns::LayerUnknowns(const NetworkConfig& config) {
    const std::vector<ParameterArray> arrays = parameter_arrays(config);
    n_arrays = arrays.size() - 1;
    for (std::size_t array = 0; array < n_arrays; ++array) {
        const bool is_local = arrays[array].is_field();
        const std::int64_t length = is_local ? config.grid->n_cells() : 1;
        for (std::int64_t offset = 0; offset < arrays[array].size(); offset += length) {
            components.push_back({array, offset, is_local, is_local ? n_local++ : n_shared++});
        }
    }
}

template <class T>
HeldLayer<T>::HeldLayer(const NetworkConfig& config, std::int64_t batch, int n_workers)
    : model_(config, 1, 1), batch_(batch), stride_(model_.geometry.field_length()),
      n_tasks_(
          std::min(config.grid->shape()[0],
                   std::clamp<std::int64_t>(config.grid->n_cells() / kTaskCells, 1, kMostTasks))),
      n_workers_(n_workers), unknowns_(config) {
    const std::int64_t group = config.beta() == 0.0 ? kMaxBundle : 1;
    n_groups_ = (batch + group - 1) / group;
    if (const Theta* theta = std::get_if<Theta>(&config.dynamics)) {
        theta_ = theta->theta;
        SweepRequest request;
        request.batch = batch;
        request.n_threads = n_workers;
        request.at = {1};
        implicit_.emplace(config, request);
    }
}

template <class T>
typename HeldLayer<T>::Scratch HeldLayer<T>::carve_scratch(Arena& arena) const {
    const std::int64_t n = unknowns_.n(), n_op = model_.op->n_components();
    const std::int64_t n_arms = model_.shape.n_arms;
    Scratch work{};
    for (T** rows : {&work.pre, &work.f, &work.f_slope}) *rows = arena.take<T>(kMaxBundle * kCells);
    for (T** row : {&work.weights, &work.reached, &work.slope, &work.ratio, &work.product}) {
        *row = arena.take<T>(kCells);
    }
    work.features = arena.take<T>(n * kCells);
    if (implicit_) work.sides = arena.take<T>(n * kCells);
    work.loss = arena.take<double>(kCells);
    work.gradient = arena.take<double>(n * kCells);
    work.pairs = arena.take<double>(n * (n + 1) / 2 * kCells);
    work.stencils = arena.take<T>(n_op * n_arms * kCells);
    work.terms = arena.take<int>(n_op * n_arms);
    work.stencil_pointers = arena.take<T*>(n_arms);
    work.components = arena.take<const T*>(n_op);
    work.directions = arena.take<const T*>(n_op);
    work.ones = arena.take<T>(kCells);
    work.zeros = arena.take_zeroed<T>(kCells);
    if (!arena.is_measuring()) std::fill(work.ones, work.ones + kCells, T(1));
    return work;
}

template <class T>
void HeldLayer<T>::carve(Arena& arena) {
    const std::int64_t n_cells = model_.config.grid->n_cells();
    const std::int64_t n_local = unknowns_.n_local, n_shared = unknowns_.n_shared;
    const std::int64_t n_shared_sums = n_shared + n_shared * (n_shared + 1) / 2;
    const auto take_states = [&] {
        T* first = arena.take_zeroed<T>(batch_ * stride_);
        return arena.is_measuring() ? nullptr : first + model_.geometry.margin();
    };
    state_ = take_states();
    next_ = take_states();
    if (model_.config.drive()) drive_ = take_states();
    growth_ = arena.take_zeroed<T>(batch_);
    sums_.gradient = arena.take<double>(n_local * n_cells);
    sums_.matrix = arena.take<double>(n_local * (n_local + 1) / 2 * n_cells);
    sums_.coupling = arena.take<double>(n_shared * n_local * n_cells);
    sums_.shared_gradient = arena.take<double>(n_shared);
    sums_.shared_matrix = arena.take<double>(n_shared * (n_shared + 1) / 2);
    task_losses_ = arena.take<OrderedSum>(n_groups_ * n_tasks_);
    task_sums_ = arena.take<OrderedSum>(n_tasks_ * n_shared_sums);
    if (implicit_) carve_implicit(arena);
    coefficients_.emplace(model_, n_workers_, arena);
    scratch_.clear();
    for (int worker = 0; worker < n_workers_; ++worker) scratch_.push_back(carve_scratch(arena));
}

template <class T>
void HeldLayer<T>::load(const T* x, Team& team) {
    if (drive_) {
        pack(x, drive_, team);
        std::fill(state_, state_ + batch_ * stride_ - 2 * model_.geometry.margin(), T(0));
    } else {
        pack(x, state_, team);
    }
    close(state_, team);
    if (implicit_) load_implicit(x, team);
}

// The caller's states to padded ones, without ghosts.
template <class T>
void HeldLayer<T>::pack(const T* from, T* first, Team& team) {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t n_cells = model_.config.grid->n_cells();
    team.parallel_for(batch_, [&](std::int64_t i, int) {
        layout.pack<T>({from + i * n_cells}, states(first)[static_cast<int>(i)], 0,
                       layout.n_rows());
    });
}

// Ghosts of states, and how much of them grows.
template <class T>
void HeldLayer<T>::close(T* first, Team& team) {
    const Layout& layout = model_.geometry.layout();
    const double beta = model_.config.beta();
    team.parallel_for(batch_, [&](std::int64_t i, int) {
        T* z = states(first)[static_cast<int>(i)];
        layout.fill_inner(z, 0, layout.n_rows());
        layout.fill_rows(z, 0);
        layout.fill_rows(z, 1);
        if (beta == 0.0) return;
        const double square = inner_product(layout, z, z, {0, layout.n_rows()}).value();
        const double size = std::sqrt(square * model_.config.grid->cell_volume());
        growth_[i] = static_cast<T>(beta * (size - 1.0));
    });
}

// dW/dp of the operator's components in a block.
template <class T>
void HeldLayer<T>::find_slopes(const Parameters<T>& parameters, const Cells& block,
                               Scratch& work) const {
    const int n_arms = model_.shape.n_arms;
    const auto n_op = static_cast<int>(model_.op->n_components());
    const std::int64_t omega_step = model_.shape.omega_is_local ? 1 : 0;
    const auto at = block_of(model_, parameters, 0, block.cell, work.components);
    const T* omega = omega_of(model_, parameters, 0, block.cell);
    std::fill(work.directions, work.directions + n_op, work.zeros);
    // The coefficients may be single numbers where omega is a field.
    const std::int64_t n = block.n;
    work.n_terms = 0;
    for (int k = 0; k < n_op; ++k) {
        for (int arm = 0; arm < n_arms; ++arm) {
            work.stencil_pointers[arm] = work.stencils + (k * n_arms + arm) * kCells;
        }
        work.directions[k] = work.ones;
        model_.op->prepare_tangent(at, {work.directions, 0}, omega, work.zeros, omega_step, n,
                                   work.stencil_pointers);
        work.directions[k] = work.zeros;
        for (int arm = 0; arm < n_arms; ++arm) {
            const T* row = work.stencil_pointers[arm];
            if (std::all_of(row, row + n, [](T weight) { return weight == T(0); })) continue;
            work.terms[work.n_terms++] = k * n_arms + arm;
        }
    }
}

// dZ/dp of one sample.
template <class T>
void HeldLayer<T>::find_features(const T* z, const Cells& block, Scratch& work) const {
    const StencilGeometry& geometry = model_.geometry;
    const int n_arms = model_.shape.n_arms;
    const std::int64_t n_op = model_.op->n_components();
    std::fill(work.features, work.features + n_op * kCells, T(0));
    if (model_.shape.has_bias) {
        T* row = work.features + n_op * kCells;
        std::fill(row, row + block.n, T(-1));
    }
    for (int t = 0; t < work.n_terms; ++t) {
        const int term = work.terms[t];
        const T* stencil = work.stencils + term * kCells;
        const T* seen = z + block.flat + geometry.offset(term % n_arms);
        T* row = work.features + term / n_arms * kCells;
        for (std::int64_t i = 0; i < block.n; ++i) row[i] += stencil[i] * seen[i];
    }
    geometry.for_each_cut_arm(block.flat, block.flat + block.n, [&](std::int64_t flat, int arm) {
        const T seen = seen_by_cut(geometry, z, flat);
        for (std::int64_t k = 0; k < n_op; ++k) {
            const std::int64_t i = flat - block.flat;
            work.features[k * kCells + i] += work.stencils[(k * n_arms + arm) * kCells + i] * seen;
        }
    });
}

// The sums of one sample in a block.
template <class T>
void HeldLayer<T>::accumulate(const Cells& block, LayerDerivatives wanted, Scratch& work) const {
    const std::int64_t n = block.n;
    for (int a = 0; a < unknowns_.n(); ++a) {
        const T* const own = work.features + a * kCells;
        double* const gradient = work.gradient + a * kCells;
        for (std::int64_t i = 0; i < n; ++i) {
            gradient[i] += static_cast<double>(work.slope[i]) * own[i];
        }
        if (wanted == LayerDerivatives::gradient) continue;
        for (std::int64_t i = 0; i < n; ++i) work.product[i] = work.ratio[i] * own[i];
        for (int b = wanted == LayerDerivatives::diagonal ? a : 0; b <= a; ++b) {
            const T* const other = work.features + b * kCells;
            double* const pair = work.pairs + triangle(a, b) * kCells;
            for (std::int64_t i = 0; i < n; ++i) {
                pair[i] += static_cast<double>(work.product[i]) * other[i];
            }
        }
    }
}

// The sums of all samples in a block to where they belong.
template <class T>
void HeldLayer<T>::distribute(const Cells& block, LayerDerivatives wanted, std::int64_t task,
                              Scratch& work) {
    const Grid& grid = *model_.config.grid;
    const std::int64_t n = block.n, n_cells = grid.n_cells();
    const int n_shared = unknowns_.n_shared;
    OrderedSum* const shared = task_sums_ + task * (n_shared + n_shared * (n_shared + 1) / 2);
    // What stands in the mask is not read, and need not be a number.
    const auto finish = [&](double* row) {
        for (std::int64_t i = 0; grid.has_mask() && i < n; ++i) {
            if (!grid.exists(block.cell + i)) row[i] = 0.0;
        }
        return row;
    };
    for (int a = 0; a < unknowns_.n(); ++a) {
        const LayerUnknowns::Component& own = unknowns_.components[static_cast<std::size_t>(a)];
        const double* row = finish(work.gradient + a * kCells);
        if (own.is_local) {
            std::copy(row, row + n, sums_.gradient + own.place * n_cells + block.cell);
        } else {
            shared[own.place].add(sum_of(row, n));
        }
        if (wanted == LayerDerivatives::gradient) continue;
        for (int b = wanted == LayerDerivatives::diagonal ? a : 0; b <= a; ++b) {
            const LayerUnknowns::Component& other =
                unknowns_.components[static_cast<std::size_t>(b)];
            row = finish(work.pairs + triangle(a, b) * kCells);
            if (!own.is_local && !other.is_local) {
                shared[n_shared + triangle(own.place, other.place)].add(sum_of(row, n));
                continue;
            }
            const auto to = [&]() -> double* {
                if (own.is_local && other.is_local) {
                    return sums_.matrix + triangle(own.place, other.place) * n_cells;
                }
                const int border = own.is_local ? other.place : own.place;
                const int inner = own.is_local ? own.place : other.place;
                return sums_.coupling + (border * unknowns_.n_local + inner) * n_cells;
            }();
            std::copy(row, row + n, to + block.cell);
        }
    }
}

// f(Z), and f'(Z) where it is wanted, of samples from `first` on in a block.
template <class T>
void HeldLayer<T>::activate_group(const Layer<T>& layer, Fields<const T> z, std::int64_t first,
                                  int n_fields, const Cells& block, bool wants_slope,
                                  Scratch& work) const {
    const std::int64_t n = block.n, stride = block_stride<T>(n);
    apply_stencil(model_.geometry, layer.weights, layer.bias, z, n_fields, work.pre, block.flat, n);
    for (int g = 0; drive_ && g < n_fields; ++g) {
        const T* source = drive_ + (first + g) * stride_ + block.flat;
        for (std::int64_t i = 0; i < n; ++i) work.pre[g * stride + i] += source[i];
    }
    const auto length = static_cast<std::size_t>(n_fields * stride);
    if (wants_slope) {
        activate_with_derivative(model_.config.activation, work.pre, work.f, work.f_slope, length);
    } else {
        activate(model_.config.activation, work.pre, work.f, length);
    }
}

template <class T>
template <class Distance>
void HeldLayer<T>::evaluate_block(const Layer<T>& layer, const LayerTarget<T>& target,
                                  const Cells& block, LayerDerivatives wanted,
                                  const Distance& distance, Scratch& work) const {
    const std::int64_t n = block.n, stride = block_stride<T>(n), n_unknowns = unknowns_.n();
    const bool has_derivatives = wanted != LayerDerivatives::none;
    std::fill(work.loss, work.loss + kCells, 0.0);
    std::fill(work.gradient, work.gradient + n_unknowns * kCells, 0.0);
    std::fill(work.pairs, work.pairs + n_unknowns * (n_unknowns + 1) / 2 * kCells, 0.0);
    const T* const omega = layer.omega.data + (layer.omega.is_local ? block.flat : 0);
    const std::int64_t omega_step = layer.omega.is_local ? 1 : 0;
    for (std::int64_t first = 0; first < batch_; first += kMaxBundle) {
        const auto n_fields = static_cast<int>(std::min<std::int64_t>(kMaxBundle, batch_ - first));
        const Fields<const T> z = states(static_cast<const T*>(state_ + first * stride_));
        activate_group(layer, z, first, n_fields, block, has_derivatives, work);
        for (int g = 0; g < n_fields; ++g) {
            const T* const from = z[g] + block.flat;
            const T* const f = work.f + g * stride;
            const T growth = growth_[first + g];
            for (std::int64_t i = 0; i < n; ++i) {
                const T w = omega[i * omega_step];
                work.reached[i] = (T(1) - w - growth) * from[i] + w * f[i];
            }
            compare(target, first + g, block, work.reached, distance, work);
            if (!has_derivatives) continue;
            const T* const f_slope = work.f_slope + g * stride;
            for (std::int64_t i = 0; i < n; ++i) {
                const T c = work.weights[i] == T(0) ? T(0) : omega[i * omega_step] * f_slope[i];
                work.slope[i] *= c;
                work.ratio[i] *= c * c;
            }
            find_features(z[g], block, work);
            accumulate(block, wanted, work);
        }
    }
}

template <class T>
double HeldLayer<T>::evaluate(const Parameters<T>& parameters, const LayerTarget<T>& target,
                              LayerDerivatives wanted, Team& team) {
    if (implicit_) return evaluate_implicit(parameters, target, wanted, team);
    coefficients_->prepare(parameters, team);
    const Layer<T> layer = coefficients_->layer(0);
    clear_sums();
    with_distance<T>(target.loss, [&](const auto& distance) {
        team.parallel_for(n_tasks_, [&](std::int64_t task, int worker) {
            Scratch& work = scratch_[static_cast<std::size_t>(worker)];
            for_each_block(rows(task), [&](const Cells& block) {
                team.poll(worker == 0);
                if (wanted != LayerDerivatives::none) find_slopes(parameters, block, work);
                evaluate_block(layer, target, block, wanted, distance, work);
                task_losses_[task].add(sum_of(work.loss, block.n));
                if (wanted != LayerDerivatives::none) distribute(block, wanted, task, work);
            });
        });
    });
    if (wanted != LayerDerivatives::none) combine();
    return mean_loss(n_tasks_);
}

template <class T>
void HeldLayer<T>::clear_sums() {
    const int n_shared = unknowns_.n_shared;
    const std::int64_t n_sums = n_tasks_ * (n_shared + n_shared * (n_shared + 1) / 2);
    std::fill(task_sums_, task_sums_ + n_sums, OrderedSum());
    std::fill(task_losses_, task_losses_ + n_tasks_, OrderedSum());
}

// Of the first sums of losses, in order.
template <class T>
double HeldLayer<T>::mean_loss(std::int64_t n_sums) const {
    OrderedSum loss;
    for (std::int64_t i = 0; i < n_sums; ++i) loss.add(task_losses_[i]);
    return loss.value() / static_cast<double>(batch_);
}

// The tasks' sums of shared unknowns, in order.
template <class T>
void HeldLayer<T>::combine() {
    const int n_shared = unknowns_.n_shared;
    const int n_sums = n_shared + n_shared * (n_shared + 1) / 2;
    for (int k = 0; k < n_sums; ++k) {
        OrderedSum sum;
        for (std::int64_t task = 0; task < n_tasks_; ++task) sum.add(task_sums_[task * n_sums + k]);
        (k < n_shared ? sums_.shared_gradient[k] : sums_.shared_matrix[k - n_shared]) = sum.value();
    }
}

template <class T>
double HeldLayer<T>::advance(const Parameters<T>& parameters, const LayerTarget<T>& target,
                             Team& team) {
    if (implicit_) {
        advance_implicit(team);
        return last_loss_;
    }
    coefficients_->prepare(parameters, team);
    const std::int64_t group = (batch_ + n_groups_ - 1) / n_groups_;
    with_distance<T>(target.loss, [&](const auto& distance) {
        team.parallel_for(n_groups_ * n_tasks_, [&](std::int64_t index, int worker) {
            Scratch& work = scratch_[static_cast<std::size_t>(worker)];
            const Rows own = rows(index % n_tasks_);
            const std::int64_t first = index / n_tasks_ * group;
            const auto n_fields = static_cast<int>(std::min(group, batch_ - first));
            Layer<T> layer = coefficients_->layer(0);
            if (drive_) layer.drive = states(static_cast<const T*>(drive_ + first * stride_));
            const Fields<T> out = states(next_ + first * stride_);
            relax(model_.geometry, layer, model_.config.activation, growth_[first],
                  states(static_cast<const T*>(state_ + first * stride_)), n_fields, out, own);
            OrderedSum loss;
            for (int g = 0; g < n_fields; ++g) {
                for_each_block(own, [&](const Cells& block) {
                    std::fill(work.loss, work.loss + kCells, 0.0);
                    compare(target, first + g, block, out[g] + block.flat, distance, work);
                    loss.add(sum_of(work.loss, block.n));
                });
            }
            task_losses_[index] = loss;
        });
    });
    close(next_, team);
    std::swap(state_, next_);
    return mean_loss(n_groups_ * n_tasks_);
}

template class HeldLayer<float>;
template class HeldLayer<double>;

}  // namespace relaxon
