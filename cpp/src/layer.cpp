#include "relaxon/layer.hpp"

#include <algorithm>

#include "relaxon/array.hpp"
#include "relaxon/simd.hpp"

namespace relaxon {

namespace {

template <class T>
constexpr std::int64_t kWidth = kPackWidth<T>;

template <class F>
void for_each_block(const Layout& layout, Rows rows, const F& f) {
    const std::int64_t end = layout.begin(rows.end);
    for (std::int64_t flat = layout.begin(rows.begin); flat < end; flat += kBlock) {
        f(flat, std::min(kBlock, end - flat));
    }
}

template <class T>
Pack<T> at(const Coefficient<T>& coefficient, std::int64_t flat) {
    return coefficient.is_local ? load(coefficient.data + flat) : broadcast(coefficient.data[0]);
}

// The last pack of a block may be cut short: what lies behind the block belongs to another task.
template <class T>
void store_up_to(T* to, Pack<T> value, std::int64_t rest) {
    if (rest >= kWidth<T>) {
        store(to, value);
    } else {
        store_partial(to, value, rest);
    }
}

template <class T>
Pack<T> load_up_to(const T* from, std::int64_t rest) {
    return rest >= kWidth<T> ? load(from) : load_partial(from, rest);
}

// body(i, rest): pack number i / width of a block, `rest` of its entries left.
template <class T, class F>
void for_each_pack_of(std::int64_t n, const F& body) {
    for (std::int64_t i = 0; i < n; i += kWidth<T>) body(i, n - i);
}

// Z of a block; stencils work on pairs of packs.
template <class T>
void transform(const StencilGeometry& geometry, const Layer<T>& layer, const T* z, T* pre,
               std::int64_t flat, std::int64_t n) {
    if (layer.bias.data) {
        for_each_pack_of<T>(round_up(n, 2 * kWidth<T>), [&](std::int64_t i, std::int64_t) {
            store(pre + i, -at(layer.bias, flat + i));
        });
    } else {
        std::fill(pre, pre + round_up(n, 2 * kWidth<T>), T(0));
    }
    apply_stencil(geometry, layer.weights, z, pre, flat, n);
}

template <class T>
double sum_of(const T* values, std::int64_t n) {
    Pack<T> sum = broadcast(T(0));
    for_each_pack_of<T>(
        n, [&](std::int64_t i, std::int64_t rest) { sum += load_up_to(values + i, rest); });
    return static_cast<double>(horizontal_sum(sum));
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
           const T* z, T* out, Rows rows) {
    alignas(64) T pre[kBlock], f[kBlock];
    for_each_block(geometry.layout(), rows, [&](std::int64_t flat, std::int64_t n) {
        transform(geometry, layer, z, pre, flat, n);
        activate(activation, pre, f, static_cast<std::size_t>(n));
        for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
            const Pack<T> omega = at(layer.omega, flat + i);
            const Pack<T> keep = broadcast(T(1)) - omega - broadcast(growth);
            store_up_to(out + flat + i, keep * load(z + flat + i) + omega * load(f + i), rest);
        });
    });
    geometry.layout().zero_masked(out, rows.begin, rows.end);
}

template <class T>
bool recovers_activation(const Layer<T>& layer, Activation activation) {
    constexpr T least_omega = T(0.1);
    return has_derivative_of_value(activation) && !layer.omega.is_local &&
           layer.omega.data[0] >= least_omega;
}

template <class T>
void pull_source(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation,
                 const T* z, const T* z_next, const T* lambda, T* s, Rows rows,
                 const LayerGradient<T>& gradient) {
    alignas(64) T pre[kBlock], f[kBlock], slope[kBlock];
    for_each_block(geometry.layout(), rows, [&](std::int64_t flat, std::int64_t n) {
        if (z_next) {
            const Pack<T> inverse = broadcast(T(1) / layer.omega.data[0]);
            for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t) {
                const Pack<T> state = load(z + flat + i);
                store(f + i, state + inverse * (load(z_next + flat + i) - state));
            });
            derivative_of_value(activation, f, slope, static_cast<std::size_t>(n));
        } else {
            transform(geometry, layer, z, pre, flat, n);
            activate_with_derivative(activation, pre, f, slope, static_cast<std::size_t>(n));
        }
        for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
            const Pack<T> cotangent = load(lambda + flat + i);
            const Pack<T> pulled = at(layer.omega, flat + i) * load(slope + i) * cotangent;
            // Exactly zero at ghosts and masked cells, whatever their Z.
            const Pack<T> none = broadcast(T(0));
            store_up_to(s + flat + i, select(cotangent == none, none, pulled), rest);
        });
        if (gradient.bias_sum) gradient.bias_sum->add(-sum_of(s + flat, n));
        if (gradient.bias_field) {
            for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
                T* bar = gradient.bias_field + flat + i;
                store_up_to(bar, load_up_to(bar, rest) - load_up_to(s + flat + i, rest), rest);
            });
        }
        if (!gradient.omega_sum && !gradient.omega_field) return;
        for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
            const Pack<T> change = load_up_to(f + i, rest) - load_up_to(z + flat + i, rest);
            store(pre + i, change * load_up_to(lambda + flat + i, rest));
        });
        if (gradient.omega_sum) gradient.omega_sum->add(sum_of(pre, n));
        if (gradient.omega_field) {
            for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
                T* bar = gradient.omega_field + flat + i;
                store_up_to(bar, load_up_to(bar, rest) + load(pre + i), rest);
            });
        }
    });
}

template <class T>
void pull_state(const StencilGeometry& geometry, const Layer<T>& layer, T growth, const T* lambda,
                const T* s, T* out, Rows rows) {
    alignas(64) T sum[kBlock];
    for_each_block(geometry.layout(), rows, [&](std::int64_t flat, std::int64_t n) {
        gather_stencil(geometry, layer.weights, s, sum, flat, n);
        for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
            const Pack<T> keep = broadcast(T(1)) - at(layer.omega, flat + i) - broadcast(growth);
            store_up_to(out + flat + i, keep * load(lambda + flat + i) + load(sum + i), rest);
        });
    });
}

template <class T>
void pull_weights(const StencilGeometry& geometry, const T* s, const T* z, Rows rows,
                  const LayerGradient<T>& gradient) {
    for_each_block(geometry.layout(), rows, [&](std::int64_t flat, std::int64_t n) {
        if (gradient.weights_field) {
            accumulate_stencil(geometry, s, z, gradient.weights_field, flat, n);
        } else {
            accumulate_stencil(geometry, s, z, gradient.weights_sum, flat, n);
        }
    });
}

template <class T>
void relax_tangent(const StencilGeometry& geometry, const StencilGeometry& linear_geometry,
                   const Layer<T>& layer, const Layer<T>& layer_dot, Activation activation,
                   T growth, T growth_dot, const T* z, const T* z_dot, T* out_dot, Rows rows) {
    alignas(64) T pre[kBlock], pre_dot[kBlock], f[kBlock], slope[kBlock];
    for_each_block(geometry.layout(), rows, [&](std::int64_t flat, std::int64_t n) {
        transform(geometry, layer, z, pre, flat, n);
        activate_with_derivative(activation, pre, f, slope, static_cast<std::size_t>(n));
        transform(geometry, layer_dot, z, pre_dot, flat, n);
        apply_stencil(linear_geometry, layer.weights, z_dot, pre_dot, flat, n);
        for_each_pack_of<T>(n, [&](std::int64_t i, std::int64_t rest) {
            const Pack<T> omega = at(layer.omega, flat + i);
            const Pack<T> keep = broadcast(T(1)) - omega - broadcast(growth);
            const Pack<T> state = load(z + flat + i);
            Pack<T> dot = keep * load(z_dot + flat + i) +
                          omega * load(slope + i) * load(pre_dot + i) -
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
    template void relax<T>(const StencilGeometry&, const Layer<T>&, Activation, T, const T*, T*,   \
                           Rows);                                                                  \
    template bool recovers_activation<T>(const Layer<T>&, Activation);                             \
    template void pull_source<T>(const StencilGeometry&, const Layer<T>&, Activation, const T*,    \
                                 const T*, const T*, T*, Rows, const LayerGradient<T>&);           \
    template void pull_state<T>(const StencilGeometry&, const Layer<T>&, T, const T*, const T*,    \
                                T*, Rows);                                                         \
    template void pull_weights<T>(const StencilGeometry&, const T*, const T*, Rows,                \
                                  const LayerGradient<T>&);                                        \
    template void relax_tangent<T>(const StencilGeometry&, const StencilGeometry&,                 \
                                   const Layer<T>&, const Layer<T>&, Activation, T, T, const T*,   \
                                   const T*, T*, Rows);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
