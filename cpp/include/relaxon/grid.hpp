// Grids, their boundaries and masks, and the padded layout that the kernels work on.
//
// A field of shape (n_0, n_1, n_2) is held with ghost cells around it. A "row" is one index of
// axis 0 and everything behind it: a cell in 1-D, a line in 2-D, a plane in 3-D. Rows are
// contiguous, so a range of rows is a range of flat indices, and a stencil arm is one constant
// offset. Kernels run over whole rows, ghosts of the inner axes included; what they write there
// is overwritten by fill (forward) or is zero by construction (reverse).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

namespace relaxon {

enum class BoundaryKind { periodic, neumann, dirichlet };

struct Condition {
    BoundaryKind kind = BoundaryKind::periodic;
    double value = 0.0;  // of the ghost cells, dirichlet only
};

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

// Where a position of the padded field takes its value from.
struct GhostSource {
    bool is_open = false;   // a Dirichlet side: a constant
    double value = 0.0;     // that constant
    std::int64_t cell = 0;  // otherwise a cell of the grid, in C order
};

// The cell behind a position (ghosts included): axes are filled in order, so the last axis that
// lies outside decides.
GhostSource resolve(const Grid& grid, std::array<std::int64_t, 3> position);

// A range of indices of axis 0.
struct Rows {
    std::int64_t begin, end;
};

class Layout {
public:
    // radius: of the stencil. overlap: ghost rows kept on each side of a periodic axis 0, so that
    // tiles can read beyond the ends; at least the radius, and no more than that elsewhere.
    Layout(const Grid& grid, int radius, std::int64_t overlap);

    std::int64_t n_rows() const { return n_rows_; }
    std::int64_t row_length() const { return row_length_; }
    std::int64_t radius() const { return radius_; }
    std::int64_t overlap() const { return overlap_; }
    // Row 0 begins at a multiple of kAlignedEntries, so that its packs fill whole cache lines.
    std::int64_t begin(std::int64_t row) const { return lead_ + (row + overlap_) * row_length_; }
    std::int64_t size() const { return lead_ + (n_rows_ + 2 * overlap_) * row_length_; }
    std::int64_t period() const { return n_rows_ * row_length_; }
    std::int64_t offset(const std::array<int, 3>& arm) const;
    // Furthest a kernel reads beyond the rows it is given, in flat indices, less whole ghost rows.
    std::int64_t inner_reach() const { return inner_reach_; }

    bool is_periodic() const { return is_periodic_; }

    // f(cell, flat, length) for each run of cells that is contiguous in both layouts.
    template <class F>
    void for_each_pencil(std::int64_t row_begin, std::int64_t row_end, const F& f) const {
        if (ndim_ == 1) {
            if (row_end > row_begin) f(row_begin, begin(row_begin), row_end - row_begin);
            return;
        }
        for (std::int64_t row = row_begin; row < row_end; ++row) {
            for (std::int64_t line = 0; line < n_lines_; ++line) {
                f((row * n_lines_ + line) * line_cells_,
                  begin(row) + (line + line_ghosts_) * line_length_ + radius_, line_cells_);
            }
        }
    }

    // Compact cells into the padded field; cells outside the mask become zero, whatever they hold.
    template <class T>
    void pack(const T* cells, T* field, std::int64_t row_begin, std::int64_t row_end) const;
    template <class T>
    void unpack(const T* field, T* cells, std::int64_t row_begin, std::int64_t row_end) const;

    // Ghosts of axes 1 and 2 in the given rows.
    template <class T>
    void fill_inner(T* field, std::int64_t row_begin, std::int64_t row_end) const;
    // Ghost rows at the low (0) or high (1) end of axis 0: `overlap` of them where periodic,
    // `radius` elsewhere, their own inner ghosts included.
    template <class T>
    void fill_rows(T* field, int side) const;

    // Exact transposes: ghosts are added to the cells they came from, and become zero.
    template <class T>
    void fold_inner(T* field, std::int64_t row_begin, std::int64_t row_end) const;
    template <class T>
    void fold_rows(T* field, int side) const;

    template <class T>
    void zero_masked(T* field, std::int64_t row_begin, std::int64_t row_end) const;

private:
    struct Run {
        std::int64_t flat, length;
    };
    struct InnerAxis {
        std::int64_t n, stride;  // cells along the axis; flat distance of neighbours
        Sides sides;
    };
    template <class T, class Copy, class Set>
    void visit_ghosts(const InnerAxis& axis, T* field, std::int64_t begin, std::int64_t end,
                      const Copy& copy, const Set& set) const;

    int ndim_;
    bool is_periodic_;
    std::int64_t radius_, overlap_, n_rows_, row_length_;
    std::int64_t n_lines_ = 1, line_cells_ = 1, line_length_ = 1, line_ghosts_ = 0;
    std::int64_t inner_reach_ = 0, lead_ = 0;
    Sides row_sides_;
    std::vector<InnerAxis> inner_axes_;
    std::vector<Run> masked_;  // sorted
};

// Index of the ghost at distance g >= 1 beyond a side, as a cell index along the axis.
inline std::int64_t ghost_cell(BoundaryKind kind, int side, std::int64_t g, std::int64_t n) {
    if (kind == BoundaryKind::neumann) return side == 0 ? g - 1 : n - g;
    const std::int64_t past = side == 0 ? -g : n - 1 + g;
    return ((past % n) + n) % n;
}

// Calls f(begin, end, shift) for the pieces of [begin, end) that lie in one period each; the
// piece taken back by `shift` lies in [origin, origin + period).
template <class F>
void for_each_period(std::int64_t begin, std::int64_t end, std::int64_t origin, std::int64_t period,
                     const F& f) {
    while (begin < end) {
        const std::int64_t past = begin - origin;
        const std::int64_t turn = past >= 0 ? past / period : -((period - 1 - past) / period);
        const std::int64_t stop = std::min(end, origin + (turn + 1) * period);
        f(begin, stop, turn * period);
        begin = stop;
    }
}

template <class T>
void Layout::pack(const T* cells, T* field, std::int64_t row_begin, std::int64_t row_end) const {
    for_each_pencil(row_begin, row_end, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
        std::memcpy(field + flat, cells + cell, static_cast<std::size_t>(n) * sizeof(T));
    });
    zero_masked(field, row_begin, row_end);
}

template <class T>
void Layout::unpack(const T* field, T* cells, std::int64_t row_begin, std::int64_t row_end) const {
    for_each_pencil(row_begin, row_end, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
        std::memcpy(cells + cell, field + flat, static_cast<std::size_t>(n) * sizeof(T));
    });
}

// Walks the ghosts of one inner axis in a flat range of whole rows: copy(ghost, source) or
// set(ghost, value), each for `stride` neighbouring entries.
template <class T, class Copy, class Set>
void Layout::visit_ghosts(const InnerAxis& axis, T* field, std::int64_t begin, std::int64_t end,
                          const Copy& copy, const Set& set) const {
    const std::int64_t length = (axis.n + 2 * radius_) * axis.stride;
    for (int side = 0; side < 2; ++side) {
        const Condition& condition = axis.sides[static_cast<std::size_t>(side)];
        for (std::int64_t g = 1; g <= radius_; ++g) {
            const std::int64_t at = side == 0 ? radius_ - g : radius_ + axis.n - 1 + g;
            T* ghost = field + begin + at * axis.stride;
            if (condition.kind == BoundaryKind::dirichlet) {
                const T value = static_cast<T>(condition.value);
                for (; ghost < field + end; ghost += length) set(ghost, value, axis.stride);
                continue;
            }
            const std::int64_t from = radius_ + ghost_cell(condition.kind, side, g, axis.n);
            const std::int64_t shift = (from - at) * axis.stride;
            for (; ghost < field + end; ghost += length) copy(ghost, ghost + shift, axis.stride);
        }
    }
}

namespace detail {

template <class T>
void copy_entries(T* to, const T* from, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[i];
}

template <class T>
void set_entries(T* to, T value, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = value;
}

// The transpose of copy_entries: what was taken is given back.
template <class T>
void return_entries(T* ghost, T* source, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
        source[i] += ghost[i];
        ghost[i] = T(0);
    }
}

}  // namespace detail

template <class T>
void Layout::fill_inner(T* field, std::int64_t row_begin, std::int64_t row_end) const {
    for (const InnerAxis& axis : inner_axes_) {
        visit_ghosts(axis, field, begin(row_begin), begin(row_end), detail::copy_entries<T>,
                     detail::set_entries<T>);
    }
}

template <class T>
void Layout::fold_inner(T* field, std::int64_t row_begin, std::int64_t row_end) const {
    for (auto axis = inner_axes_.rbegin(); axis != inner_axes_.rend(); ++axis) {
        visit_ghosts(*axis, field, begin(row_begin), begin(row_end), detail::return_entries<T>,
                     [](T* ghost, T, std::int64_t n) { detail::set_entries(ghost, T(0), n); });
    }
}

template <class T>
void Layout::fill_rows(T* field, int side) const {
    const Condition& condition = row_sides_[static_cast<std::size_t>(side)];
    const std::int64_t n_ghosts = is_periodic_ ? overlap_ : radius_;
    for (std::int64_t g = 1; g <= n_ghosts; ++g) {
        T* ghost = field + begin(side == 0 ? -g : n_rows_ - 1 + g);
        if (condition.kind == BoundaryKind::dirichlet) {
            detail::set_entries(ghost, static_cast<T>(condition.value), row_length_);
        } else {
            const std::int64_t from = ghost_cell(condition.kind, side, g, n_rows_);
            detail::copy_entries(ghost, field + begin(from), row_length_);
        }
    }
    // A Dirichlet value of axis 0 gives way to the inner axes in the corners.
    if (condition.kind == BoundaryKind::dirichlet) {
        fill_inner(field, side == 0 ? -radius_ : n_rows_, side == 0 ? 0 : n_rows_ + radius_);
    }
}

template <class T>
void Layout::fold_rows(T* field, int side) const {
    const Condition& condition = row_sides_[static_cast<std::size_t>(side)];
    for (std::int64_t g = 1; g <= radius_; ++g) {
        T* ghost = field + begin(side == 0 ? -g : n_rows_ - 1 + g);
        if (condition.kind == BoundaryKind::dirichlet) {
            detail::set_entries(ghost, T(0), row_length_);
        } else {
            const std::int64_t from = ghost_cell(condition.kind, side, g, n_rows_);
            detail::return_entries(ghost, field + begin(from), row_length_);
        }
    }
}

template <class T>
void Layout::zero_masked(T* field, std::int64_t row_begin, std::int64_t row_end) const {
    if (masked_.empty()) return;
    for_each_period(begin(row_begin), begin(row_end), begin(0), period(),
                    [&](std::int64_t first, std::int64_t last, std::int64_t shift) {
                        auto run =
                            std::partition_point(masked_.begin(), masked_.end(), [&](const Run& r) {
                                return r.flat + r.length + shift <= first;
                            });
                        for (; run != masked_.end() && run->flat + shift < last; ++run) {
                            const std::int64_t from = std::max(run->flat + shift, first);
                            const std::int64_t to = std::min(run->flat + run->length + shift, last);
                            detail::set_entries(field + from, T(0), to - from);
                        }
                    });
}

}  // namespace relaxon
