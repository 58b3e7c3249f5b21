// Implicit layers on lines: what of the coefficients, and a layer.
#include <algorithm>
#include <cmath>
#include <limits>

#include "relaxon/sweeps/implicit/layers.hpp"

namespace relaxon {

namespace {

// Those of the general way (problem.hpp).
template <class T>
LineTest test_of_layers() {
    return {std::is_same<T, float>::value ? 1e-6 : 1e-13, 4.0 * std::numeric_limits<T>::epsilon(),
            100};
}

}  // namespace

// The arrays of a layer and, where f = identity, their factorisation.
template <class T>
void ImplicitLayers<T>::take_line(const Layer& view, std::int64_t layer, Team& team) {
    ImplicitLine<T>& line = *line_;
    Team* inner = line.shares_lines ? &team : nullptr;
    matrix_->assemble_line(layer, line.matrix, line.shift, inner);
    const auto theta = static_cast<T>(theta_), rest = static_cast<T>(1.0 - theta_);
    for (std::int64_t i = 0; i < n_; ++i) {
        const T omega = exists(i) ? view.omega[i * view.omega_step] : T(0);
        line.shift[i] = exists(i) ? line.shift[i] - bias(view, i) : T(0);
        line.rate[i] = theta * omega;
        if (line.explicit_rate) line.explicit_rate[i] = rest * omega;
    }
    line.has_one_rate =
        std::all_of(line.rate, line.rate + n_, [&](T rate) { return rate == line.rate[0]; });
    line.has_shift =
        std::any_of(line.shift, line.shift + n_, [](T shift) { return shift != T(0); });
    if (!is_linear()) {
        line.newton.set({line.matrix, line.shift, line.rate, T(1), config_.activation}, inner);
        return;
    }
    const ThreePoint<T> jacobian = line.lu.matrix();
    for (std::int64_t i = 0; i < n_; ++i) {
        const T rate = line.rate[i];
        jacobian.lower[i] = -rate * line.matrix.lower[i];
        jacobian.diagonal[i] = T(1) + rate - rate * line.matrix.diagonal[i];
        jacobian.upper[i] = -rate * line.matrix.upper[i];
    }
    line.lu_serves = line.lu.factorise(inner);
}

// Z of cells [begin, end).
template <class T>
void ImplicitLayers<T>::evaluate_line(const Layer& view, const T* z, std::int64_t begin,
                                      std::int64_t end, T* pre) const {
    multiply<T>(line_->matrix, line_->shift, z, begin, end, pre);
    if (!view.drive) return;
    for (std::int64_t i = begin; i < end; ++i) pre[i] += view.drive[i];
}

// r, and for f = identity all that does not depend on z'.
template <class T>
void ImplicitLayers<T>::set_line_right(const Layer& view, const T* z, T growth, T* right,
                                       Work& work, Team* inner) const {
    const ImplicitLine<T>& line = *line_;
    for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) right[i] = z[i] - growth * z[i];
        if (theta_ < 1.0) {
            evaluate_line(view, z, begin, end, work.pre);
            activate(config_.activation, work.pre + begin, work.f + begin,
                     static_cast<std::size_t>(end - begin));
            for (std::int64_t i = begin; i < end; ++i) {
                right[i] += line.explicit_rate[i] * (work.f[i] - z[i]);
            }
        }
        if (!is_linear()) return;
        for (std::int64_t i = begin; i < end; ++i) right[i] += line.rate[i] * line.shift[i];
        if (!view.drive) return;
        for (std::int64_t i = begin; i < end; ++i) right[i] += line.rate[i] * view.drive[i];
    });
}

template <class T>
void ImplicitLayers<T>::solve_line(const Layer& view, std::int64_t layer, std::int64_t sample,
                                   const T* z, T* out, int worker, Team& team, Team* inner) {
    ImplicitLine<T>& line = *line_;
    auto& line_work = line.works[static_cast<std::size_t>(worker)];
    Work& work = works_[static_cast<std::size_t>(worker)];
    // r is z where nothing else is in it.
    const T* right = z;
    const bool has_source = line.has_shift || view.drive;
    if ((is_linear() && has_source) || theta_ < 1.0 || config_.beta() != 0.0) {
        set_line_right(view, z, growth_[sample], work.right, work, inner);
        right = work.right;
    }
    if (is_linear()) {
        if (line.lu_serves) {
            line.lu.solve(right, out, line_work.lu, inner);
        } else {
            shared_->solve(right, out, 1);
        }
        return;
    }
    line.newton.take_source(view.drive, line_work.newton, inner);
    const auto poll = [&](double) { team.poll(worker == 0); };
    if (line.newton.find_root(z, right, test_of_layers<T>(), out, line_work.newton, inner, poll)) {
        return;
    }
    take_entries(layer);
    set_right(view, z, growth_[sample], work);
    solve(view, layer, sample, z, out, work, team, worker);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void ImplicitLayers<T>::take_line(const Layer&, std::int64_t, Team&);                 \
    template void ImplicitLayers<T>::evaluate_line(const Layer&, const T*, std::int64_t,           \
                                                   std::int64_t, T*) const;                        \
    template void ImplicitLayers<T>::solve_line(const Layer&, std::int64_t, std::int64_t,          \
                                                const T*, T*, int, Team&, Team*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
