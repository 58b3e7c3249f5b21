// Implicit layers whose state is held: their ends by solves, sample by sample, and from the answers
// of these ends the sums, block by block as of explicit layers.
#include <algorithm>

#include "relaxon/sweeps/implicit/response.hpp"
#include "relaxon/sweeps/stencil/held_layer.hpp"

namespace relaxon {

template <class T>
void HeldLayer<T>::carve_implicit(Arena& arena) {
    const std::int64_t length = batch_ * model_.config.grid->n_cells();
    implicit_->carve(arena, Plan());
    for (T** field : {&pulled_, &ratios_}) *field = arena.take<T>(length);
    if (unknowns_.n_local == 0) {
        const std::int64_t n = unknowns_.n(), n_cells = model_.config.grid->n_cells();
        answers_ = arena.take<T>(n_workers_ * n * n_cells);
        answer_sums_ = arena.take<double>(batch_ * (n * (n + 1) / 2));
    }
    scheme_omega_ = arena.take<T>(model_.shape.omega_is_local ? model_.config.grid->n_cells() : 1);
}

template <class T>
void HeldLayer<T>::load_implicit(const T* x, Team& team) {
    implicit_->for_each_bundle(team, [&](auto& bundle) {
        implicit_->load(bundle, drive_ ? nullptr : x);
        if (drive_) implicit_->load_drive(bundle, x);
        end_ = bundle.states.free_scratch();
    });
}

template <class T>
void HeldLayer<T>::advance_implicit(Team& team) {
    pack(end_, state_, team);
    close(state_, team);
    implicit_->for_each_bundle(team, [&](auto& bundle) {
        bundle.states.current = end_;
        end_ = bundle.states.free_scratch();
    });
}

template <class T>
double HeldLayer<T>::evaluate_implicit(const Parameters<T>& parameters,
                                       const LayerTarget<T>& target, LayerDerivatives wanted,
                                       Team& team) {
    implicit_->prepare(parameters, team);
    implicit_->for_each_bundle(
        team, [&](auto& bundle) { implicit_->advance(bundle, 0, 1, end_, false); });
    clear_sums();
    compare_ends(target, team);
    last_loss_ = mean_loss(n_tasks_);
    if (wanted == LayerDerivatives::none) return last_loss_;
    const bool has_matrix = wanted != LayerDerivatives::gradient;
    const bool is_shared = unknowns_.n_local == 0;
    implicit_->for_each_bundle(team, [&](auto& bundle) {
        implicit_->respond(bundle, 0, end_, pulled_, has_matrix && !is_shared ? ratios_ : nullptr);
    });
    pack(end_, next_, team);
    close(next_, team);
    const auto scheme = static_cast<T>(1.0 - 2.0 * theta_);
    const std::int64_t n_omega = model_.shape.omega_is_local ? model_.config.grid->n_cells() : 1;
    for (std::int64_t i = 0; i < n_omega; ++i) scheme_omega_[i] = scheme * parameters.back()[i];
    scheme_parameters_ = parameters;
    scheme_parameters_.back() = scheme_omega_;
    coefficients_->prepare(scheme_parameters_, team);
    const Layer<T> layer = coefficients_->layer(0);
    const LayerDerivatives own = is_shared ? LayerDerivatives::gradient : wanted;
    team.parallel_for(n_tasks_, [&](std::int64_t task, int worker) {
        Scratch& work = scratch_[static_cast<std::size_t>(worker)];
        for_each_block(rows(task), [&](const Cells& block) {
            team.poll(worker == 0);
            find_slopes(scheme_parameters_, block, work);
            pull_back_block(layer, parameters, block, own, work);
            distribute(block, own, task, work);
        });
    });
    combine();
    if (has_matrix && is_shared) find_answers(layer, parameters, team);
    return last_loss_;
}

// The losses of all ends, and their derivatives to where the answers will stand.
template <class T>
void HeldLayer<T>::compare_ends(const LayerTarget<T>& target, Team& team) {
    const std::int64_t n_cells = model_.config.grid->n_cells();
    with_distance<T>(target.loss, [&](const auto& distance) {
        team.parallel_for(n_tasks_, [&](std::int64_t task, int worker) {
            Scratch& work = scratch_[static_cast<std::size_t>(worker)];
            for_each_block(rows(task), [&](const Cells& block) {
                std::fill(work.loss, work.loss + kCells, 0.0);
                for (std::int64_t sample = 0; sample < batch_; ++sample) {
                    const std::int64_t at = sample * n_cells + block.cell;
                    compare(target, sample, block, end_ + at, distance, work);
                    std::copy(work.slope, work.slope + block.n, pulled_ + at);
                    std::copy(work.ratio, work.ratio + block.n, ratios_ + at);
                }
                task_losses_[task].add(sum_of(work.loss, block.n));
            });
        });
    });
}

// c of one sample in a block.
template <class T>
void HeldLayer<T>::find_sides(const Layer<T>& layer, const Parameters<T>& parameters,
                              std::int64_t sample, const Cells& block, Scratch& work) const {
    const std::int64_t n = block.n, n_unknowns = unknowns_.n();
    const T* const omega = omega_of(model_, parameters, 0, block.cell);
    const std::int64_t omega_step = model_.shape.omega_is_local ? 1 : 0;
    const auto add_side = [&](const T* first, double weight) {
        const Fields<const T> z = states(first + sample * stride_);
        activate_group(layer, z, sample, 1, block, true, work);
        find_features(z[0], block, work);
        for (std::int64_t i = 0; i < n; ++i) {
            work.product[i] = static_cast<T>(weight) * omega[i * omega_step] * work.f_slope[i];
        }
        for (std::int64_t k = 0; k < n_unknowns; ++k) {
            const T* own = work.features + k * kCells;
            T* side = work.sides + k * kCells;
            for (std::int64_t i = 0; i < n; ++i) side[i] += work.product[i] * own[i];
        }
    };
    std::fill(work.sides, work.sides + n_unknowns * kCells, T(0));
    add_side(next_, theta_);
    if (theta_ < 1.0) add_side(state_, 1.0 - theta_);
}

// The sums of all samples over one block, from m and q.
template <class T>
void HeldLayer<T>::pull_back_block(const Layer<T>& layer, const Parameters<T>& parameters,
                                   const Cells& block, LayerDerivatives wanted,
                                   Scratch& work) const {
    const std::int64_t n = block.n, n_unknowns = unknowns_.n();
    std::fill(work.gradient, work.gradient + n_unknowns * kCells, 0.0);
    std::fill(work.pairs, work.pairs + n_unknowns * (n_unknowns + 1) / 2 * kCells, 0.0);
    for (std::int64_t sample = 0; sample < batch_; ++sample) {
        find_sides(layer, parameters, sample, block, work);
        const std::int64_t at = sample * model_.config.grid->n_cells() + block.cell;
        std::copy(pulled_ + at, pulled_ + at + n, work.slope);
        std::copy(ratios_ + at, ratios_ + at + n, work.ratio);
        std::swap(work.sides, work.features);
        accumulate(block, wanted, work);
        std::swap(work.sides, work.features);
    }
}

// The matrix of shared coefficients, from what all cells answer to each.
template <class T>
void HeldLayer<T>::find_answers(const Layer<T>& layer, const Parameters<T>& parameters,
                                Team& team) {
    const Grid& grid = *model_.config.grid;
    const std::int64_t n_cells = grid.n_cells(), n_rows = model_.geometry.layout().n_rows();
    const int n = unknowns_.n(), n_pairs = n * (n + 1) / 2;
    const auto answer = [&](std::int64_t sample, int worker, auto& response) {
        Scratch& work = scratch_[static_cast<std::size_t>(worker)];
        T* const all = answers_ + worker * n * n_cells;
        for_each_block({0, n_rows}, [&](const Cells& block) {
            find_slopes(scheme_parameters_, block, work);
            find_sides(layer, parameters, sample, block, work);
            for (int k = 0; k < n; ++k) {
                T* to = all + k * n_cells + block.cell;
                std::copy(work.sides + k * kCells, work.sides + k * kCells + block.n, to);
                for (std::int64_t i = 0; i < block.n; ++i) {
                    if (!grid.exists(block.cell + i)) to[i] = T(0);
                }
            }
        });
        for (int k = 0; k < n; ++k) response.solve(all + k * n_cells);
        const T* ratio = ratios_ + sample * n_cells;
        for (int a = 0; a < n; ++a) {
            for (int b = 0; b <= a; ++b) {
                OrderedSum sum;
                for (std::int64_t i = 0; i < n_cells; ++i) {
                    sum.add(static_cast<double>(ratio[i]) * all[a * n_cells + i] *
                            all[b * n_cells + i]);
                }
                answer_sums_[sample * n_pairs + triangle(a, b)] = sum.value();
            }
        }
    };
    implicit_->for_each_bundle(
        team, [&](auto& bundle) { implicit_->for_each_response(bundle, 0, end_, answer); });
    for (int pair = 0; pair < n_pairs; ++pair) {
        OrderedSum sum;
        for (std::int64_t i = 0; i < batch_; ++i) sum.add(answer_sums_[i * n_pairs + pair]);
        sums_.shared_matrix[pair] = sum.value();
    }
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void HeldLayer<T>::carve_implicit(Arena&);                                            \
    template void HeldLayer<T>::load_implicit(const T*, Team&);                                    \
    template void HeldLayer<T>::advance_implicit(Team&);                                           \
    template double HeldLayer<T>::evaluate_implicit(const Parameters<T>&, const LayerTarget<T>&,   \
                                                    LayerDerivatives, Team&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
