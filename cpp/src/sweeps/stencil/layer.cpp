#include "relaxon/sweeps/stencil/layer.hpp"

#include <algorithm>

#include "relaxon/base/array.hpp"
#include "relaxon/base/simd.hpp"

namespace relaxon {

namespace {

template <class T>
constexpr std::int64_t kWidth = kPackWidth<T>;

// f(flat, n), n <= kBlock, over the entries of the rows. Lanes make lines long enough for blocks of
// their own, which leave out the inner ghosts.
template <class F>
void for_each_block(const Layout& layout, Rows rows, const F& f) {
    const auto cut = [&](std::int64_t flat, std::int64_t end) {
        for (; flat < end; flat += kBlock) f(flat, std::min(kBlock, end - flat));
    };
    if (layout.n_lanes() == 1) {
        cut(layout.begin(rows.begin), layout.begin(rows.end));
        return;
    }
    layout.for_each_pencil(rows.begin, rows.end,
                           [&](std::int64_t, std::int64_t flat, std::int64_t n_cells) {
                               cut(flat, flat + n_cells * layout.n_lanes());
                           });
}

// body(i, rest): pack number i / width of a block, `rest` of its entries left.
template <class T, class F>
void for_each_pack_of(std::int64_t n, const F& body) {
    for (std::int64_t i = 0; i < n; i += kWidth<T>) body(i, n - i);
}

template <class T>
double sum_of(const T* values, std::int64_t n) {
    Pack<T> sum = broadcast(T(0));
    for_each_pack_of<T>(
        n, [&](std::int64_t i, std::int64_t rest) { sum += load_up_to(values + i, rest); });
    return static_cast<double>(horizontal_sum(sum));
}

// bar_i -= s_i.
template <class T>
void subtract(const T* s, T* bar, std::int64_t n) {
    for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
        store_up_to(bar + i, load_up_to(bar + i, rest) - load_up_to(s + i, rest), rest);
    });
}

// bar_i += s_i.
template <class T>
void add(const T* s, T* bar, std::int64_t n) {
    for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
        store_up_to(bar + i, load_up_to(bar + i, rest) + load_up_to(s + i, rest), rest);
    });
}

// Z of a block in the scratch `pre`: field g at g block_stride(n).
template <class T>
[[gnu::always_inline]] inline void find_pre(const StencilGeometry& geometry, const Layer<T>& layer,
                                            ReadFields<T> z, int n_fields, T* pre,
                                            std::int64_t flat, std::int64_t n) {
    apply_stencil(geometry, layer.weights, layer.bias, z, n_fields, pre, flat, n);
    if (!layer.drive) return;
    for (int g = 0; g < n_fields; ++g) {
        add(layer.drive[g] + flat, pre + g * block_stride<T>(n), n);
    }
}

template <class T>
double dot_block(const T* a, const T* b, std::int64_t n) {
    Pack<T> sum = broadcast(T(0));
    for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
        sum += load_up_to(a + i, rest) * load_up_to(b + i, rest);
    });
    return static_cast<double>(horizontal_sum(sum));
}

}  // namespace

template <class T>
OrderedSum inner_product(const Layout& layout, const T* a, const T* b, Rows rows) {
    OrderedSum sum;
    layout.for_each_pencil(
        rows.begin, rows.end, [&](std::int64_t, std::int64_t flat, std::int64_t length) {
            for (std::int64_t i = 0; i < length; i += kBlock) {
                sum.add(dot_block(a + flat + i, b + flat + i, std::min(kBlock, length - i)));
            }
        });
    return sum;
}

template <class T>
void relax(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation, T growth,
           ReadFields<T> z, int n_fields, WriteFields<T> out, Rows rows) {
    alignas(64) T values[kMaxBundle * kBlock];
    for_each_block(geometry.layout(), rows, [&](std::int64_t flat, std::int64_t n) {
        const std::int64_t stride = block_stride<T>(n);
        find_pre(geometry, layer, z, n_fields, values, flat, n);
        activate(activation, values, values, static_cast<std::size_t>(n_fields * stride));
        for (int g = 0; g < n_fields; ++g) {
            const T* f = values + g * stride;
            const T* from = z[g] + flat;
            T* to = out[g] + flat;
            for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
                const Pack<T> omega = at(layer.omega, flat + i);
                const Pack<T> keep = broadcast(T(1)) - omega - broadcast(growth);
                store_up_to(to + i, keep * load(from + i) + omega * load(f + i), rest);
            });
        }
    });
    for (int g = 0; g < n_fields; ++g) {
        geometry.layout().zero_masked(out[g], rows.begin, rows.end);
    }
}

template <class T>
bool recovers_activation(Activation activation, const Coefficient<T>& omega, bool measures_states) {
    constexpr T least_omega = T(0.1);
    return has_derivative_of_value(activation) && !measures_states && !omega.is_local &&
           omega.data[0] >= least_omega;
}

namespace {

// Exactly zero at ghosts and masked cells, whatever their Z.
template <class T>
[[gnu::always_inline]] inline Pack<T> source_of(Pack<T> omega, Pack<T> slope, Pack<T> cotangent) {
    const Pack<T> none = broadcast(T(0));
    return select(cotangent == none, none, omega * slope * cotangent);
}

// (f - z) lambda of a block, which is the gradient of omega.
template <class T>
void pull_omega(const T* f, const T* z, const T* lambda, std::int64_t flat, std::int64_t n,
                const LayerGradient<T>& gradient) {
    Pack<T> sum = broadcast(T(0));
    for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
        const Pack<T> change =
            (load_up_to(f + i, rest) - load_up_to(z + i, rest)) * load_up_to(lambda + i, rest);
        sum += change;
        if (!gradient.omega_field) return;
        T* bar = gradient.omega_field + flat + i;
        store_up_to(bar, load_up_to(bar, rest) + change, rest);
    });
    if (gradient.omega_sum) gradient.omega_sum->add(static_cast<double>(horizontal_sum(sum)));
}

// s = omega f'(Z) lambda of a block; f recovered from z' where that is given.
template <class T>
void pull_source(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation,
                 const ReverseFields<T>& fields, std::int64_t flat, std::int64_t n,
                 const LayerGradient<T>& gradient) {
    alignas(64) T values[kMaxBundle * kBlock], slopes[kMaxBundle * kBlock];
    const std::int64_t stride = block_stride<T>(n);
    const bool pulls_omega = gradient.omega_sum || gradient.omega_field;
    if (!fields.z_next) {
        find_pre<T>(geometry, layer, fields.z, fields.n_fields, values, flat, n);
        activate_with_derivative(activation, values, values, slopes,
                                 static_cast<std::size_t>(fields.n_fields * stride));
    }
    const DerivativeOfValue<T> derivative(activation);
    for (int g = 0; g < fields.n_fields; ++g) {
        const T* state = fields.z[g] + flat;
        const T* cotangent = fields.lambda[g] + flat;
        T* source = fields.s[g] + flat;
        T* f = values + g * stride;
        const T* slope = slopes + g * stride;
        if (fields.z_next) {
            const T* next = fields.z_next[g] + flat;
            const Pack<T> omega = broadcast(layer.omega.data[0]);
            const Pack<T> inverse = broadcast(T(1) / layer.omega.data[0]);
            for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
                const Pack<T> from = load(state + i);
                const Pack<T> value = from + inverse * (load(next + i) - from);
                if (pulls_omega) store(f + i, value);
                store_up_to(source + i, source_of<T>(omega, derivative(value), load(cotangent + i)),
                            rest);
            });
        } else {
            for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
                store_up_to(
                    source + i,
                    source_of<T>(at(layer.omega, flat + i), load(slope + i), load(cotangent + i)),
                    rest);
            });
        }
        if (pulls_omega) pull_omega(f, state, cotangent, flat, n, gradient);
    }
}

// Gradients of the stencil weights and the bias from a block of s and z.
template <class T>
void pull_coefficients(const StencilGeometry& geometry, const ReverseFields<T>& fields,
                       std::int64_t flat, std::int64_t n, const LayerGradient<T>& gradient) {
    const WeightFields<T> bars{gradient.weights_field, gradient.bias_field};
    const Fields<T> s = fields.s;
    if (bars.w) {
        accumulate_stencil(geometry, s, fields.z, fields.n_fields, bars, flat, n);
    } else {
        accumulate_stencil<T>(geometry, s, fields.z, fields.n_fields, gradient.weights_sum, flat,
                              n);
        for (int g = 0; bars.bias && g < fields.n_fields; ++g) {
            subtract(s[g] + flat, bars.bias + flat, n);
        }
    }
    for (int g = 0; gradient.bias_sum && g < fields.n_fields; ++g) {
        gradient.bias_sum->add(-sum_of(s[g] + flat, n));
    }
    for (int g = 0; gradient.drive && g < fields.n_fields; ++g) {
        add(s[g] + flat, gradient.drive[g] + flat, n);
    }
}

}  // namespace

// The source of a block is used while it lies in the first-level cache: by the weights at once, by
// the state as far as the stencil's reach allows.
template <class T>
void pull_back(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation,
               T growth, const ReverseFields<T>& fields, const ReverseRows& rows,
               const LayerGradient<T>& gradient) {
    const Layout& layout = geometry.layout();
    const std::int64_t reach = layout.radius() * layout.row_length() + layout.inner_reach();
    std::int64_t pulled = layout.begin(rows.out.begin);
    const auto pull_state_to = [&](std::int64_t end) {
        if (end <= pulled) return;
        gather_stencil(geometry, layer.weights, layer.omega, growth, fields.lambda, fields.s,
                       fields.n_fields, fields.out, pulled, end - pulled);
        pulled = end;
    };
    const std::int64_t out_end = layout.begin(rows.out.end);
    const auto pull = [&](Rows part, const LayerGradient<T>* to) {
        for_each_block(layout, part, [&](std::int64_t flat, std::int64_t n) {
            pull_source(geometry, layer, activation, fields, flat, n,
                        to ? *to : LayerGradient<T>());
            if (to) pull_coefficients(geometry, fields, flat, n, *to);
            const std::int64_t known = (flat + n - reach) / kAlignedEntries * kAlignedEntries;
            pull_state_to(std::min(known, out_end));
        });
    };
    pull({rows.sources.begin, rows.own.begin}, nullptr);
    pull(rows.own, &gradient);
    pull({rows.own.end, rows.sources.end}, nullptr);
    pull_state_to(out_end);
}

template <class T>
void relax_tangent(const StencilGeometry& geometry, const StencilGeometry& linear_geometry,
                   const Layer<T>& layer, const Layer<T>& layer_dot, Activation activation,
                   T growth, T growth_dot, const T* z, const T* z_dot, T* out_dot, Rows rows) {
    alignas(64) T pre[kBlock], f[kBlock], slope[kBlock];
    // The change of Z by the coefficients and by the state.
    alignas(64) T by_layer[kBlock], by_state[kBlock];
    for_each_block(geometry.layout(), rows, [&](std::int64_t flat, std::int64_t n) {
        find_pre<T>(geometry, layer, z, 1, pre, flat, n);
        activate_with_derivative(activation, pre, f, slope, static_cast<std::size_t>(n));
        find_pre<T>(geometry, layer_dot, z, 1, by_layer, flat, n);
        apply_stencil(linear_geometry, layer.weights, Coefficient<T>(), z_dot, 1, by_state, flat,
                      n);
        for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
            const Pack<T> omega = at(layer.omega, flat + i);
            const Pack<T> keep = broadcast(T(1)) - omega - broadcast(growth);
            const Pack<T> state = load(z + flat + i);
            Pack<T> dot = keep * load(z_dot + flat + i) +
                          omega * load(slope + i) * (load(by_layer + i) + load(by_state + i)) -
                          broadcast(growth_dot) * state;
            if (layer_dot.omega.data) {
                dot += at(layer_dot.omega, flat + i) * (load(f + i) - state);
            }
            store_up_to(out_dot + flat + i, dot, rest);
        });
    });
    geometry.layout().zero_masked(out_dot, rows.begin, rows.end);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template OrderedSum inner_product<T>(const Layout&, const T*, const T*, Rows);                 \
    template void relax<T>(const StencilGeometry&, const Layer<T>&, Activation, T, ReadFields<T>,  \
                           int, WriteFields<T>, Rows);                                             \
    template bool recovers_activation<T>(Activation, const Coefficient<T>&, bool);                 \
    template void pull_back<T>(const StencilGeometry&, const Layer<T>&, Activation, T,             \
                               const ReverseFields<T>&, const ReverseRows&,                        \
                               const LayerGradient<T>&);                                           \
    template void relax_tangent<T>(const StencilGeometry&, const StencilGeometry&,                 \
                                   const Layer<T>&, const Layer<T>&, Activation, T, T, const T*,   \
                                   const T*, T*, Rows);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
