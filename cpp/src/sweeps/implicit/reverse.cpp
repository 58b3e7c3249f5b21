#include <algorithm>

#include "relaxon/operators/matrix_vector.hpp"
#include "relaxon/sweeps/implicit/layers.hpp"

namespace relaxon {

template <class T>
void ImplicitLayers<T>::clear(const Gradients<T>& gradients, Team& team) {
    Gradients<T> own = gradients;
    own.arrays.back() = wants_omega_ ? scheme_omega_bar_ : nullptr;
    std::fill(scheme_omega_bar_, scheme_omega_bar_ + arrays_.back().size(), T(0));
    matrix_->clear(own, team);
    if (line_) {
        for (const LineSums& sums : line_->sums) sums.clear();
    } else {
        std::fill(entries_bar_, entries_bar_ + matrix_->pattern().n_entries(), T(0));
        std::fill(shift_bar_, shift_bar_ + n_, T(0));
    }
    this->clear_shared(gradients);
}

template <class T>
void ImplicitLayers<T>::finish(const Parameters<T>&, const Gradients<T>& gradients, Team& team) {
    if (line_) {
        Team* inner = line_->shares_lines ? &team : nullptr;
        if (keeps_line_sums()) flush_line_sums(segments_.first(), inner);
    } else if (matrix_->n_sets() == 1) {
        matrix_->add(segments_.first(), entries_bar_, shift_bar_);
    }
    Gradients<T> own = gradients;
    own.arrays.back() = wants_omega_ ? scheme_omega_bar_ : nullptr;
    matrix_->finish(scheme_parameters_, own, team);
    this->finish_shared(gradients);
    if (!wants_omega_) return;
    const auto scheme = static_cast<T>(1.0 - 2.0 * theta_);
    T* omega_bar = gradients.arrays.back();
    for (std::int64_t i = 0; i < arrays_.back().size(); ++i) {
        if (scheme_omega_bar_[i] != T(0)) omega_bar[i] += scheme * scheme_omega_bar_[i];
    }
}

// m = J^-T lambda, J at z'; Z' in work.pre.
template <class T>
void ImplicitLayers<T>::solve_transposed(const Layer& view, const T* later, const T* lambda, T* m,
                                         Work& work) {
    evaluate(view, later, work.pre);
    if (is_linear()) {
        shared_->solve_transposed(lambda, m, 1);
        return;
    }
    activate_with_derivative(config_.activation, work.pre, work.f, work.slope,
                             static_cast<std::size_t>(n_));
    LinearSolver<T>& solver = solver_of(work.solver);
    factorise(view, T(0), work, solver);
    solver.set_tolerance(kLinearTolerance);
    solver.solve_transposed(lambda, m, 1);
}

template <class T>
void ImplicitLayers<T>::reverse(Bundle& bundle, std::int64_t layer, std::int64_t, const Seed<T>*,
                                std::int64_t) {
    Team& team = *bundle.team;
    take_layer(layer, team);
    if (line_) {
        reverse_lines(bundle, layer);
        return;
    }
    const T* z = bundle.states.current;
    const bool is_hard = config_.is_normalised();
    const T* later = is_hard ? solution_ : bundle.states.later;
    T* m = bundle.lambda[1];
    const Layer view = layer_of(*parameters_, layer);
    if (is_hard) project(layer, bundle.states.later, bundle.lambda[0], team);
    // The sums over (s, states), s of the weight times m; Z of all samples is in pre_.
    const auto pull = [&](const T* states) {
        for_each_block(team, [&](const FieldBlock& block) {
            pull_elements(view, pre_, states, nullptr, scaled_, block, layer);
            add_entries(matrix_->pattern(), block.begin, block.end, s_, states, request_.batch,
                        entries_bar_, shift_bar_);
        });
    };
    const auto scale = [&](std::int64_t sample, double weight) {
        for (std::int64_t i = sample * n_; i < (sample + 1) * n_; ++i) {
            scaled_[i] = static_cast<T>(weight) * m[i];
        }
    };
    for_each_sample(team, [&](std::int64_t sample, Work& work, int) {
        const std::int64_t first = sample * n_;
        if (is_hard) restore_size(layer, sample, bundle.states.later, solution_);
        try {
            const Layer own = view_of(view, bundle.drive, sample);
            solve_transposed(own, later + first, bundle.lambda[0] + first, m + first, work);
        } catch (const SingularError&) {
            NewtonResult result;
            result.status = NewtonStatus::singular;
            fail(layer, sample, result);
        }
        std::copy(work.pre, work.pre + n_, pre_ + first);
        scale(sample, theta_);
    });
    pull(later);
    find_growth(z, m, team);
    const bool is_mixed = theta_ < 1.0;
    if (is_mixed) {
        for_each_sample(team, [&](std::int64_t sample, Work&, int) {
            const Layer own = view_of(view, bundle.drive, sample);
            evaluate(own, z + sample * n_, pre_ + sample * n_);
            scale(sample, 1.0 - theta_);
        });
        pull(z);
    }
    // In place of m.
    for_each_sample(team, [&](std::int64_t sample, Work&, int) {
        const std::int64_t first = sample * n_;
        const auto weight = static_cast<T>(1.0 - theta_);
        for (std::int64_t i = 0; i < n_; ++i) {
            const T omega = view.omega[i * view.omega_step];
            const T kept = T(1) - weight * omega - growth_[sample];
            m[first + i] = exists(i) ? kept * m[first + i] - pull_[sample] * z[first + i] : T(0);
        }
        if (is_mixed) add_transposed(matrix_->pattern(), entries_, s_ + first, m + first);
    });
    std::swap(bundle.lambda[0], bundle.lambda[1]);
    if (matrix_->n_sets() == 1) return;
    matrix_->add(layer, entries_bar_, shift_bar_);
    std::fill(entries_bar_, entries_bar_ + matrix_->pattern().n_entries(), T(0));
    std::fill(shift_bar_, shift_bar_ + n_, T(0));
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void ImplicitLayers<T>::clear(const Gradients<T>&, Team&);                            \
    template void ImplicitLayers<T>::finish(const Parameters<T>&, const Gradients<T>&, Team&);     \
    template void ImplicitLayers<T>::solve_transposed(const Layer&, const T*, const T*, T*,        \
                                                      Work&);                                      \
    template void ImplicitLayers<T>::reverse(Bundle&, std::int64_t, std::int64_t, const Seed<T>*,  \
                                             std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
