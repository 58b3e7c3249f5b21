#include "relaxon/stencil_sweep.hpp"

#include <algorithm>

namespace relaxon {

template <class T>
void StencilSweep<T>::start_cotangent(Context& context, Crew& crew, const Cotangent& cotangent) {
    const std::int64_t length = context.n_fields * stride_ - 2 * model_.geometry.margin();
    for (T* first : context.lambda) std::fill(first, first + length, T(0));
    if (!cotangent.y_bar) return;
    load_fields(context, crew, cotangent.y_bar, context.lambda[0]);
    // Lanes left over repeat a state, which keeps them finite, but are nobody's.
    const Layout& layout = model_.geometry.layout();
    const int last = context.n_fields - 1;
    const std::int64_t used = context.n_samples - last * layout.n_lanes();
    if (used < layout.n_lanes()) layout.zero_lanes(fields(context.lambda[0])[last], used);
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

    void advance(std::int64_t i) { context.states.current = advance_to(i, evaluations().advances); }
    void keep(std::int64_t slot) { context.states.keep(slot); }
    void restore(std::int64_t slot) { context.states.restore(slot); }
    void restore_input() { sweep.load_input(context, crew, x); }

    void reverse(std::int64_t i) {
        const SegmentMap& segments = sweep.segments_;
        const std::int64_t begin = segments.begin(i);
        const std::int64_t end = segments.begin(i + 1);
        if (i + 1 == segments.n_segments()) {
            context.states.later = advance_to(i, evaluations().outputs);
            sweep.add_loss(context, crew, cotangent, end, context.states.later, true);
        }
        sweep.reverse(context, crew, gradient, begin, end);
        evaluations().advances += context.n_samples * (end - begin - 1);
        evaluations().reversals += context.n_samples * (end - begin);
        sweep.add_loss(context, crew, cotangent, begin, context.states.current, true);
        context.states.later = context.states.current;
    }

private:
    Evaluations& evaluations() { return context.evaluations; }

    T* advance_to(std::int64_t i, std::int64_t& count) {
        const std::int64_t begin = sweep.segments_.begin(i);
        const std::int64_t end = sweep.segments_.begin(i + 1);
        T* next = context.states.free_scratch();
        sweep.advance(context, crew, begin, end, next);
        count += context.n_samples * (end - begin);
        return next;
    }
};

template <class T>
void StencilSweep<T>::sweep_back(Context& context, Crew& crew, StencilGradient<T>& gradient,
                                 const T* x, const Cotangent& cotangent) {
    context.states.later = nullptr;
    load_input(context, crew, x);
    start_cotangent(context, crew, cotangent);
    if (segments_.n_segments() == 0) {
        add_loss(context, crew, cotangent, 0, context.states.current, true);
        return;
    }
    Schedule schedule(segments_.n_segments(), plan_.n_snapshots, context.schedule);
    Stepper stepper{*this, context, crew, gradient, x, cotangent};
    run_schedule(schedule, stepper);
}

// lambda_end to lambda_begin, both in lambda[0]; the working state is z_begin, the later one z_end.
template <class T>
void StencilSweep<T>::reverse(Context& context, Crew& crew, StencilGradient<T>& gradient,
                              std::int64_t begin, std::int64_t end) {
    poll(context, crew);
    const Layout& layout = model_.geometry.layout();
    const T* lambda = context.lambda[0];
    const T* z = context.states.current;
    if (!tiling_.is_whole() && layout.is_periodic()) close_state(context, context.lambda[0]);
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
        reverse_tile(context, worker, tile, begin, end, growth_now, gradient);
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
}

// The segment's states again, then its layers backwards. With e rows beyond the tile's own: state
// number j is needed up to e = r (2 K - j), its cotangent up to r j.
template <class T>
void StencilSweep<T>::reverse_tile(const Context& context, int worker, std::int64_t tile,
                                   std::int64_t begin, std::int64_t end, T growth,
                                   StencilGradient<T>& gradient) {
    const StencilGeometry& geometry = model_.geometry;
    const Activation activation = model_.config.activation;
    const std::int64_t r = geometry.layout().radius();
    const std::int64_t n_layers = end - begin;
    const int n_fields = context.n_fields;
    const Rows own = tiling_.own(tile);
    const auto inner_state = [&](std::int64_t j) {
        return local_fields(context, worker, j - 1, tile);
    };
    const auto state = [&](std::int64_t j) -> Fields<const T> {
        if (j == 0) return fields(context.states.current);
        if (j == n_layers) return fields(context.states.later);
        return inner_state(j);
    };
    const std::int64_t k = tiling_.segment;
    for (std::int64_t j = 0; j + 1 < n_layers; ++j) {
        const Rows rows = clip(own, r * (2 * n_layers - 1 - j));
        relax(geometry, coefficients_->layer(begin + j), activation, T(0), state(j), n_fields,
              inner_state(j + 1), rows);
        close_local(context, inner_state(j + 1), rows);
    }

    const Fields<T> s = local_fields(context, worker, k - 1, tile);
    Fields<const T> lambda = fields(static_cast<const T*>(context.lambda[0]));
    for (std::int64_t j = n_layers - 1; j >= 0; --j) {
        const Layer<T> layer = coefficients_->layer(begin + j);
        const bool recovers = recovers_activation(activation, layer.omega, model_.config.beta);
        const Fields<T> next =
            j == 0 ? fields(context.lambda[1]) : local_fields(context, worker, k + j % 2, tile);
        pull_back_tile(
            layer, growth,
            {state(j), recovers ? state(j + 1) : Fields<const T>(), lambda, s, next, n_fields},
            {clip(own, r * (j + 1)), own, clip(own, r * j)}, gradient.layer(begin + j, tile));
        lambda = next;
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
    template Evaluations StencilSweep<T>::evaluations() const;
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
