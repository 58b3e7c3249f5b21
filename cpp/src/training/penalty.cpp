#include "relaxon/training/penalty.hpp"

#include <algorithm>

#include "relaxon/base/sum.hpp"

namespace relaxon {

namespace {

std::int64_t count_existing(const Grid& grid) {
    std::int64_t n = 0;
    for (std::int64_t cell = 0; cell < grid.n_cells(); ++cell) n += grid.exists(cell) ? 1 : 0;
    return n;
}

// f(cell, next) for all existing neighbours along an axis.
template <class F>
void for_each_pair(const Grid& grid, const F& f) {
    const std::int64_t n_cells = grid.n_cells();
    std::int64_t stride = n_cells;
    for (int axis = 0; axis < grid.ndim(); ++axis) {
        const std::int64_t n = grid.shape()[static_cast<std::size_t>(axis)];
        stride /= n;
        for (std::int64_t cell = 0; cell < n_cells; ++cell) {
            const bool is_last = cell / stride % n == n - 1;
            if (is_last && !grid.is_periodic(axis)) continue;
            const std::int64_t next = is_last ? cell - (n - 1) * stride : cell + stride;
            if (grid.exists(cell) && grid.exists(next)) f(cell, next);
        }
    }
}

}  // namespace

template <class T, class Bar>
double l2_penalty(const Grid& grid, bool is_local, double strength, const T* p,
                  std::int64_t n_fields, Bar* bar) {
    const std::int64_t n_cells = is_local ? grid.n_cells() : 1;
    const Bar factor = static_cast<Bar>(2.0 * strength);
    OrderedSum sum;
    for (std::int64_t i = 0; i < n_fields * n_cells; ++i) {
        if (is_local && !grid.exists(i % n_cells)) continue;
        sum.add(static_cast<double>(p[i]) * p[i]);
        if (bar) bar[i] += factor * p[i];
    }
    return strength * sum.value();
}

template <class T, class Bar>
double smoothness_penalty(const Grid& grid, double strength, const T* p, std::int64_t n_fields,
                          Bar* bar) {
    const double scale = strength / static_cast<double>(count_existing(grid));
    OrderedSum sum;
    for_each_pair(grid, [&](std::int64_t cell, std::int64_t next) {
        for (std::int64_t field = 0; field < n_fields; ++field) {
            const std::int64_t start = field * grid.n_cells();
            const double step = static_cast<double>(p[start + next]) - p[start + cell];
            sum.add(step * step);
            if (!bar) continue;
            const Bar pull = static_cast<Bar>(2.0 * scale * step);
            bar[start + next] += pull;
            bar[start + cell] -= pull;
        }
    });
    return scale * sum.value();
}

void smoothness_diagonal(const Grid& grid, double* diagonal) {
    const double pull = 2.0 / static_cast<double>(count_existing(grid));
    std::fill(diagonal, diagonal + grid.n_cells(), 0.0);
    for_each_pair(grid, [&](std::int64_t cell, std::int64_t next) {
        diagonal[cell] += pull;
        diagonal[next] += pull;
    });
}

#define RELAXON_INSTANTIATE(T, Bar)                                                                \
    template double l2_penalty<T, Bar>(const Grid&, bool, double, const T*, std::int64_t, Bar*);   \
    template double smoothness_penalty<T, Bar>(const Grid&, double, const T*, std::int64_t, Bar*);
RELAXON_INSTANTIATE(float, float)
RELAXON_INSTANTIATE(float, double)
RELAXON_INSTANTIATE(double, double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
