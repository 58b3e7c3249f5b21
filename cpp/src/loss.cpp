#include "relaxon/loss.hpp"

#include <algorithm>

namespace relaxon {

namespace {

// Cells summed in plain order before they enter the compensated sum.
constexpr std::int64_t kRun = 512;

// n cells, `step` entries apart in z and lambda.
template <class T>
void add_run(const StateTarget<T>& target, std::int64_t cell, const T* z, T factor, T* lambda,
             std::int64_t step, std::int64_t n, OrderedSum& sum) {
    for (std::int64_t begin = 0; begin < n; begin += kRun) {
        double block = 0.0;
        for (std::int64_t i = begin; i < std::min(n, begin + kRun); ++i) {
            if (target.mask && !target.mask[cell + i]) continue;
            const T weight = target.weights ? target.weights[cell + i] : T(1);
            if (weight == T(0)) continue;
            const T residual = z[i * step] - target.y[cell + i];
            block += static_cast<double>(weight * residual * residual);
            if (lambda) lambda[i * step] += factor * weight * residual;
        }
        sum.add(block);
    }
}

}  // namespace

template <class T>
OrderedSum squared_distance(const Layout& layout, const StateTarget<T>& target, const T* z,
                            double scale, T* lambda, Rows rows) {
    OrderedSum sum;
    const T factor = static_cast<T>(2.0 * scale);
    layout.for_each_pencil(rows.begin, rows.end,
                           [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                               add_run(target, cell, z + flat, factor,
                                       lambda ? lambda + flat : nullptr, layout.n_lanes(), n, sum);
                           });
    return sum;
}

template <class T>
OrderedSum squared_distance(const StateTarget<T>& target, const T* z, double scale, T* lambda,
                            std::int64_t n) {
    OrderedSum sum;
    add_run(target, 0, z, static_cast<T>(2.0 * scale), lambda, 1, n, sum);
    return sum;
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template OrderedSum squared_distance<T>(const Layout&, const StateTarget<T>&, const T*,        \
                                            double, T*, Rows);                                     \
    template OrderedSum squared_distance<T>(const StateTarget<T>&, const T*, double, T*,           \
                                            std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
