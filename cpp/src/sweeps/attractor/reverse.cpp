#include <algorithm>
#include <cmath>

#include "relaxon/operators/matrix_vector.hpp"
#include "relaxon/sweeps/attractor/layers.hpp"

namespace relaxon {

template <class T>
void AttractorLayers<T>::clear(const Gradients<T>& gradients, Team& team) {
    matrix_->clear(gradients, team);
    std::fill(entries_bar_, entries_bar_ + matrix_->pattern().n_entries(), T(0));
    std::fill(shift_bar_, shift_bar_ + n_, T(0));
    // f(Z*) - z*, what omega weighs, is 0.
    without_omega_ = gradients;
    without_omega_.arrays.back() = nullptr;
    this->clear_shared(without_omega_);
    if (gradients.arrays.back()) *gradients.arrays.back() = T(0);
}

template <class T>
void AttractorLayers<T>::finish(const Parameters<T>& parameters, const Gradients<T>& gradients,
                                Team& team) {
    matrix_->add(0, entries_bar_, shift_bar_);
    matrix_->finish(parameters, gradients, team);
    this->finish_shared(without_omega_);
}

template <class T>
void AttractorLayers<T>::reverse(Bundle& bundle, std::int64_t layer, std::int64_t, const Seed<T>*,
                                 std::int64_t) {
    Team& team = *bundle.team;
    const T* z = bundle.states.later;
    T* v = bundle.lambda[1];
    for_each_sample(team, [&](std::int64_t sample, AttractorSearcher<T>& searcher, int) {
        const std::int64_t first = sample * n_;
        const T* source = source_of(bundle, sample);
        const auto fail = [&](const char* reason) {
            note(sample, searcher.residual(source, z + first), reason);
        };
        try {
            if (is_singular_) throw SingularError("");
            const T* lambda = bundle.lambda[0] + first;
            if (!searcher.pull_back(source, z + first, lambda, v + first)) {
                fail("the adjoint's equation does not solve to enough digits");
            }
        } catch (const SingularError&) {
            fail("the Jacobian at the attractor has no inverse");
            std::fill(v + first, v + first + n_, std::numeric_limits<T>::quiet_NaN());
        }
        std::copy(searcher.pre(), searcher.pre() + n_, pre_ + first);
    });
    if (unsolved_ && !request_.allows_unsolved) throw *unsolved_;
    Layer view = layer_of(*parameters_, layer);
    view.omega = &one_;
    view.omega_step = 0;
    for_each_block(team, [&](const FieldBlock& block) {
        pull_elements(view, pre_, z, nullptr, v, block, layer);
        add_entries(matrix_->pattern(), block.begin, block.end, s_, z, request_.batch, entries_bar_,
                    shift_bar_);
    });
    std::fill(v, v + state_length(), T(0));
    if (bundle.drive_bar) std::copy(s_, s_ + state_length(), bundle.drive_bar);
    std::swap(bundle.lambda[0], bundle.lambda[1]);
}

template <class T>
void AttractorLayers<T>::prepare_tangent(const Parameters<T>& parameters,
                                         const Parameters<T>& parameters_dot, Team& team) {
    parameters_dot_ = &parameters_dot;
    matrix_->prepare_tangent(parameters, parameters_dot, team);
    matrix_->assemble_tangent(0, entries_dot_, offset_dot_);
    const Layer dot = layer_of(parameters_dot, 0);
    for (std::int64_t i = 0; dot.bias && i < n_; ++i) offset_dot_[i] -= dot.bias[i * dot.bias_step];
}

// (1 - F' A) z_dot = f'(Z) (W_dot z - b_dot + x_dot), x_dot with drive.
template <class T>
void AttractorLayers<T>::advance_tangent(Bundle& bundle, std::int64_t layer, const T*, T* out,
                                         T* out_dot) {
    Team& team = *bundle.team;
    advance(bundle, layer, layer + 1, out, false);
    for_each_sample(team, [&](std::int64_t sample, AttractorSearcher<T>& searcher, int worker) {
        const std::int64_t first = sample * n_;
        const T* source = source_of(bundle, sample);
        const double residual = searcher.residual(source, out + first);
        T* moved = moved_ + worker * n_;
        multiply(matrix_->pattern(), entries_dot_, out + first, moved);
        for (std::int64_t i = 0; i < n_; ++i) {
            const T pushed = bundle.drive_dot ? bundle.drive_dot[first + i] : T(0);
            const T change = searcher.slope()[i] * (moved[i] + offset_dot_[i] + pushed);
            out_dot[first + i] = exists(i) ? change : T(0);
        }
        try {
            if (is_singular_) throw SingularError("");
            searcher.push_forward(out_dot + first);
        } catch (const SingularError&) {
            note(sample, residual, "the Jacobian at the attractor has no inverse");
            std::fill(out_dot + first, out_dot + first + n_, std::numeric_limits<T>::quiet_NaN());
        }
    });
    if (unsolved_ && !request_.allows_unsolved) throw *unsolved_;
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void AttractorLayers<T>::clear(const Gradients<T>&, Team&);                           \
    template void AttractorLayers<T>::finish(const Parameters<T>&, const Gradients<T>&, Team&);    \
    template void AttractorLayers<T>::reverse(Bundle&, std::int64_t, std::int64_t, const Seed<T>*, \
                                              std::int64_t);                                       \
    template void AttractorLayers<T>::prepare_tangent(const Parameters<T>&, const Parameters<T>&,  \
                                                      Team&);                                      \
    template void AttractorLayers<T>::advance_tangent(Bundle&, std::int64_t, const T*, T*, T*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
