#include "relaxon/sweeps/stencil/layers.hpp"

#include <algorithm>

namespace relaxon {

template <class T>
void StencilSweep<T>::start_cotangent(Context& context, Crew& crew, const Cotangent& cotangent) {
    const std::int64_t length = context.n_fields * stride_ - 2 * model_.geometry.margin();
    for (T* first : context.lambda) std::fill(first, first + length, T(0));
    if (!cotangent.y_bar) return;
    load_cotangent(context, crew, cotangent.y_bar, model_.config.grid->n_cells(),
                   context.lambda[0]);
}

template <class T>
void StencilSweep<T>::load_cotangent(Context& context, Crew& crew, const T* cells,
                                     std::int64_t sample_stride, T* lambda) {
    load_fields(context, crew, cells, sample_stride, lambda);
    // Lanes left over repeat a state, which keeps them finite, but are nobody's.
    const Layout& layout = model_.geometry.layout();
    const int last = context.n_fields - 1;
    const std::int64_t used = context.n_samples - last * layout.n_lanes();
    if (used < layout.n_lanes()) layout.zero_lanes(fields(lambda)[last], used);
}

// The steps of one bundle's schedule, a segment each.
template <class T>
struct StencilSweep<T>::Stepper {
    StencilSweep& sweep;
    Context& context;
    Crew& crew;
    StencilGradient<T>& gradient;
    const T* x;
    const Cotangent& cotangent;

    void advance(std::int64_t i) {
        context.states.current = advance_to(i);
        evaluations().advances +=
            context.n_samples * (sweep.segments_.begin(i + 1) - sweep.segments_.begin(i));
    }
    void keep(std::int64_t slot) { context.states.keep(slot); }
    void restore(std::int64_t slot) { context.states.restore(slot); }
    void restore_input() { sweep.load_input(context, crew, x); }

    void reverse(std::int64_t i) {
        const SegmentMap& segments = sweep.segments_;
        const std::int64_t begin = segments.begin(i);
        const std::int64_t end = segments.begin(i + 1);
        const bool is_last = i + 1 == segments.n_segments();
        const bool starts_in_tiles =
            is_last && sweep.tiling_.segment > 1 && !sweep.request_.has_state_loss;
        if (is_last) evaluations().outputs += context.n_samples;
        if (is_last && !starts_in_tiles) {
            context.states.later = advance_to(i);
            evaluations().advances += context.n_samples * (end - begin - 1);
            sweep.start_cotangent(context, crew, cotangent);
            sweep.add_loss(context, crew, cotangent, end, context.states.later, true);
        }
        sweep.reverse(context, crew, gradient,
                      {begin, end, starts_in_tiles ? &cotangent : nullptr});
        evaluations().advances += context.n_samples * (end - begin - 1);
        evaluations().reversals += context.n_samples * (end - begin);
        sweep.add_loss(context, crew, cotangent, begin, context.states.current, true);
        context.states.later = context.states.current;
    }

private:
    Evaluations& evaluations() { return context.evaluations; }

    T* advance_to(std::int64_t i) {
        T* next = context.states.free_scratch();
        sweep.advance(context, crew, sweep.segments_.begin(i), sweep.segments_.begin(i + 1), next);
        return next;
    }
};

template <class T>
void StencilSweep<T>::sweep_back(Context& context, Crew& crew, StencilGradient<T>& gradient,
                                 const T* x, const Cotangent& cotangent) {
    context.states.later = nullptr;
    load_input(context, crew, x);
    if (segments_.n_segments() == 0) {
        start_cotangent(context, crew, cotangent);
        add_loss(context, crew, cotangent, 0, context.states.current, true);
        return;
    }
    Schedule schedule(segments_.n_segments(), plan_.n_snapshots, context.schedule);
    Stepper stepper{*this, context, crew, gradient, x, cotangent};
    run_schedule(schedule, stepper);
}

// lambda_end to lambda_begin, both in lambda[0]; the working state is z_begin, the later one z_end.
// Where the tiles start the cotangent, there is no lambda_end and no z_end yet.
template <class T>
void StencilSweep<T>::reverse(Context& context, Crew& crew, StencilGradient<T>& gradient,
                              const Segment& segment) {
    poll(context, crew);
    const Layout& layout = model_.geometry.layout();
    const T* lambda = context.lambda[0];
    const T* z = context.states.current;
    if (!tiling_.is_whole() && layout.is_periodic() && !segment.start) {
        close_state(context, context.lambda[0]);
    }
    T growth_now = T(0), pull = T(0);
    if (model_.config.beta != 0.0) {
        const double length = norm(context, crew, z);
        const double overlap = sum_over_tiles(
            context, crew, [&](Rows rows) { return inner_product(layout, z, lambda, rows); });
        growth_now = static_cast<T>(model_.config.beta * (length - 1.0));
        if (length > 0.0) {
            pull = static_cast<T>(model_.config.beta * overlap * model_.config.grid->cell_volume() /
                                  length);
        }
    }
    for_each_tile(crew, [&](std::int64_t tile, int worker) {
        reverse_tile(context, worker, tile, segment, growth_now, gradient);
        if (pull == T(0)) return;
        const Rows own = tiling_.own(tile);
        T* next = context.lambda[1];
        layout.for_each_pencil(own.begin, own.end,
                               [&](std::int64_t, std::int64_t flat, std::int64_t n) {
                                   for (std::int64_t i = flat; i < flat + n; ++i) {
                                       next[i] -= pull * z[i];
                                   }
                               });
    });
    std::swap(context.lambda[0], context.lambda[1]);
    if (!segment.start || !segment.start->target) return;
    for (int g = 0; g < context.n_fields; ++g) {
        losses_[loss_index(context, place_of(segment.end), g)] = total_of_tiles(context, g);
    }
}

// The segment's states again, then its layers backwards. With e rows beyond the tile's own: state
// number j is needed up to e = r (2 K - j), its cotangent up to r j.
template <class T>
void StencilSweep<T>::reverse_tile(const Context& context, int worker, std::int64_t tile,
                                   const Segment& segment, T growth, StencilGradient<T>& gradient) {
    const StencilGeometry& geometry = model_.geometry;
    const Activation activation = model_.config.activation;
    const std::int64_t r = geometry.layout().radius();
    const std::int64_t n_layers = segment.end - segment.begin;
    const std::int64_t n_made = segment.start ? n_layers : n_layers - 1;
    const int n_fields = context.n_fields;
    const Rows own = tiling_.own(tile);
    // States 1, 2, ..., then s, then two cotangents in turn.
    const std::int64_t n_states = tiling_.segment > 1 ? tiling_.segment : 0;
    const auto local = [&](std::int64_t buffer) {
        return local_fields(context, worker, buffer, tile);
    };
    const auto state = [&](std::int64_t j) -> Fields<const T> {
        if (j == 0) return fields(context.states.current);
        if (j > n_made) return fields(context.states.later);
        return local(j - 1);
    };
    for (std::int64_t j = 0; j < n_made; ++j) {
        const Rows rows = clip(own, r * (2 * n_layers - 1 - j));
        relax(geometry, coefficients_->layer(segment.begin + j), activation, T(0), state(j),
              n_fields, local(j), rows);
        close_local(context, local(j), rows);
    }

    const Fields<T> s = local(n_states);
    const auto cotangent = [&](std::int64_t j) { return local(n_states + 1 + j % 2); };
    Fields<const T> lambda = fields(static_cast<const T*>(context.lambda[0]));
    if (segment.start) {
        start_tile(context, tile, segment, state(n_layers), cotangent(n_layers));
        lambda = cotangent(n_layers);
    }
    for (std::int64_t j = n_layers - 1; j >= 0; --j) {
        const Layer<T> layer = coefficients_->layer(segment.begin + j);
        const bool recovers = recovers_activation(activation, layer.omega, model_.config.beta);
        const Fields<T> next = j == 0 ? fields(context.lambda[1]) : cotangent(j);
        pull_back_tile(
            layer, growth,
            {state(j), recovers ? state(j + 1) : Fields<const T>(), lambda, s, next, n_fields},
            {clip(own, r * (j + 1)), own, clip(own, r * j)},
            gradient.layer(segment.begin + j, tile));
        lambda = next;
    }
}

// The cotangent of the last state, made by every tile as far as it needs it, and the loss of the
// tile's own rows.
template <class T>
void StencilSweep<T>::start_tile(const Context& context, std::int64_t tile, const Segment& segment,
                                 Fields<const T> z, Fields<T> lambda) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t r = layout.radius();
    const std::int64_t n_cells = model_.config.grid->n_cells();
    const std::int64_t row_cells = n_cells / layout.n_rows();
    const Rows own = tiling_.own(tile);
    const Rows rows = clip(own, r * (segment.end - segment.begin));
    const double scale = 1.0 / static_cast<double>(request_.batch);
    for (int g = 0; g < context.n_fields; ++g) {
        T* bar = lambda[g];
        std::fill(bar + layout.begin(rows.begin - r) - layout.inner_reach(),
                  bar + layout.begin(rows.end + r) + layout.inner_reach(), T(0));
        for (const Rows part : {Rows{rows.begin, own.begin}, own, Rows{own.end, rows.end}}) {
            // Beyond a periodic end the cells begin anew.
            for_each_period(
                part.begin, part.end, 0, layout.n_rows(),
                [&](std::int64_t begin, std::int64_t end, std::int64_t shift) {
                    const std::int64_t turned = shift * row_cells;
                    if (segment.start->y_bar) {
                        const T* cells =
                            segment.start->y_bar + (context.first_sample + g) * n_cells;
                        layout.pack<T>({cells - turned}, bar, begin, end);
                        return;
                    }
                    const std::int64_t index = loss_index(context, place_of(segment.end), g);
                    StateTarget<T> target = state_target(*segment.start->target, index);
                    target.y -= turned;
                    if (target.weights) target.weights -= turned;
                    if (target.mask) target.mask -= turned;
                    const OrderedSum sum = distance(layout, target, z[g], scale, bar, {begin, end});
                    if (begin == own.begin) {
                        context.tile_sums[g * tiling_.n_tiles + tile] = sum;
                    }
                });
        }
    }
}

// One layer. Ghost rows are pulled back too where they follow from the tile's rows.
template <class T>
void StencilSweep<T>::pull_back_tile(const Layer<T>& layer, T growth,
                                     const ReverseFields<T>& fields, ReverseRows rows,
                                     const LayerGradient<T>& gradient) const {
    const Layout& layout = model_.geometry.layout();
    const std::int64_t r = layout.radius();
    const Rows kept = rows.out;
    const bool at_low = ends_at(0, kept), at_high = ends_at(1, kept);
    // Whole fields keep the zeros that their memory began with.
    for (int g = 0; !tiling_.is_whole() && g < fields.n_fields; ++g) {
        T* s = fields.s[g];
        T* begin = s + layout.begin(rows.sources.begin - (at_low ? 2 * r : 0));
        std::fill(begin - layout.inner_reach(), s + layout.begin(rows.sources.begin), T(0));
        T* end = s + layout.begin(rows.sources.end + (at_high ? 2 * r : 0));
        std::fill(s + layout.begin(rows.sources.end), end + layout.inner_reach(), T(0));
    }
    if (at_low) rows.out.begin -= r;
    if (at_high) rows.out.end += r;
    pull_back(model_.geometry, layer, model_.config.activation, growth, fields, rows, gradient);
    for (int g = 0; g < fields.n_fields; ++g) {
        T* out = fields.out[g];
        layout.fold_inner(out, rows.out.begin, rows.out.end);
        if (at_low) layout.fold_rows(out, 0);
        if (at_high) layout.fold_rows(out, 1);
        layout.zero_masked(out, kept.begin, kept.end);
    }
}

template <class T>
void StencilSweep<T>::gradient_sweep(const Parameters<T>& parameters, const T* x,
                                     const Target<T>* target, const T* y_bar,
                                     const Gradients<T>& gradients, Team& team) {
    const FlushToZero flush;
    coefficients_->prepare(parameters, team);
    for (StencilGradient<T>& chunk : gradients_) chunk.clear(team);
    for (Context& context : contexts_) context.evaluations = Evaluations();
    const Cotangent cotangent{target, y_bar};
    for_each_bundle(team, [&](std::int64_t chunk, Context& context, Crew& crew) {
        sweep_back(context, crew, gradients_[static_cast<std::size_t>(chunk)], x, cotangent);
        if (!gradients.x) return;
        unload_fields(context, crew, context.lambda[0], gradients.x, model_.config.grid->n_cells());
    });
    StencilGradient<T>::combine(gradients_, team);
    gradients_.front().pull_back(parameters, gradients, coefficients_->scratch(), team);
}

template <class T>
double StencilSweep<T>::value_and_gradient(const Parameters<T>& parameters, const T* x,
                                           const Target<T>& target, const Gradients<T>& gradients,
                                           Team& team) {
    gradient_sweep(parameters, x, &target, nullptr, gradients, team);
    return total_loss();
}

template <class T>
void StencilSweep<T>::vjp(const Parameters<T>& parameters, const T* x, const T* y_bar,
                          const Gradients<T>& gradients, Team& team) {
    gradient_sweep(parameters, x, nullptr, y_bar, gradients, team);
}

template <class T>
Evaluations StencilSweep<T>::evaluations() const {
    Evaluations sum;
    for (const Context& context : contexts_) {
        sum.advances += context.evaluations.advances;
        sum.reversals += context.evaluations.reversals;
        sum.outputs += context.evaluations.outputs;
    }
    return {sum.advances / request_.batch, sum.reversals / request_.batch,
            sum.outputs / request_.batch};
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template double StencilSweep<T>::value_and_gradient(                                           \
        const Parameters<T>&, const T*, const Target<T>&, const Gradients<T>&, Team&);             \
    template void StencilSweep<T>::vjp(const Parameters<T>&, const T*, const T*,                   \
                                       const Gradients<T>&, Team&);                                \
    template void StencilSweep<T>::load_cotangent(Context&, Crew&, const T*, std::int64_t, T*);    \
    template Evaluations StencilSweep<T>::evaluations() const;
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
