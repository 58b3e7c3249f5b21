#include "relaxon/operators/stencil.hpp"

#include <type_traits>

#include "relaxon/array.hpp"
#include "relaxon/error.hpp"
#include "relaxon/simd.hpp"

namespace relaxon {

StencilGeometry::StencilGeometry(const Grid& grid, const std::vector<Arm>& arms, int radius,
                                 std::int64_t overlap)
    : layout_(grid, radius, overlap),
      cut_sees_centre_(grid.mask_condition().kind == BoundaryKind::neumann),
      cut_value_(grid.mask_condition().value) {
    for (int axis = 0; axis < grid.ndim(); ++axis) {
        for (const Condition& side : grid.sides(axis)) {
            require(side.kind != BoundaryKind::neumann ||
                        grid.shape()[static_cast<std::size_t>(axis)] >= radius,
                    "boundary", "a Neumann axis holds at least as many cells as the stencil radius",
                    grid.shape()[static_cast<std::size_t>(axis)]);
        }
    }
    for (const Arm& arm : arms) offsets_.push_back(layout_.offset(arm));
    if (!grid.has_mask()) return;

    std::array<std::int64_t, 3> n{1, 1, 1};
    std::copy(grid.shape().begin(), grid.shape().end(), n.begin());
    layout_.for_each_pencil(
        0, layout_.n_rows(), [&](std::int64_t cell, std::int64_t flat, std::int64_t length) {
            for (std::int64_t i = 0; i < length; ++i) {
                if (!grid.exists(cell + i)) continue;
                std::array<std::int64_t, 3> at{};
                std::int64_t rest = cell + i;
                for (int axis = grid.ndim() - 1; axis >= 0; --axis) {
                    const auto a = static_cast<std::size_t>(axis);
                    at[a] = rest % n[a];
                    rest /= n[a];
                }
                bool is_inside = true;
                for (std::size_t a = 0; a < grid.shape().size(); ++a) {
                    is_inside = is_inside && at[a] >= radius && at[a] + radius < n[a];
                }
                for (std::size_t k = 0; k < arms.size(); ++k) {
                    if (is_inside) {
                        const std::int64_t step =
                            (arms[k][0] * n[1] + arms[k][1]) * n[2] + arms[k][2];
                        if (grid.exists(cell + i + step)) continue;
                    }
                    const GhostSource source =
                        resolve(grid, {at[0] + arms[k][0], at[1] + arms[k][1], at[2] + arms[k][2]});
                    if (!source.is_open && !grid.exists(source.cell)) {
                        cut_arms_.push_back({flat + i, static_cast<int>(k)});
                    }
                }
            }
        });
}

namespace {

// NArms: arms known at compile time (the stencils of ADR in one and two dimensions), whose pointers
// then stay in registers; 0: any number.
template <int NArms>
constexpr int kPlaces = NArms > 0 ? NArms : 1;

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

template <int N>
using Constant = std::integral_constant<int, N>;

// f(first, Constant<size>) for groups of samples that have a kernel of their own.
template <class F>
void for_each_group(int n_samples, const F& f) {
    int first = 0;
    for (; first + 4 <= n_samples; first += 4) f(first, Constant<4>());
    for (; first + 2 <= n_samples; first += 2) f(first, Constant<2>());
    if (first < n_samples) f(first, Constant<1>());
}

template <class F>
void with_arms(int n_arms, const F& f) {
    switch (n_arms) {
    case 3:
        return f(Constant<3>());
    case 9:
        return f(Constant<9>());
    default:
        return f(Constant<0>());
    }
}

// start_of(first), finish_of(first): what `sum_arms` is given for the group at sample `first`.
template <class T, int Direction, class StartOf, class FinishOf>
void sum_arms(const StencilGeometry& geometry, const StencilWeights<T>& weights,
              Fields<const T> fields, int n_samples, std::int64_t flat, std::int64_t n,
              const StartOf& start_of, const FinishOf& finish_of) {
    for_each_group(n_samples, [&](int first, auto group_size) {
        with_arms(geometry.n_arms(), [&](auto n_arms) {
            const auto run = [&](auto is_local) {
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

// What a cut arm of the cell at `flat` sees.
template <class T>
T seen_by_cut(const StencilGeometry& geometry, const T* z, std::int64_t flat) {
    return geometry.cut_sees_centre() ? z[flat] : static_cast<T>(geometry.cut_value());
}

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
void apply_stencil(const StencilGeometry& geometry, const StencilWeights<T>& weights,
                   const Coefficient<T>& bias, ReadFields<T> z, int n_samples, T* pre,
                   std::int64_t flat, std::int64_t n) {
    const T none = T(0);
    const Coefficient<T> subtracted = bias.data ? bias : Coefficient<T>{&none, false};
    sum_arms<T, 1>(
        geometry, weights, z, n_samples, flat, n,
        [&](int) { return [&](int, std::int64_t i) { return -at(subtracted, flat + i); }; },
        [&](int first) {
            return [=](int g, std::int64_t i, Pack<T> sum) {
                store(pre + (first + g) * kBlock + i, sum);
            };
        });
    geometry.for_each_cut_arm(flat, flat + n, [&](std::int64_t cell, int arm) {
        const T weight = weights.at(arm, cell);
        for (int g = 0; g < n_samples; ++g) {
            pre[g * kBlock + cell - flat] += weight * seen_by_cut(geometry, z[g], cell);
        }
    });
}

template <class T>
void gather_stencil(const StencilGeometry& geometry, const StencilWeights<T>& weights,
                    const Coefficient<T>& omega, T growth, ReadFields<T> lambda, ReadFields<T> s,
                    int n_samples, WriteFields<T> out, std::int64_t flat, std::int64_t n) {
    sum_arms<T, -1>(
        geometry, weights, s, n_samples, flat, n,
        [&](int first) {
            return [&, first](int g, std::int64_t i) {
                const Pack<T> keep = broadcast(T(1)) - at(omega, flat + i) - broadcast(growth);
                return keep * load(lambda[first + g] + flat + i);
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
        for (int g = 0; g < n_samples; ++g) out[g][cell] += weight * s[g][cell];
    });
}

template <class T>
void accumulate_stencil(const StencilGeometry& geometry, ReadFields<T> s, ReadFields<T> z,
                        int n_samples, const WeightFields<T>& bar, std::int64_t flat,
                        std::int64_t n) {
    for_each_group(n_samples, [&](int first, auto group_size) {
        with_arms(geometry.n_arms(), [&](auto n_arms) {
            accumulate_fields<T, n_arms.value, group_size.value>(geometry, s.from(first),
                                                                 z.from(first), bar, flat, n);
        });
    });
    geometry.for_each_cut_arm(flat, flat + n, [&](std::int64_t cell, int arm) {
        for (int g = 0; g < n_samples; ++g) {
            bar.w[arm][cell] += s[g][cell] * seen_by_cut(geometry, z[g], cell);
        }
    });
}

template <class T>
void accumulate_stencil(const StencilGeometry& geometry, ReadFields<T> s, ReadFields<T> z,
                        int n_samples, OrderedSum* bar, std::int64_t flat, std::int64_t n) {
    for (int g = 0; g < n_samples; ++g) {
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
    template void apply_stencil<T>(const StencilGeometry&, const StencilWeights<T>&,               \
                                   const Coefficient<T>&, ReadFields<T>, int, T*, std::int64_t,    \
                                   std::int64_t);                                                  \
    template void gather_stencil<T>(const StencilGeometry&, const StencilWeights<T>&,              \
                                    const Coefficient<T>&, T, ReadFields<T>, ReadFields<T>, int,   \
                                    WriteFields<T>, std::int64_t, std::int64_t);                   \
    template void accumulate_stencil<T>(const StencilGeometry&, ReadFields<T>, ReadFields<T>, int, \
                                        const WeightFields<T>&, std::int64_t, std::int64_t);       \
    template void accumulate_stencil<T>(const StencilGeometry&, ReadFields<T>, ReadFields<T>, int, \
                                        OrderedSum*, std::int64_t, std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
