#include "relaxon/operators/stencil/assembly.hpp"

#include <array>

namespace relaxon {

namespace {

// Ends of the arms of one cell after the other, in order. Those that lie inside the grid, where
// most do, are asked nothing.
class ArmEnds {
public:
    ArmEnds(const Grid& grid, const std::vector<Arm>& arms) : grid_(grid), arms_(arms) {
        const std::size_t n_axes = grid.shape().size();
        std::copy(grid.shape().begin(), grid.shape().end(), n_.begin());
        for (const Arm& arm : arms) {
            steps_.push_back((arm[0] * n_[1] + arm[1]) * n_[2] + arm[2]);
            for (std::size_t a = 0; a < n_axes; ++a) {
                low_[a] = std::max<std::int64_t>(low_[a], -arm[a]);
                high_[a] = std::max<std::int64_t>(high_[a], arm[a]);
            }
        }
    }

    void find(std::vector<GhostSource>& targets) const {
        bool is_inside = true;
        for (std::size_t a = 0; a < at_.size(); ++a) {
            is_inside = is_inside && at_[a] >= low_[a] && at_[a] + high_[a] < n_[a];
        }
        for (std::size_t k = 0; k < arms_.size(); ++k) {
            const std::int64_t end = cell_ + steps_[k];
            targets.push_back(is_inside && grid_.exists(end) ? GhostSource{1.0, 0.0, end}
                                                             : arm_target(grid_, cell_, arms_[k]));
        }
    }

    void next() {
        ++cell_;
        for (std::size_t a = static_cast<std::size_t>(grid_.ndim()); a-- > 0;) {
            if (++at_[a] < n_[a]) return;
            at_[a] = 0;
        }
    }

private:
    const Grid& grid_;
    const std::vector<Arm>& arms_;
    std::vector<std::int64_t> steps_;
    std::array<std::int64_t, 3> n_{1, 1, 1}, low_{}, high_{}, at_{};
    std::int64_t cell_ = 0;
};

}  // namespace

StencilAssembly::StencilAssembly(const Grid& grid, const std::vector<Arm>& arms)
    : n_arms_(static_cast<std::int64_t>(arms.size())) {
    std::vector<std::int64_t> row_begin{0}, columns, row, slots;
    std::vector<GhostSource> targets;
    ArmEnds ends(grid, arms);
    row_begin.reserve(static_cast<std::size_t>(grid.n_cells() + 1));
    columns.reserve(static_cast<std::size_t>(grid.n_cells() * n_arms_));
    for (std::int64_t cell = 0; cell < grid.n_cells(); ++cell, ends.next()) {
        row.clear();
        targets.clear();
        if (grid.exists(cell)) ends.find(targets);
        bool is_regular = true;
        for (const GhostSource& target : targets) {
            is_regular = is_regular && target.factor == 1.0 && target.value == 0.0;
            if (target.reads_cell()) row.push_back(target.cell);
        }
        if (!std::is_sorted(row.begin(), row.end())) std::sort(row.begin(), row.end());
        row.erase(std::unique(row.begin(), row.end()), row.end());
        is_regular = is_regular && static_cast<std::int64_t>(row.size()) == n_arms_;
        slots.clear();
        for (const GhostSource& target : targets) {
            const auto found = std::lower_bound(row.begin(), row.end(), target.cell);
            slots.push_back(target.reads_cell() ? found - row.begin() : -1);
        }
        const std::int64_t first = row_begin.back();
        if (is_regular) {
            add_to_runs(cell, first, slots);
        } else {
            for (std::size_t k = 0; k < targets.size(); ++k) {
                terms_.push_back({cell, static_cast<int>(k), slots[k] < 0 ? -1 : first + slots[k],
                                  targets[k].factor, targets[k].value});
            }
        }
        columns.insert(columns.end(), row.begin(), row.end());
        row_begin.push_back(static_cast<std::int64_t>(columns.size()));
    }
    pattern_ = Pattern(std::move(row_begin), std::move(columns));
}

void StencilAssembly::add_to_runs(std::int64_t cell, std::int64_t entry,
                                  const std::vector<std::int64_t>& slots) {
    const auto has_slots = [&](const Run& run) {
        const auto first = slots_.begin() + static_cast<std::ptrdiff_t>(run.slots);
        return std::equal(slots.begin(), slots.end(), first);
    };
    const bool is_known = !runs_.empty() && has_slots(runs_.back());
    if (is_known && runs_.back().end == cell) {
        ++runs_.back().end;
        return;
    }
    const std::size_t where = is_known ? runs_.back().slots : slots_.size();
    if (!is_known) slots_.insert(slots_.end(), slots.begin(), slots.end());
    runs_.push_back({cell, cell + 1, entry, where});
}

}  // namespace relaxon
