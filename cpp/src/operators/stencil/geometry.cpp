#include "relaxon/operators/stencil/geometry.hpp"

#include <algorithm>

#include "relaxon/base/error.hpp"

namespace relaxon {

namespace {

using Position = std::array<std::int64_t, 3>;

Position position_of(const Grid& grid, std::int64_t cell) {
    Position at{};
    for (int axis = grid.ndim() - 1; axis >= 0; --axis) {
        const auto a = static_cast<std::size_t>(axis);
        at[a] = cell % grid.shape()[a];
        cell /= grid.shape()[a];
    }
    return at;
}

// What lies at the end of an arm, before the mask is asked.
GhostSource end_of(const Grid& grid, const Position& at, const Arm& arm) {
    return resolve(grid, {at[0] + arm[0], at[1] + arm[1], at[2] + arm[2]});
}

}  // namespace

StencilGeometry::StencilGeometry(const Grid& grid, const std::vector<Arm>& arms, int radius,
                                 std::int64_t overlap, std::int64_t n_lanes)
    : layout_(grid, radius, overlap, n_lanes),
      cut_sees_centre_(grid.mask_condition().kind == BoundaryKind::neumann),
      cut_value_(grid.mask_condition().value) {
    for (int axis = 0; axis < grid.ndim(); ++axis) {
        for (const Condition& side : grid.sides(axis)) {
            require(ghost_cell_of(side.kind) != GhostCell::mirrored ||
                        grid.shape()[static_cast<std::size_t>(axis)] >= radius,
                    "boundary", "a Neumann axis holds at least as many cells as the stencil radius",
                    grid.shape()[static_cast<std::size_t>(axis)]);
        }
    }
    for (const Arm& arm : arms) offsets_.push_back(layout_.offset(arm));
    if (!grid.has_mask()) return;

    Position n{1, 1, 1};
    std::copy(grid.shape().begin(), grid.shape().end(), n.begin());
    layout_.for_each_pencil(
        0, layout_.n_rows(), [&](std::int64_t cell, std::int64_t flat, std::int64_t length) {
            for (std::int64_t i = 0; i < length; ++i) {
                if (!grid.exists(cell + i)) continue;
                const Position at = position_of(grid, cell + i);
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
                    const GhostSource source = end_of(grid, at, arms[k]);
                    if (source.reads_cell() && !grid.exists(source.cell)) {
                        const std::int64_t entry = flat + i * n_lanes;
                        for (std::int64_t lane = 0; lane < n_lanes; ++lane) {
                            cut_arms_.push_back({entry + lane, static_cast<int>(k)});
                        }
                    }
                }
            }
        });
}

GhostSource arm_target(const Grid& grid, std::int64_t cell, const Arm& arm) {
    const GhostSource source = end_of(grid, position_of(grid, cell), arm);
    if (!source.reads_cell() || grid.exists(source.cell)) return source;
    // Cut: the centre stands for what is masked, or a constant.
    const GhostRule rule = ghost_rule(grid.mask_condition());
    return {rule.factor, rule.value, cell};
}

}  // namespace relaxon
