#include "relaxon/domain/grid.hpp"

#include <iterator>
#include <utility>

#include "relaxon/base/error.hpp"

namespace relaxon {

namespace {

struct Entry {
    const char* name;
    GhostCell cell;
    double cell_factor, value_factor;
};

const Entry& entry_of(BoundaryKind kind) {
    static constexpr Entry kTable[] = {
#define RELAXON_ENTRY(name, Cell, cell_factor, value_factor)                                       \
    {#name, Cell, cell_factor, value_factor},
        RELAXON_CONDITIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    };
    const auto at = static_cast<std::size_t>(kind);
    require(at < std::size(kTable), "boundary", "one of the table", at);
    return kTable[at];
}

}  // namespace

const char* name(BoundaryKind kind) { return entry_of(kind).name; }

bool parse(std::string_view text, BoundaryKind& kind) {
    for (const BoundaryKind candidate : kBoundaryKinds) {
        if (name(candidate) == text) {
            kind = candidate;
            return true;
        }
    }
    return false;
}

GhostCell ghost_cell_of(BoundaryKind kind) { return entry_of(kind).cell; }

bool has_value(BoundaryKind kind) { return entry_of(kind).value_factor != 0.0; }

GhostRule ghost_rule(const Condition& condition) {
    const Entry& entry = entry_of(condition.kind);
    const bool is_held = entry.value_factor != 0.0;
    return {entry.cell, entry.cell_factor, is_held ? entry.value_factor * condition.value : 0.0};
}

Grid::Grid(std::vector<std::int64_t> shape, std::vector<Sides> boundary,
           std::vector<std::uint8_t> mask, Condition mask_condition, double cell_volume)
    : shape_(std::move(shape)), boundary_(std::move(boundary)), mask_(std::move(mask)),
      mask_condition_(mask_condition), cell_volume_(cell_volume), n_cells_(1) {
    require(!shape_.empty() && shape_.size() <= 3, "shape", "1 to 3 axes", shape_.size());
    require(boundary_.size() == shape_.size(), "boundary", "one pair of conditions per axis",
            boundary_.size());
    for (const std::int64_t n : shape_) {
        require(n > 0, "shape", "positive lengths", n);
        require(n_cells_ <= (std::int64_t{1} << 40) / n, "shape", "at most 2^40 cells", n);
        n_cells_ *= n;
    }
    require(mask_.empty() || static_cast<std::int64_t>(mask_.size()) == n_cells_, "mask",
            "one entry per cell", mask_.size());
}

Grid Grid::with_zero_values() const {
    Grid grid = *this;
    for (Sides& sides : grid.boundary_) {
        for (Condition& side : sides) side.value = 0.0;
    }
    grid.mask_condition_.value = 0.0;
    return grid;
}

GhostSource resolve(const Grid& grid, std::array<std::int64_t, 3> position) {
    GhostSource source;
    for (int axis = grid.ndim() - 1; axis >= 0; --axis) {
        const auto a = static_cast<std::size_t>(axis);
        const std::int64_t n = grid.shape()[a];
        if (position[a] >= 0 && position[a] < n) continue;
        const int side = position[a] < 0 ? 0 : 1;
        const GhostRule rule = ghost_rule(grid.sides(axis)[static_cast<std::size_t>(side)]);
        source.value += source.factor * rule.value;
        source.factor *= rule.factor;
        if (!source.reads_cell()) return source;
        const std::int64_t g = side == 0 ? -position[a] : position[a] - n + 1;
        position[a] = rule.index(side, g, n);
    }
    for (std::size_t a = 0; a < grid.shape().size(); ++a) {
        source.cell = source.cell * grid.shape()[a] + position[a];
    }
    return source;
}

}  // namespace relaxon
