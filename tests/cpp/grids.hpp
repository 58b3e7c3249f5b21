// Grids with every pair of conditions, and random numbers to fill them with.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "relaxon/domain/layout.hpp"

namespace relaxon {

using Shape = std::vector<std::int64_t>;

inline const Condition kPeriodic{BoundaryKind::periodic, 0.0};
inline const Condition kNeumann{BoundaryKind::neumann, 0.0};

inline Condition dirichlet(double value) { return {BoundaryKind::dirichlet, value}; }

// Multiples of 1 / 8 in [-2, 2]: sums and products of few of them are exact in both precisions.
template <class T>
std::vector<T> coarse_values(std::int64_t n, unsigned seed) {
    std::mt19937 engine(seed);
    std::vector<T> values(static_cast<std::size_t>(n));
    for (T& value : values) value = static_cast<T>(static_cast<int>(engine() % 33) - 16) / 8;
    return values;
}

template <class T>
std::vector<T> random_values(std::int64_t n, unsigned seed, double centre = 0.0,
                             double width = 1.0) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> uniform(centre - width, centre + width);
    std::vector<T> values(static_cast<std::size_t>(n));
    for (T& value : values) value = static_cast<T>(uniform(engine));
    return values;
}

// About a sixth of the cells is cut out; cell 0 always exists.
inline std::vector<std::uint8_t> random_mask(std::int64_t n, unsigned seed) {
    std::mt19937 engine(seed);
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(n));
    for (std::uint8_t& exists : mask) exists = engine() % 6 != 0;
    mask[0] = 1;
    return mask;
}

inline std::int64_t count_cells(const Shape& shape) {
    std::int64_t n = 1;
    for (const std::int64_t length : shape) n *= length;
    return n;
}

inline std::vector<Sides> all_axes(const Shape& shape, Condition low, Condition high) {
    return std::vector<Sides>(shape.size(), Sides{low, high});
}

enum class MaskKind { none, neumann, dirichlet };

inline std::shared_ptr<const Grid> make_grid(const Shape& shape, const std::vector<Sides>& sides,
                                             MaskKind mask = MaskKind::none) {
    std::vector<std::uint8_t> cells;
    if (mask != MaskKind::none) cells = random_mask(count_cells(shape), 11);
    const Condition condition = mask == MaskKind::dirichlet ? dirichlet(0.375) : kNeumann;
    return std::make_shared<const Grid>(shape, sides, cells, condition, 1.0);
}

// Periodic, and all pairs of the others, on each axis.
inline std::vector<std::vector<Sides>> all_boundaries(int ndim) {
    std::vector<Sides> pairs{{kPeriodic, kPeriodic}};
    for (const BoundaryKind low : kBoundaryKinds) {
        for (const BoundaryKind high : kBoundaryKinds) {
            if (low == BoundaryKind::periodic || high == BoundaryKind::periodic) continue;
            pairs.push_back({Condition{low, has_value(low) ? 0.5 : 0.0},
                             Condition{high, has_value(high) ? -0.75 : 0.0}});
        }
    }
    std::vector<std::vector<Sides>> boundaries{{}};
    for (int axis = 0; axis < ndim; ++axis) {
        std::vector<std::vector<Sides>> longer;
        for (const std::vector<Sides>& boundary : boundaries) {
            for (const Sides& pair : pairs) {
                longer.push_back(boundary);
                longer.back().push_back(pair);
            }
        }
        boundaries = longer;
    }
    return boundaries;
}

inline std::string describe(const Grid& grid, MaskKind mask) {
    std::string text = "shape";
    for (int axis = 0; axis < grid.ndim(); ++axis) {
        text += ' ' + std::to_string(grid.shape()[static_cast<std::size_t>(axis)]);
        for (const Condition& side : grid.sides(axis)) {
            text += std::string(" ") + name(side.kind);
        }
    }
    const char* const masks[] = {"no mask", "Neumann mask", "Dirichlet mask"};
    return text + ", " + masks[static_cast<int>(mask)];
}

// f(position, flat) for every position of the padded field with at most `rows` ghost rows and
// `radius` ghosts of the inner axes.
template <class F>
void for_each_position(const Grid& grid, const Layout& layout, std::int64_t rows,
                       std::int64_t radius, const F& f) {
    std::array<std::int64_t, 3> begin{-rows, 0, 0}, end{grid.shape()[0] + rows, 1, 1};
    for (std::size_t axis = 1; axis < grid.shape().size(); ++axis) {
        begin[axis] = -radius;
        end[axis] = grid.shape()[axis] + radius;
    }
    // A row begins with its inner ghosts.
    const int r = static_cast<int>(layout.radius());
    const std::int64_t origin =
        layout.begin(0) + layout.offset({0, grid.ndim() > 1 ? r : 0, grid.ndim() > 2 ? r : 0});
    for (std::int64_t i = begin[0]; i < end[0]; ++i) {
        for (std::int64_t j = begin[1]; j < end[1]; ++j) {
            for (std::int64_t k = begin[2]; k < end[2]; ++k) {
                const std::array<int, 3> arm{static_cast<int>(i), static_cast<int>(j),
                                             static_cast<int>(k)};
                f(std::array<std::int64_t, 3>{i, j, k}, origin + layout.offset(arm));
            }
        }
    }
}

}  // namespace relaxon
