#include "relaxon/domain/layout.hpp"

#include "relaxon/base/array.hpp"

namespace relaxon {

namespace {

std::array<GhostRule, 2> rules_of(const Grid& grid, int axis) {
    return {ghost_rule(grid.sides(axis)[0]), ghost_rule(grid.sides(axis)[1])};
}

}  // namespace

Layout::Layout(const Grid& grid, int radius, std::int64_t overlap, std::int64_t n_lanes)
    : ndim_(grid.ndim()), is_periodic_(grid.is_periodic(0)), radius_(radius),
      overlap_(is_periodic_ ? std::max<std::int64_t>(overlap, radius) : radius),
      n_rows_(grid.shape()[0]), n_lanes_(n_lanes), row_length_(n_lanes),
      row_rules_(rules_of(grid, 0)) {
    for (int axis = ndim_ - 1; axis >= 1; --axis) {
        const std::int64_t n = grid.shape()[static_cast<std::size_t>(axis)];
        inner_axes_.insert(inner_axes_.begin(), {n, row_length_, rules_of(grid, axis)});
        inner_reach_ += radius_ * row_length_;
        row_length_ *= n + 2 * radius_;
    }
    const std::int64_t ghosts = overlap_ * row_length_;
    lead_ = round_up(ghosts, kAlignedEntries) - ghosts;
    if (ndim_ >= 2) {
        line_cells_ = inner_axes_.back().n;
        line_length_ = (line_cells_ + 2 * radius_) * n_lanes_;
    }
    if (ndim_ == 3) {
        n_lines_ = inner_axes_.front().n;
        line_ghosts_ = radius_;
    }
    if (!grid.has_mask()) return;
    for_each_pencil(0, n_rows_, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) {
            if (grid.exists(cell + i)) continue;
            const std::int64_t at = flat + i * n_lanes_;
            const bool extends =
                !masked_.empty() && masked_.back().flat + masked_.back().length == at;
            if (extends) {
                masked_.back().length += n_lanes_;
            } else {
                masked_.push_back({at, n_lanes_});
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
