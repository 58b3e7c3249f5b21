#include "relaxon/grid.hpp"

#include <numeric>
#include <utility>

#include "relaxon/array.hpp"
#include "relaxon/error.hpp"

namespace relaxon {

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
        const Condition& condition = grid.sides(axis)[static_cast<std::size_t>(side)];
        if (condition.kind == BoundaryKind::dirichlet) {
            source.is_open = true;
            source.value = condition.value;
            return source;
        }
        const std::int64_t g = side == 0 ? -position[a] : position[a] - n + 1;
        position[a] = ghost_cell(condition.kind, side, g, n);
    }
    for (std::size_t a = 0; a < grid.shape().size(); ++a) {
        source.cell = source.cell * grid.shape()[a] + position[a];
    }
    return source;
}

Layout::Layout(const Grid& grid, int radius, std::int64_t overlap)
    : ndim_(grid.ndim()), is_periodic_(grid.is_periodic(0)), radius_(radius),
      overlap_(is_periodic_ ? std::max<std::int64_t>(overlap, radius) : radius),
      n_rows_(grid.shape()[0]), row_length_(1), row_sides_(grid.sides(0)) {
    for (int axis = ndim_ - 1; axis >= 1; --axis) {
        const std::int64_t n = grid.shape()[static_cast<std::size_t>(axis)];
        inner_axes_.insert(inner_axes_.begin(), {n, row_length_, grid.sides(axis)});
        inner_reach_ += radius_ * row_length_;
        row_length_ *= n + 2 * radius_;
    }
    const std::int64_t ghosts = overlap_ * row_length_;
    lead_ = round_up(ghosts, kAlignedEntries) - ghosts;
    if (ndim_ >= 2) {
        line_cells_ = inner_axes_.back().n;
        line_length_ = line_cells_ + 2 * radius_;
    }
    if (ndim_ == 3) {
        n_lines_ = inner_axes_.front().n;
        line_ghosts_ = radius_;
    }
    if (!grid.has_mask()) return;
    for_each_pencil(0, n_rows_, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) {
            if (grid.exists(cell + i)) continue;
            const bool extends =
                !masked_.empty() && masked_.back().flat + masked_.back().length == flat + i;
            if (extends) {
                ++masked_.back().length;
            } else {
                masked_.push_back({flat + i, 1});
            }
        }
    });
}

std::int64_t Layout::offset(const std::array<int, 3>& arm) const {
    std::int64_t flat = arm[0] * row_length_;
    for (std::size_t a = 0; a < inner_axes_.size(); ++a) flat += arm[a + 1] * inner_axes_[a].stride;
    return flat;
}

}  // namespace relaxon
