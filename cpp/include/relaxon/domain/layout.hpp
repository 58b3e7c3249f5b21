// The padded layout that the kernels work on.
//
// A field of shape (n_0, n_1, n_2) is held with ghost cells around it. A "row" is one index of
// axis 0 and everything behind it: a cell in 1-D, a line in 2-D, a plane in 3-D. Rows are
// contiguous, so a range of rows is a range of flat indices, and a stencil arm is one constant
// offset. Kernels run over whole rows, ghosts of the inner axes included; what they write there
// is overwritten by fill (forward) or is zero by construction (reverse).
//
// A layout may have lanes: then a cell is that many neighbouring entries, one for each of as many
// samples, and every arm is a whole number of packs whatever the grid.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "relaxon/domain/grid.hpp"

namespace relaxon {

// A range of indices of axis 0.
struct Rows {
    std::int64_t begin, end;
};

// Arrays of cells in C order, one per lane: array i begins at i * stride. With fewer arrays than
// lanes the last one fills the lanes left over.
template <class T>
struct Cells {
    T* first;
    std::int64_t stride = 0;
    std::int64_t count = 1;

    T* of_lane(std::int64_t lane) const { return first + std::min(lane, count - 1) * stride; }
};

class Layout {
public:
    // radius: of the stencil. overlap: ghost rows kept on each side of a periodic axis 0, so that
    // tiles can read beyond the ends; at least the radius, and no more than that elsewhere.
    // n_lanes divides kAlignedEntries.
    Layout(const Grid& grid, int radius, std::int64_t overlap, std::int64_t n_lanes = 1);

    std::int64_t n_rows() const { return n_rows_; }
    std::int64_t row_length() const { return row_length_; }
    std::int64_t radius() const { return radius_; }
    std::int64_t n_lanes() const { return n_lanes_; }
    std::int64_t overlap() const { return overlap_; }
    // Row 0 begins at a multiple of kAlignedEntries, so that its packs fill whole cache lines.
    std::int64_t begin(std::int64_t row) const { return lead_ + (row + overlap_) * row_length_; }
    std::int64_t size() const { return lead_ + (n_rows_ + 2 * overlap_) * row_length_; }
    std::int64_t period() const { return n_rows_ * row_length_; }
    std::int64_t offset(const std::array<int, 3>& arm) const;
    // Furthest a kernel reads beyond the rows it is given, in flat indices, less whole ghost rows.
    std::int64_t inner_reach() const { return inner_reach_; }

    bool is_periodic() const { return is_periodic_; }

    // f(cell, flat, length) for each run of `length` cells that is contiguous in both layouts.
    template <class F>
    void for_each_pencil(std::int64_t row_begin, std::int64_t row_end, const F& f) const {
        if (ndim_ == 1) {
            if (row_end > row_begin) f(row_begin, begin(row_begin), row_end - row_begin);
            return;
        }
        for (std::int64_t row = row_begin; row < row_end; ++row) {
            for (std::int64_t line = 0; line < n_lines_; ++line) {
                f((row * n_lines_ + line) * line_cells_,
                  begin(row) + (line + line_ghosts_) * line_length_ + radius_ * n_lanes_,
                  line_cells_);
            }
        }
    }

    // Compact cells into the padded field; cells outside the mask become zero, whatever they hold.
    template <class T>
    void pack(Cells<const T> cells, T* field, std::int64_t row_begin, std::int64_t row_end) const;
    template <class T>
    void unpack(const T* field, Cells<T> cells, std::int64_t row_begin, std::int64_t row_end) const;

    // Zero in the lanes from `first` on.
    template <class T>
    void zero_lanes(T* field, std::int64_t first) const;

    // What n cells from `flat` on have in common. spread: values in the first n entries, to all
    // lanes of the cells; collect: sums over the lanes, to the first n entries.
    template <class T>
    void spread(T* field, std::int64_t flat, std::int64_t n) const;
    template <class T>
    void collect(T* field, std::int64_t flat, std::int64_t n) const;

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
        std::array<GhostRule, 2> rules;
    };
    template <class Act, class T>
    void visit_ghosts(const InnerAxis& axis, T* field, std::int64_t begin, std::int64_t end) const;
    template <class Act, class T>
    void visit_ghost_rows(T* field, int side, std::int64_t n_ghosts) const;

    int ndim_;
    bool is_periodic_;
    std::int64_t radius_, overlap_, n_rows_, n_lanes_, row_length_;
    std::int64_t n_lines_ = 1, line_cells_ = 1, line_length_ = 1, line_ghosts_ = 0;
    std::int64_t inner_reach_ = 0, lead_ = 0;
    std::array<GhostRule, 2> row_rules_;
    std::vector<InnerAxis> inner_axes_;
    std::vector<Run> masked_;  // sorted
};

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
void Layout::pack(Cells<const T> cells, T* field, std::int64_t row_begin,
                  std::int64_t row_end) const {
    for_each_pencil(row_begin, row_end, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
        if (n_lanes_ == 1) {
            std::memcpy(field + flat, cells.first + cell, static_cast<std::size_t>(n) * sizeof(T));
            return;
        }
        for (std::int64_t lane = 0; lane < n_lanes_; ++lane) {
            const T* from = cells.of_lane(lane) + cell;
            T* to = field + flat + lane;
            for (std::int64_t i = 0; i < n; ++i) to[i * n_lanes_] = from[i];
        }
    });
    zero_masked(field, row_begin, row_end);
}

template <class T>
void Layout::unpack(const T* field, Cells<T> cells, std::int64_t row_begin,
                    std::int64_t row_end) const {
    for_each_pencil(row_begin, row_end, [&](std::int64_t cell, std::int64_t flat, std::int64_t n) {
        if (n_lanes_ == 1) {
            std::memcpy(cells.first + cell, field + flat, static_cast<std::size_t>(n) * sizeof(T));
            return;
        }
        for (std::int64_t lane = 0; lane < cells.count; ++lane) {
            const T* from = field + flat + lane;
            T* to = cells.of_lane(lane) + cell;
            for (std::int64_t i = 0; i < n; ++i) to[i] = from[i * n_lanes_];
        }
    });
}

template <class T>
void Layout::zero_lanes(T* field, std::int64_t first) const {
    for_each_pencil(0, n_rows_, [&](std::int64_t, std::int64_t flat, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) {
            T* lanes = field + flat + i * n_lanes_;
            std::fill(lanes + first, lanes + n_lanes_, T(0));
        }
    });
}

// In place: no value is overwritten before it is read.
template <class T>
void Layout::spread(T* field, std::int64_t flat, std::int64_t n) const {
    if (n_lanes_ == 1) return;
    T* cells = field + flat;
    for (std::int64_t i = n - 1; i >= 0; --i) {
        std::fill(cells + i * n_lanes_, cells + (i + 1) * n_lanes_, T(cells[i]));
    }
}

template <class T>
void Layout::collect(T* field, std::int64_t flat, std::int64_t n) const {
    if (n_lanes_ == 1) return;
    T* cells = field + flat;
    for (std::int64_t i = 0; i < n; ++i) {
        T sum = T(0);
        for (std::int64_t lane = 0; lane < n_lanes_; ++lane) sum += cells[i * n_lanes_ + lane];
        cells[i] = sum;
    }
}

namespace detail {

// f(i), i < n. Ghosts are mostly single entries, for which a loop takes longer to begin than to
// run.
template <class F>
void for_each_entry(std::int64_t n, const F& f) {
    if (n == 1) {
        f(0);
        return;
    }
    for (std::int64_t i = 0; i < n; ++i) f(i);
}

template <class T>
void copy_entries(T* to, const T* from, std::int64_t n) {
    for_each_entry(n, [&](std::int64_t i) { to[i] = from[i]; });
}

template <class T>
void set_entries(T* to, T value, std::int64_t n) {
    for_each_entry(n, [&](std::int64_t i) { to[i] = value; });
}

// Ghosts from cells by a rule: visit(move) with move(ghost, source, n), which the rule picks once.
template <class T>
struct Fill {
    template <class Visit>
    static void by(const GhostRule& rule, const Visit& visit) {
        const T factor = static_cast<T>(rule.factor), value = static_cast<T>(rule.value);
        switch (rule.kind) {
        case GhostRule::Kind::copy:
            visit(copy_entries<T>);
            break;
        case GhostRule::Kind::constant:
            visit([value](T* ghost, const T*, std::int64_t n) { set_entries(ghost, value, n); });
            break;
        case GhostRule::Kind::affine:
            visit([factor, value](T* ghost, const T* source, std::int64_t n) {
                for_each_entry(n, [&](std::int64_t i) { ghost[i] = factor * source[i] + value; });
            });
        }
    }
};

// Its transpose: what was taken is given back.
template <class T>
struct Fold {
    template <class Visit>
    static void by(const GhostRule& rule, const Visit& visit) {
        const T factor = static_cast<T>(rule.factor);
        switch (rule.kind) {
        case GhostRule::Kind::copy:
            visit([](T* ghost, T* source, std::int64_t n) {
                for_each_entry(n, [&](std::int64_t i) {
                    source[i] += ghost[i];
                    ghost[i] = T(0);
                });
            });
            break;
        case GhostRule::Kind::constant:
            visit([](T* ghost, T*, std::int64_t n) { set_entries(ghost, T(0), n); });
            break;
        case GhostRule::Kind::affine:
            visit([factor](T* ghost, T* source, std::int64_t n) {
                for_each_entry(n, [&](std::int64_t i) {
                    source[i] += factor * ghost[i];
                    ghost[i] = T(0);
                });
            });
        }
    }
};

}  // namespace detail

// Walks the ghosts of one inner axis in a flat range of whole rows, runs of `stride` neighbouring
// entries.
template <class Act, class T>
void Layout::visit_ghosts(const InnerAxis& axis, T* field, std::int64_t begin,
                          std::int64_t end) const {
    const std::int64_t length = (axis.n + 2 * radius_) * axis.stride;
    for (int side = 0; side < 2; ++side) {
        const GhostRule& rule = axis.rules[static_cast<std::size_t>(side)];
        for (std::int64_t g = 1; g <= radius_; ++g) {
            const std::int64_t at = side == 0 ? radius_ - g : radius_ + axis.n - 1 + g;
            const std::int64_t from = radius_ + rule.index(side, g, axis.n);
            const std::int64_t shift = (from - at) * axis.stride;
            Act::by(rule, [&](const auto& move) {
                T* ghost = field + begin + at * axis.stride;
                for (; ghost < field + end; ghost += length) {
                    move(ghost, ghost + shift, axis.stride);
                }
            });
        }
    }
}

template <class T>
void Layout::fill_inner(T* field, std::int64_t row_begin, std::int64_t row_end) const {
    for (const InnerAxis& axis : inner_axes_) {
        visit_ghosts<detail::Fill<T>>(axis, field, begin(row_begin), begin(row_end));
    }
}

template <class T>
void Layout::fold_inner(T* field, std::int64_t row_begin, std::int64_t row_end) const {
    for (auto axis = inner_axes_.rbegin(); axis != inner_axes_.rend(); ++axis) {
        visit_ghosts<detail::Fold<T>>(*axis, field, begin(row_begin), begin(row_end));
    }
}

// The ghost rows of a side, nearest first.
template <class Act, class T>
void Layout::visit_ghost_rows(T* field, int side, std::int64_t n_ghosts) const {
    const GhostRule& rule = row_rules_[static_cast<std::size_t>(side)];
    Act::by(rule, [&](const auto& move) {
        for (std::int64_t g = 1; g <= n_ghosts; ++g) {
            T* ghost = field + begin(side == 0 ? -g : n_rows_ - 1 + g);
            move(ghost, field + begin(rule.index(side, g, n_rows_)), row_length_);
        }
    });
}

template <class T>
void Layout::fill_rows(T* field, int side) const {
    visit_ghost_rows<detail::Fill<T>>(field, side, is_periodic_ ? overlap_ : radius_);
    // What is added on axis 0 gives way to the inner axes in the corners.
    if (row_rules_[static_cast<std::size_t>(side)].kind != GhostRule::Kind::copy) {
        fill_inner(field, side == 0 ? -radius_ : n_rows_, side == 0 ? 0 : n_rows_ + radius_);
    }
}

template <class T>
void Layout::fold_rows(T* field, int side) const {
    visit_ghost_rows<detail::Fold<T>>(field, side, radius_);
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
