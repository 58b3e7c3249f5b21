// Implicit layers on lines, pulled back: sample by sample, each of which adds to the sums of its
// chunk while its fields are in the cache. Chunks follow from the shapes alone and are added in
// their order.
#include <algorithm>

#include "relaxon/sweeps/implicit/layers.hpp"

namespace relaxon {

// m = J^-T lambda at z'; s' in the worker's s, which f = identity has no need of, and f(Z') in its
// f where omega is trained. False: J has no inverse, which has been told.
template <class T>
bool ImplicitLayers<T>::pull_line(const Layer& view, std::int64_t layer, std::int64_t sample,
                                  const T* later, const T* lambda, T* m, int worker, Team* inner) {
    ImplicitLine<T>& line = *line_;
    auto& line_work = line.works[static_cast<std::size_t>(worker)];
    Work& work = works_[static_cast<std::size_t>(worker)];
    T* s = line_work.s;
    T* f = wants_omega_ ? work.f : nullptr;
    if (!is_linear()) {
        line.newton.take_source(view.drive, line_work.newton, inner);
        if (line.newton.solve_transposed(later, lambda, m, s, f, line_work.newton, inner)) {
            return true;
        }
    }
    if (is_linear() && line.lu_serves) {
        line.lu.solve_transposed(lambda, m, line_work.lu, inner);
    } else {
        take_entries(layer);
        try {
            solve_transposed(view, later, lambda, m, work);
        } catch (const SingularError&) {
            NewtonResult result;
            result.status = NewtonStatus::singular;
            fail(layer, sample, result);
            return false;
        }
    }
    for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
        if (!is_linear()) {
            for (std::int64_t i = begin; i < end; ++i) s[i] = line.rate[i] * work.slope[i] * m[i];
        } else if (f) {
            evaluate_line(view, later, begin, end, f);
        }
    });
    return true;
}

// Sources are s, or with rates e s.
template <class T>
void ImplicitLayers<T>::add_line_sums(const LineSums& sums, const T* rate, const T* s, const T* z,
                                      const T* m, const T* f, double weight, Team* inner) const {
    for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
        if (rate && line_->has_one_rate) {
            add_outer([&, e = *rate](std::int64_t i) { return e * s[i]; }, z, begin, end,
                      sums.matrix, sums.shift);
        } else if (rate) {
            add_outer([&](std::int64_t i) { return rate[i] * s[i]; }, z, begin, end, sums.matrix,
                      sums.shift);
        } else {
            add_outer([&](std::int64_t i) { return s[i]; }, z, begin, end, sums.matrix, sums.shift);
        }
        if (!sums.change) return;
        for (std::int64_t i = begin; i < end; ++i) {
            sums.change[i] += weight * (static_cast<double>(f[i]) - z[i]) * m[i];
        }
    });
}

// x_bar += s, or with rates e s.
template <class T>
void ImplicitLayers<T>::add_line_drive(const T* rate, const T* s, T* x_bar, Team* inner) const {
    for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) x_bar[i] += rate ? rate[i] * s[i] : s[i];
    });
}

template <class T>
void ImplicitLayers<T>::reverse_line(const Layer& view, std::int64_t layer, std::int64_t sample,
                                     std::int64_t chunk, Bundle& bundle, int worker, Team* inner) {
    const ImplicitLine<T>& line = *line_;
    const LineSums& sums = line.sums[static_cast<std::size_t>(chunk)];
    Work& work = works_[static_cast<std::size_t>(worker)];
    T* s = line.works[static_cast<std::size_t>(worker)].s;
    const std::int64_t first = sample * n_;
    const T* z = bundle.states.current + first;
    const T* later = bundle.states.later + first;
    if (config_.is_normalised()) {
        restore_size(layer, sample, bundle.states.later, solution_);
        later = solution_ + first;
    }
    T* m = bundle.lambda[1] + first;
    T* x_bar = bundle.drive_bar ? bundle.drive_bar + first : nullptr;
    if (!pull_line(view, layer, sample, later, bundle.lambda[0] + first, m, worker, inner)) return;
    const T* rate = is_linear() ? line.rate : nullptr;
    const T* source = is_linear() ? m : s;
    add_line_sums(sums, rate, source, later, m, work.f, theta_, inner);
    if (x_bar) add_line_drive(rate, source, x_bar, inner);
    const bool has_growth = config_.beta() != 0.0;
    if (has_growth) find_growth(sample, bundle.states.current, bundle.lambda[1]);
    const T growth = has_growth ? growth_[sample] : T(0), pull = has_growth ? pull_[sample] : T(0);
    if (theta_ == 1.0) {
        if (!has_growth) return;
        for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) m[i] = (T(1) - growth) * m[i] - pull * z[i];
        });
        return;
    }
    for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
        evaluate_line(view, z, begin, end, work.pre);
        activate_with_derivative(config_.activation, work.pre + begin, work.f + begin,
                                 work.slope + begin, static_cast<std::size_t>(end - begin));
        for (std::int64_t i = begin; i < end; ++i) {
            s[i] = line.explicit_rate[i] * work.slope[i] * m[i];
        }
    });
    add_line_sums(sums, nullptr, s, z, m, work.f, 1.0 - theta_, inner);
    if (x_bar) add_line_drive(nullptr, s, x_bar, inner);
    // In place of m.
    for_each_run(n_, inner, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            m[i] = (T(1) - line.explicit_rate[i] - growth) * m[i] - pull * z[i];
        }
        add_transposed<T>(line.matrix, s, begin, end, m);
    });
}

template <class T>
void ImplicitLayers<T>::reverse_lines(Bundle& bundle, std::int64_t layer) {
    Team& team = *bundle.team;
    const ImplicitLine<T>& line = *line_;
    const Layer view = layer_of(*parameters_, layer);
    if (config_.is_normalised()) project(layer, bundle.states.later, bundle.lambda[0], team);
    const auto reverse_chunk = [&](std::int64_t chunk, int worker, Team* inner) {
        const std::int64_t end = line.chunk_begin(chunk + 1, request_.batch);
        for (std::int64_t i = line.chunk_begin(chunk, request_.batch); i < end; ++i) {
            team.poll(worker == 0);
            reverse_line(view_of(view, bundle.drive, i), layer, i, chunk, bundle, worker, inner);
        }
    };
    if (line.shares_lines) {
        for (std::int64_t i = 0; i < line.n_chunks; ++i) reverse_chunk(i, 0, &team);
    } else {
        team.parallel_for(line.n_chunks,
                          [&](std::int64_t i, int worker) { reverse_chunk(i, worker, nullptr); });
    }
    throw_failure();
    std::swap(bundle.lambda[0], bundle.lambda[1]);
    if (!keeps_line_sums()) flush_line_sums(layer, line.shares_lines ? &team : nullptr);
}

// Whether all layers share their coefficients, so that their sums are one.
template <class T>
bool ImplicitLayers<T>::keeps_line_sums() const {
    return matrix_->n_sets() == 1 && config_.n_sets() == 1 && !(wants_omega_ && n_omega_sets() > 1);
}

// From the sums over samples to the gradients of a layer's coefficients; the sums start anew.
template <class T>
void ImplicitLayers<T>::flush_line_sums(std::int64_t layer, Team* inner) {
    const LineSums& total = line_->sums.front();
    for (std::size_t chunk = 1; chunk < line_->sums.size(); ++chunk) {
        const double* part = line_->sums[chunk].matrix.lower;
        for (std::int64_t i = 0; i < total.length; ++i) total.matrix.lower[i] += part[i];
    }
    matrix_->add_line_sums(layer, total.matrix, total.shift, inner);
    const auto sum = [&](const double* values) {
        OrderedSum all;
        for (std::int64_t i = 0; i < n_; ++i) all.add(values[i]);
        return all.value();
    };
    const std::int64_t bias_set = config_.set_of(layer);
    if (config_.bias == BiasKind::local) {
        T* bar = gradients_.arrays[n_own_arrays_] + bias_set * n_;
        for (std::int64_t i = 0; i < n_; ++i) bar[i] -= static_cast<T>(total.shift[i]);
    } else if (config_.bias == BiasKind::homogeneous) {
        bias_sums_[bias_set * n_blocks_].add(-sum(total.shift));
    }
    if (total.change && config_.omega() == OmegaKind::cell) {
        T* bar = gradients_.arrays.back();
        for (std::int64_t i = 0; i < n_; ++i) bar[i] += static_cast<T>(total.change[i]);
    } else if (total.change) {
        const std::int64_t omega_set = config_.omega() == OmegaKind::layer ? layer : 0;
        omega_sums_[omega_set * n_blocks_].add(sum(total.change));
    }
    for (const LineSums& sums : line_->sums) sums.clear();
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void ImplicitLayers<T>::reverse_lines(Bundle&, std::int64_t);                         \
    template bool ImplicitLayers<T>::keeps_line_sums() const;                                      \
    template void ImplicitLayers<T>::flush_line_sums(std::int64_t, Team*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
