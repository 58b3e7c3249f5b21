#include "relaxon/training/penalty.hpp"

#include "relaxon/base/sum.hpp"

namespace relaxon {

template <class T>
double l2_penalty(const Grid& grid, bool is_local, double strength, const T* p,
                  std::int64_t n_fields, T* bar) {
    const std::int64_t n_cells = is_local ? grid.n_cells() : 1;
    const T factor = static_cast<T>(2.0 * strength);
    OrderedSum sum;
    for (std::int64_t i = 0; i < n_fields * n_cells; ++i) {
        if (is_local && !grid.exists(i % n_cells)) continue;
        sum.add(static_cast<double>(p[i]) * p[i]);
        bar[i] += factor * p[i];
    }
    return strength * sum.value();
}

template <class T>
double smoothness_penalty(const Grid& grid, double strength, const T* p, std::int64_t n_fields,
                          T* bar) {
    const std::int64_t n_cells = grid.n_cells();
    std::int64_t n_existing = 0;
    for (std::int64_t cell = 0; cell < n_cells; ++cell) n_existing += grid.exists(cell) ? 1 : 0;
    const double scale = strength / static_cast<double>(n_existing);
    OrderedSum sum;
    std::int64_t stride = n_cells;
    for (int axis = 0; axis < grid.ndim(); ++axis) {
        const std::int64_t n = grid.shape()[static_cast<std::size_t>(axis)];
        stride /= n;
        for (std::int64_t cell = 0; cell < n_cells; ++cell) {
            const bool is_last = cell / stride % n == n - 1;
            if (is_last && !grid.is_periodic(axis)) continue;
            const std::int64_t next = is_last ? cell - (n - 1) * stride : cell + stride;
            if (!grid.exists(cell) || !grid.exists(next)) continue;
            for (std::int64_t field = 0; field < n_fields; ++field) {
                const std::int64_t start = field * n_cells;
                const double step = static_cast<double>(p[start + next]) - p[start + cell];
                sum.add(step * step);
                const T pull = static_cast<T>(2.0 * scale * step);
                bar[start + next] += pull;
                bar[start + cell] -= pull;
            }
        }
    }
    return scale * sum.value();
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template double l2_penalty<T>(const Grid&, bool, double, const T*, std::int64_t, T*);          \
    template double smoothness_penalty<T>(const Grid&, double, const T*, std::int64_t, T*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
