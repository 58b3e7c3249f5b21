#include "relaxon/operators/stencil/assembly.hpp"

#include <algorithm>

namespace relaxon {

StencilAssembly::StencilAssembly(const Grid& grid, const std::vector<Arm>& arms) {
    std::vector<std::int64_t> row_begin{0}, columns, row;
    for (std::int64_t cell = 0; cell < grid.n_cells(); ++cell) {
        row.clear();
        const std::size_t first_term = terms_.size();
        for (std::size_t k = 0; grid.exists(cell) && k < arms.size(); ++k) {
            const GhostSource target = arm_target(grid, cell, arms[k]);
            // The entry is the column until the row is known.
            const std::int64_t column = target.reads_cell() ? target.cell : -1;
            terms_.push_back({cell, static_cast<int>(k), column, target.factor, target.value});
            if (target.reads_cell()) row.push_back(target.cell);
        }
        std::sort(row.begin(), row.end());
        row.erase(std::unique(row.begin(), row.end()), row.end());
        for (std::size_t i = first_term; i < terms_.size(); ++i) {
            if (terms_[i].entry < 0) continue;
            const auto found = std::lower_bound(row.begin(), row.end(), terms_[i].entry);
            terms_[i].entry = row_begin.back() + (found - row.begin());
        }
        columns.insert(columns.end(), row.begin(), row.end());
        row_begin.push_back(static_cast<std::int64_t>(columns.size()));
    }
    pattern_ = Pattern(std::move(row_begin), std::move(columns));
}

}  // namespace relaxon
