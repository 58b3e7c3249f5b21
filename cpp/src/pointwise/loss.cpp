#include "relaxon/pointwise/loss.hpp"

#include <algorithm>
#include <cmath>

namespace relaxon {

namespace {

// Cells summed in plain order before they enter the compensated sum.
constexpr std::int64_t kRun = 512;

// n cells, `step` entries apart in z and lambda.
template <class T, class Distance>
void add_run(const StateTarget<T>& target, std::int64_t cell, const T* z, double scale, T* lambda,
             std::int64_t step, std::int64_t n, const Distance& distance, OrderedSum& sum) {
    const T factor = static_cast<T>(Distance::kFactor * scale);
    for (std::int64_t begin = 0; begin < n; begin += kRun) {
        double block = 0.0;
        for (std::int64_t i = begin; i < std::min(n, begin + kRun); ++i) {
            if (target.mask && !target.mask[cell + i]) continue;
            const T weight = target.weights ? target.weights[cell + i] : T(1);
            if (weight == T(0)) continue;
            const T residual = z[i * step] - target.y[cell + i];
            block += static_cast<double>(weight * distance.value(residual));
            if (lambda) lambda[i * step] += factor * weight * distance.slope(residual);
        }
        sum.add(block);
    }
}

}  // namespace

bool parse(std::string_view text, LossKind& kind) {
#define RELAXON_ENTRY(entry, name, Distance)                                                       \
    if (text == name) {                                                                            \
        kind = LossKind::entry;                                                                    \
        return true;                                                                               \
    }
    RELAXON_DISTANCES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    if (text != "cross-entropy") return false;
    kind = LossKind::cross_entropy;
    return true;
}

template <class T>
OrderedSum distance(const Layout& layout, const StateTarget<T>& target, const T* z, double scale,
                    T* lambda, Rows rows) {
    OrderedSum sum;
    with_distance<T>(target.loss, [&](const auto& pointwise) {
        layout.for_each_pencil(
            rows.begin, rows.end, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
                add_run(target, cell, z + flat, scale, lambda ? lambda + flat : nullptr,
                        layout.n_lanes(), n, pointwise, sum);
            });
    });
    return sum;
}

template <class T>
OrderedSum distance(const StateTarget<T>& target, const T* z, double scale, T* lambda,
                    std::int64_t n) {
    OrderedSum sum;
    with_distance<T>(target.loss, [&](const auto& pointwise) {
        add_run(target, 0, z, scale, lambda, 1, n, pointwise, sum);
    });
    return sum;
}

template <class T>
double cross_entropy(const T* z, std::int64_t label, double scale, T* lambda, std::int64_t n) {
    // The largest output is taken out of the exponentials, so that none overflows.
    const double largest = static_cast<double>(*std::max_element(z, z + n));
    double total = 0.0;
    for (std::int64_t k = 0; k < n; ++k) total += std::exp(static_cast<double>(z[k]) - largest);
    for (std::int64_t k = 0; lambda && k < n; ++k) {
        const double share = std::exp(static_cast<double>(z[k]) - largest) / total;
        lambda[k] = static_cast<T>(scale * (share - (k == label ? 1.0 : 0.0)));
    }
    return std::log(total) + (largest - static_cast<double>(z[label]));
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template OrderedSum distance<T>(const Layout&, const StateTarget<T>&, const T*, double, T*,    \
                                    Rows);                                                         \
    template OrderedSum distance<T>(const StateTarget<T>&, const T*, double, T*, std::int64_t);    \
    template double cross_entropy<T>(const T*, std::int64_t, double, T*, std::int64_t);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
