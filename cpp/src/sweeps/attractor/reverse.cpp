#include <algorithm>
#include <cmath>

#include "relaxon/operators/matrix_vector.hpp"
#include "relaxon/sweeps/attractor/layers.hpp"

namespace relaxon {

template <class T>
void AttractorLayers<T>::clear(const Gradients<T>& gradients, Team& team) {
    matrix_->clear(gradients, team);
    if (!line_) {
        std::fill(entries_bar_, entries_bar_ + n_entries(), T(0));
        std::fill(shift_bar_, shift_bar_ + n_, T(0));
    }
    // f(Z*) - z*, what omega weighs, is 0.
    without_omega_ = gradients;
    without_omega_.arrays.back() = nullptr;
    this->clear_shared(without_omega_);
    if (gradients.arrays.back()) *gradients.arrays.back() = T(0);
}

template <class T>
void AttractorLayers<T>::finish(const Parameters<T>& parameters, const Gradients<T>& gradients,
                                Team& team) {
    if (!line_) matrix_->add(0, entries_bar_, shift_bar_);
    matrix_->finish(parameters, gradients, team);
    this->finish_shared(without_omega_);
}

// s comes in the place of lambda, and the sums are taken when no sample needs its searcher any
// more: on a line they lie in the place of the first one's.
template <class T>
void AttractorLayers<T>::reverse(Bundle& bundle, std::int64_t, std::int64_t, const Seed<T>*,
                                 std::int64_t) {
    Team& team = *bundle.team;
    Team* inner = shares_lines() ? &team : nullptr;
    const T* z = bundle.states.later;
    T* s = bundle.lambda[0];
    for_each_sample(team, [&](std::int64_t sample, AttractorSearcher<T>& searcher, int) {
        const T* source = source_of(sample);
        const T* state = z + sample * n_;
        T* lambda = s + sample * n_;
        const auto fail = [&](const char* reason) {
            note(sample, searcher.residual(source, state), reason);
        };
        try {
            if (is_singular_) throw SingularError("");
            if (!searcher.pull_back(source, state, lambda, lambda, inner)) {
                fail("the adjoint's equation does not solve to enough digits");
            }
        } catch (const SingularError&) {
            fail("the Jacobian at the attractor has no inverse");
            std::fill(lambda, lambda + n_, std::numeric_limits<T>::quiet_NaN());
        }
    });
    if (unsolved_ && !request_.allows_unsolved) throw *unsolved_;
    if (line_) {
        const auto& place = searchers_[0].line_work();
        const ThreePoint<T> bar{n_, place.z, place.fill, place.ratio};
        for_each_block(team, [&](const FieldBlock& block) {
            add_bias(block, s);
            add_line_entries(block, s, z, bar, place.value);
        });
        matrix_->add_line(0, bar, place.value, &team);
    } else {
        for_each_block(team, [&](const FieldBlock& block) {
            add_bias(block, s);
            add_entries(matrix_->pattern(), block.begin, block.end, s, z, request_.batch,
                        entries_bar_, shift_bar_);
        });
    }
    if (!attractor_.drive) std::fill(s, s + state_length(), T(0));
}

template <class T>
void AttractorLayers<T>::add_bias(const FieldBlock& block, const T* s) {
    if (config_.bias == BiasKind::none) return;
    T* bar = gradients_.arrays[n_own_arrays_];
    for (std::int64_t first = 0; first < state_length(); first += n_) {
        double sum = 0.0;
        for (std::int64_t i = block.begin; i < block.end; ++i) {
            sum -= static_cast<double>(s[first + i]);
            if (config_.bias == BiasKind::local) bar[i] -= s[first + i];
        }
        bias_sums_[block.begin / kFieldRows].add(sum);
    }
}

// Sums over the samples, set, in the order of cells.
template <class T>
void AttractorLayers<T>::add_line_entries(const FieldBlock& block, const T* s, const T* z,
                                          const ThreePoint<T>& bar, T* shift_bar) const {
    double sums[4][kFieldRows] = {};
    T* const to[] = {bar.lower, bar.diagonal, bar.upper, shift_bar};
    const std::int64_t begin = block.begin, end = block.end;
    for (std::int64_t first = 0; first < state_length(); first += n_) {
        add_outer([&](std::int64_t i) { return s[first + i]; }, z + first, begin, end,
                  {n_, sums[0] - begin, sums[1] - begin, sums[2] - begin}, sums[3] - begin);
    }
    for (int k = 0; k < 4; ++k) {
        for (std::int64_t i = begin; i < end; ++i) to[k][i] = static_cast<T>(sums[k][i - begin]);
    }
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
        const T* source = source_of(sample);
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
