// Gradients of stencil weights.
#include "relaxon/operators/stencil/kernels.hpp"
#include "relaxon/operators/stencil/loops.hpp"

namespace relaxon {

namespace {

// One pass over the fields: samples are added to each entry in order.
template <class T, int NArms, int NSamples>
void accumulate_fields(const StencilGeometry& geometry, Fields<const T> s, Fields<const T> z,
                       const WeightFields<T>& bar, std::int64_t flat, std::int64_t n) {
    const int n_arms = NArms > 0 ? NArms : geometry.n_arms();
    const auto bar_of = [&](int k) { return bar.w[k] + flat; };
    const auto target_of = [&](int k) { return z[0] + flat + geometry.offset(k); };
    const T* targets[kPlaces<NArms>];
    T* bars[kPlaces<NArms>];
    if constexpr (NArms > 0) {
        for (int k = 0; k < NArms; ++k) {
            targets[k] = target_of(k);
            bars[k] = bar_of(k);
        }
    }
    for_each_pack<T>(
        static_cast<std::size_t>(n), [&](std::size_t at,
                                         std::size_t count) __attribute__((always_inline)) {
            const auto i = static_cast<std::int64_t>(at);
            Pack<T> source[NSamples];
            for (int g = 0; g < NSamples; ++g) {
                source[g] = load_partial(s[g] + flat + i, count);
            }
            const auto add = [&](T * sum, const T* target) __attribute__((always_inline)) {
                Pack<T> value = load_partial(sum + i, count);
                for (int g = 0; g < NSamples; ++g) {
                    value += source[g] * load_partial(target + g * z.stride() + i, count);
                }
                store_partial(sum + i, value, count);
            };
            if constexpr (NArms > 0) {
                for (int k = 0; k < NArms; ++k) add(bars[k], targets[k]);
            } else {
                for (int k = 0; k < n_arms; ++k) add(bar_of(k), target_of(k));
            }
            if (!bar.bias) return;
            Pack<T> value = load_partial(bar.bias + flat + i, count);
            for (int g = 0; g < NSamples; ++g) value -= source[g];
            store_partial(bar.bias + flat + i, value, count);
        });
}

// accumulate_fields for arms at -1, 0 and 1.
template <class T, int NSamples>
void accumulate_line(Fields<const T> s, Fields<const T> z, const WeightFields<T>& bar,
                     std::int64_t flat, std::int64_t n) {
    LineWindow<T> lines[NSamples];
    for (int g = 0; g < NSamples; ++g) lines[g] = LineWindow<T>(z[g] + flat);
    for (std::int64_t i = 0; i < n; i += static_cast<std::int64_t>(kPackWidth<T>)) {
        Pack<T> sums[3];
        for (int k = 0; k < 3; ++k) sums[k] = load(bar.w[k] + flat + i);
        Pack<T> sources[NSamples];
        for (int g = 0; g < NSamples; ++g) {
            sources[g] = load(s[g] + flat + i);
            lines[g].load_next();
            for (int k = 0; k < 3; ++k) sums[k] += sources[g] * lines[g][k - 1];
            lines[g].step();
        }
        for (int k = 0; k < 3; ++k) store_up_to(bar.w[k] + flat + i, sums[k], n - i);
        if (!bar.bias) continue;
        Pack<T> sum = load(bar.bias + flat + i);
        for (int g = 0; g < NSamples; ++g) sum -= sources[g];
        store_up_to(bar.bias + flat + i, sum, n - i);
    }
}

// sum_i s_i z_{i + off_k} for arms first..first + NArms - 1, each in two sums side by side.
template <class T, int NArms>
void accumulate_sums(const StencilGeometry& geometry, const T* s, const T* z, OrderedSum* bar,
                     int first, std::int64_t flat, std::int64_t n) {
    constexpr std::int64_t width = kPackWidth<T>;
    Pack<T> even[NArms], odd[NArms];
    const T* targets[NArms];
    for (int k = 0; k < NArms; ++k) {
        even[k] = odd[k] = broadcast(T(0));
        targets[k] = z + flat + geometry.offset(first + k);
    }
    const T* sources = s + flat;
    std::int64_t i = 0;
    for (; i + 2 * width <= n; i += 2 * width) {
        const Pack<T> low = load(sources + i), high = load(sources + i + width);
        for (int k = 0; k < NArms; ++k) {
            even[k] += low * load(targets[k] + i);
            odd[k] += high * load(targets[k] + i + width);
        }
    }
    for (; i < n; i += width) {
        const Pack<T> source = load_up_to(sources + i, n - i);
        for (int k = 0; k < NArms; ++k) even[k] += source * load_up_to(targets[k] + i, n - i);
    }
    for (int k = 0; k < NArms; ++k) {
        bar[first + k].add(static_cast<double>(horizontal_sum(even[k] + odd[k])));
    }
}

}  // namespace

template <class T>
void accumulate_stencil(const StencilGeometry& geometry, ReadFields<T> s, ReadFields<T> z,
                        int n_fields, const WeightFields<T>& bar, std::int64_t flat,
                        std::int64_t n) {
    for_each_group(n_fields, [&](int first, auto group_size) {
        with_arms(geometry.n_arms(), [&](auto n_arms) {
            if constexpr (n_arms.value == 3) {
                if (geometry.is_line()) {
                    accumulate_line<T, group_size.value>(s.from(first), z.from(first), bar, flat,
                                                         n);
                    return;
                }
            }
            accumulate_fields<T, n_arms.value, group_size.value>(geometry, s.from(first),
                                                                 z.from(first), bar, flat, n);
        });
    });
    geometry.for_each_cut_arm(flat, flat + n, [&](std::int64_t cell, int arm) {
        for (int g = 0; g < n_fields; ++g) {
            bar.w[arm][cell] += s[g][cell] * seen_by_cut(geometry, z[g], cell);
        }
    });
}

template <class T>
void accumulate_stencil(const StencilGeometry& geometry, ReadFields<T> s, ReadFields<T> z,
                        int n_fields, OrderedSum* bar, std::int64_t flat, std::int64_t n) {
    for (int g = 0; g < n_fields; ++g) {
        int arm = 0;
        for (; arm + 3 <= geometry.n_arms(); arm += 3) {
            accumulate_sums<T, 3>(geometry, s[g], z[g], bar, arm, flat, n);
        }
        for (; arm < geometry.n_arms(); ++arm) {
            accumulate_sums<T, 1>(geometry, s[g], z[g], bar, arm, flat, n);
        }
        geometry.for_each_cut_arm(flat, flat + n, [&](std::int64_t cell, int k) {
            bar[k].add(static_cast<double>(s[g][cell]) * seen_by_cut(geometry, z[g], cell));
        });
    }
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void accumulate_stencil<T>(const StencilGeometry&, ReadFields<T>, ReadFields<T>, int, \
                                        const WeightFields<T>&, std::int64_t, std::int64_t);       \
    template void accumulate_stencil<T>(const StencilGeometry&, ReadFields<T>, ReadFields<T>, int, \
                                        OrderedSum*, std::int64_t, std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
