#include "relaxon/operators/stencil/line_assembly.hpp"

namespace relaxon {

LineAssembly::LineAssembly(const Grid& grid, const std::vector<Arm>& arms)
    : n_(grid.n_cells()), arms_(arms) {
    for (const Arm& arm : arms) has_side_[side_of(arm)] = true;
    const auto is_inside = [&](std::int64_t cell) {
        if (cell == 0 || cell == n_ - 1) return false;
        return !grid.has_mask() ||
               (grid.exists(cell) && std::all_of(arms.begin(), arms.end(), [&](const Arm& arm) {
                    return grid.exists(cell + arm[0]);
                }));
    };
    const auto add_other = [&](std::int64_t cell) {
        others_.push_back(cell);
        for (std::size_t k = 0; grid.exists(cell) && k < arms.size(); ++k) {
            const GhostSource target = arm_target(grid, cell, arms[k]);
            const std::int64_t distance = target.cell - cell;  // beyond 1: round the circle
            const int near = distance == 0 ? 1 : distance == -1 || distance > 1 ? 0 : 2;
            const int side = target.reads_cell() ? near : -1;
            terms_.push_back({cell, static_cast<int>(k), side, target.factor, target.value});
        }
    };
    for (std::int64_t cell = 0; cell < n_; ++cell) {
        if (!is_inside(cell)) {
            add_other(cell);
            continue;
        }
        const std::int64_t begin = cell;
        if (grid.has_mask()) {
            while (cell + 1 < n_ && is_inside(cell + 1)) ++cell;
        } else {
            cell = n_ - 2;
        }
        runs_.push_back({begin, cell + 1});
    }
}

}  // namespace relaxon
