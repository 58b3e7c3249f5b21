// W z and W^T s.
#include "relaxon/operators/stencil/kernels.hpp"

#include "relaxon/operators/stencil/loops.hpp"

namespace relaxon {

namespace {

// sum_k w_k z_k over the arms of two packs of NSamples samples, which hides the latency of the
// multiply-adds behind each other. Direction 1: W, -1: W^T. start(g, i) is what sample g begins
// with, finish(g, i, sum) takes the result.
template <class T, bool IsLocal, int Direction, int NArms, int NSamples, class Start, class Finish>
void sum_arms(const StencilGeometry& geometry, const T* const* w, Fields<const T> fields,
              std::int64_t flat, std::int64_t n, const Start& start, const Finish& finish) {
    constexpr std::int64_t width = kPackWidth<T>;
    constexpr int samples = NSamples;
    const int n_arms = NArms > 0 ? NArms : geometry.n_arms();
    const std::int64_t stride = fields.stride();
    const auto target_of = [&](int k) { return fields[0] + flat + Direction * geometry.offset(k); };
    const auto weight_of = [&](int k) {
        if constexpr (!IsLocal) return w[k];
        return w[k] + flat + (Direction > 0 ? 0 : -geometry.offset(k));
    };
    const T *targets[kPlaces<NArms>], *weights[kPlaces<NArms>];
    if constexpr (NArms > 0) {
        for (int k = 0; k < NArms; ++k) {
            targets[k] = target_of(k);
            weights[k] = weight_of(k);
        }
    }
    for (std::int64_t i = 0; i < n; i += 2 * width) {
        Pack<T> low[samples], high[samples];
        for (int g = 0; g < samples; ++g) {
            low[g] = start(g, i);
            high[g] = start(g, i + width);
        }
        const auto add = [&](const T* target, const T* weight) __attribute__((always_inline)) {
            const Pack<T> first = IsLocal ? load(weight + i) : broadcast(weight[0]);
            const Pack<T> second = IsLocal ? load(weight + i + width) : first;
            for (int g = 0; g < samples; ++g) {
                low[g] += first * load(target + g * stride + i);
                high[g] += second * load(target + g * stride + i + width);
            }
        };
        if constexpr (NArms > 0) {
            for (int k = 0; k < NArms; ++k) add(targets[k], weights[k]);
        } else {
            for (int k = 0; k < n_arms; ++k) add(target_of(k), weight_of(k));
        }
        for (int g = 0; g < samples; ++g) {
            finish(g, i, low[g]);
            finish(g, i + width, high[g]);
        }
    }
}

// sum_arms for arms at -1, 0 and 1.
template <class T, bool IsLocal, int Direction, int NSamples, class Start, class Finish>
void sum_line(const T* const* w, Fields<const T> fields, std::int64_t flat, std::int64_t n,
              const Start& start, const Finish& finish) {
    LineWindow<T> lines[NSamples];
    for (int g = 0; g < NSamples; ++g) lines[g] = LineWindow<T>(fields[g] + flat);
    // W^T takes the weights where its sources are.
    LineWindow<T> low, high;
    if constexpr (IsLocal && Direction < 0) {
        low = LineWindow<T>(w[0] + flat);
        high = LineWindow<T>(w[2] + flat);
    }
    for (std::int64_t i = 0; i < n; i += static_cast<std::int64_t>(kPackWidth<T>)) {
        Pack<T> weights[3];
        if constexpr (!IsLocal) {
            for (int k = 0; k < 3; ++k) weights[k] = broadcast(w[k][0]);
        } else {
            for (int k = 0; k < 3; ++k) {
                if (Direction > 0 || k == 1) weights[k] = load(w[k] + flat + i);
            }
            if constexpr (Direction < 0) {
                low.load_next();
                high.load_next();
                weights[0] = low[1];
                weights[2] = high[-1];
                low.step();
                high.step();
            }
        }
        for (int g = 0; g < NSamples; ++g) {
            lines[g].load_next();
            Pack<T> sum = start(g, i);
            for (int k = 0; k < 3; ++k) sum += weights[k] * lines[g][Direction * (k - 1)];
            finish(g, i, sum);
            lines[g].step();
        }
    }
}

// start_of(first), finish_of(first): what `sum_arms` is given for the group at sample `first`.
template <class T, int Direction, class StartOf, class FinishOf>
void sum_arms(const StencilGeometry& geometry, const StencilWeights<T>& weights,
              Fields<const T> fields, int n_fields, std::int64_t flat, std::int64_t n,
              const StartOf& start_of, const FinishOf& finish_of) {
    for_each_group(n_fields, [&](int first, auto group_size) {
        with_arms(geometry.n_arms(), [&](auto n_arms) {
            const auto run = [&](auto is_local) {
                if constexpr (n_arms.value == 3) {
                    if (geometry.is_line()) {
                        sum_line<T, is_local.value, Direction, group_size.value>(
                            weights.w, fields.from(first), flat, n, start_of(first),
                            finish_of(first));
                        return;
                    }
                }
                sum_arms<T, is_local.value, Direction, n_arms.value, group_size.value>(
                    geometry, weights.w, fields.from(first), flat, n, start_of(first),
                    finish_of(first));
            };
            if (weights.is_local) {
                run(std::true_type());
            } else {
                run(std::false_type());
            }
        });
    });
}

}  // namespace

template <class T>
void apply_stencil(const StencilGeometry& geometry, const StencilWeights<T>& weights,
                   const Coefficient<T>& bias, ReadFields<T> z, int n_fields, T* pre,
                   std::int64_t flat, std::int64_t n) {
    const T none = T(0);
    const std::int64_t stride = block_stride<T>(n);
    const Coefficient<T> subtracted = bias.data ? bias : Coefficient<T>{&none, false};
    sum_arms<T, 1>(
        geometry, weights, z, n_fields, flat, n,
        [&](int) { return [&](int, std::int64_t i) { return -at(subtracted, flat + i); }; },
        [&](int first) {
            return [=](int g, std::int64_t i, Pack<T> sum) {
                store(pre + (first + g) * stride + i, sum);
            };
        });
    geometry.for_each_cut_arm(flat, flat + n, [&](std::int64_t cell, int arm) {
        const T weight = weights.at(arm, cell);
        for (int g = 0; g < n_fields; ++g) {
            pre[g * stride + cell - flat] += weight * seen_by_cut(geometry, z[g], cell);
        }
    });
}

template <class T>
void gather_stencil(const StencilGeometry& geometry, const StencilWeights<T>& weights,
                    const Coefficient<T>& omega, T growth, ReadFields<T> lambda, ReadFields<T> s,
                    int n_fields, WriteFields<T> out, std::int64_t flat, std::int64_t n) {
    sum_arms<T, -1>(
        geometry, weights, s, n_fields, flat, n,
        [&](int first) {
            return [&, first](int g, std::int64_t i) {
                // A sum that begins with two products has two ways to contract; this one has one.
                const Pack<T> cotangent = load(lambda[first + g] + flat + i);
                const Pack<T> lost = at(omega, flat + i) + broadcast(growth);
                return cotangent - lost * cotangent;
            };
        },
        [&](int first) {
            return [&, first](int g, std::int64_t i, Pack<T> sum) {
                if (i < n) store_up_to(out[first + g] + flat + i, sum, n - i);
            };
        });
    if (!geometry.cut_sees_centre()) return;
    geometry.for_each_cut_arm(flat, flat + n, [&](std::int64_t cell, int arm) {
        const T weight = weights.at(arm, cell);
        for (int g = 0; g < n_fields; ++g) out[g][cell] += weight * s[g][cell];
    });
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void apply_stencil<T>(const StencilGeometry&, const StencilWeights<T>&,               \
                                   const Coefficient<T>&, ReadFields<T>, int, T*, std::int64_t,    \
                                   std::int64_t);                                                  \
    template void gather_stencil<T>(const StencilGeometry&, const StencilWeights<T>&,              \
                                    const Coefficient<T>&, T, ReadFields<T>, ReadFields<T>, int,   \
                                    WriteFields<T>, std::int64_t, std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
