// Grids, their boundaries and masks.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "relaxon/base/error.hpp"

// The table of conditions: name, which cell a ghost reads, and its factors of that cell and of the
// condition's value: ghost = cell factor * cell + value factor * value.
#define RELAXON_CONDITIONS(X)                                                                      \
    X(periodic, GhostCell::around, 1.0, 0.0)                                                       \
    X(neumann, GhostCell::mirrored, 1.0, 0.0)                                                      \
    X(dirichlet, GhostCell::none, 0.0, 1.0)

namespace relaxon {

enum class GhostCell { around, mirrored, none };

enum class BoundaryKind {
#define RELAXON_ENTRY(name, Cell, cell_factor, value_factor) name,
    RELAXON_CONDITIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
};

inline constexpr BoundaryKind kBoundaryKinds[] = {
#define RELAXON_ENTRY(name, Cell, cell_factor, value_factor) BoundaryKind::name,
    RELAXON_CONDITIONS(RELAXON_ENTRY)
#undef RELAXON_ENTRY
};

struct Condition {
    BoundaryKind kind = BoundaryKind::periodic;
    double value = 0.0;  // of the ghost cells, where the table has a factor for it
};

const char* name(BoundaryKind kind);

// The condition of that name; false, and kind untouched, where there is none.
bool parse(std::string_view name, BoundaryKind& kind);

GhostCell ghost_cell_of(BoundaryKind kind);

// Whether it holds a value of its own.
bool has_value(BoundaryKind kind);

using Sides = std::array<Condition, 2>;  // low, high

class Grid {
public:
    // mask: one byte per cell in C order, nonzero where the cell exists; empty if all do.
    Grid(std::vector<std::int64_t> shape, std::vector<Sides> boundary,
         std::vector<std::uint8_t> mask, Condition mask_condition, double cell_volume);

    int ndim() const { return static_cast<int>(shape_.size()); }
    const std::vector<std::int64_t>& shape() const { return shape_; }
    const Sides& sides(int axis) const { return boundary_[static_cast<std::size_t>(axis)]; }
    bool is_periodic(int axis) const { return sides(axis)[0].kind == BoundaryKind::periodic; }
    const Condition& mask_condition() const { return mask_condition_; }
    double cell_volume() const { return cell_volume_; }
    std::int64_t n_cells() const { return n_cells_; }
    bool has_mask() const { return !mask_.empty(); }
    bool exists(std::int64_t cell) const {
        return mask_.empty() || mask_[static_cast<std::size_t>(cell)] != 0;
    }
    // The same grid with zero for every Dirichlet value: what tangents and cotangents see.
    Grid with_zero_values() const;
    // Null if every cell exists.
    const std::uint8_t* mask() const { return mask_.empty() ? nullptr : mask_.data(); }

private:
    std::vector<std::int64_t> shape_;
    std::vector<Sides> boundary_;
    std::vector<std::uint8_t> mask_;
    Condition mask_condition_;
    double cell_volume_;
    std::int64_t n_cells_;
};

// What ghosts beyond a side hold: factor * cell + value. With factor 0 no cell is read.
struct GhostRule {
    enum class Kind { copy, constant, affine };

    GhostRule(GhostCell which, double cell_factor, double added)
        : cell(which), factor(cell_factor), value(added),
          kind(factor == 0.0                   ? Kind::constant
               : factor == 1.0 && value == 0.0 ? Kind::copy
                                               : Kind::affine) {}

    GhostCell cell;
    double factor, value;
    Kind kind;  // known beforehand, as rules are asked for it in every layer

    // Of the cell that the ghost at distance g >= 1 beyond a side reads, along an axis of n cells.
    std::int64_t index(int side, std::int64_t g, std::int64_t n) const {
        if (cell == GhostCell::mirrored) return side == 0 ? g - 1 : n - g;
        // Divisions are slow, and hardly ever needed.
        if (g <= n) return side == 0 ? n - g : g - 1;
        const std::int64_t past = side == 0 ? -g : n - 1 + g;
        return ((past % n) + n) % n;
    }
};

// A look into the table: for those who set something up.
GhostRule ghost_rule(const Condition& condition);

// Where a position of the padded field takes its value from: factor * cell + value.
struct GhostSource {
    double factor = 1.0, value = 0.0;
    std::int64_t cell = 0;  // in C order

    bool reads_cell() const { return factor != 0.0; }
};

// The cell behind a position (ghosts included): axes are filled in order, so the last axis that
// lies outside decides.
GhostSource resolve(const Grid& grid, std::array<std::int64_t, 3> position);

}  // namespace relaxon
