// W of a stencil on one axis whose arms end at the cell itself or its neighbours, straight from the
// weights to the three numbers of every row and back: what assembly.hpp gives over a pattern, for
// which there is no need here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "relaxon/operators/stencil/geometry.hpp"
#include "relaxon/operators/three_point.hpp"

namespace relaxon {

class LineAssembly {
public:
    LineAssembly(const Grid& grid, const std::vector<Arm>& arms) : grid_(&grid), arms_(arms) {}

    // Whether it is such a stencil. Below three cells both neighbours are the same.
    bool is_line() const {
        return grid_->ndim() == 1 && grid_->n_cells() >= 3 &&
               std::all_of(arms_.begin(), arms_.end(),
                           [](const Arm& arm) { return std::abs(arm[0]) <= 1; });
    }

    // Whether weights enter the shift anywhere.
    bool has_shift() const {
        bool is_found = false;
        const auto nothing = [](auto...) {};
        for_each_row(0, grid_->n_cells(), nothing, nothing,
                     [&](std::int64_t, int, const GhostSource& target) {
                         is_found = is_found || target.value != 0.0;
                     });
        return is_found;
    }

    // weight(cell, arm) to the rows and the shift of cells [begin, end).
    template <class T, class Weight>
    void assemble(const Weight& weight, std::int64_t begin, std::int64_t end,
                  const ThreePoint<T>& matrix, T* shift) const {
        T* const sides[] = {matrix.lower, matrix.diagonal, matrix.upper};
        std::fill(shift + begin, shift + end, T(0));
        const auto clear = [&](std::int64_t first, std::int64_t last) {
            for (T* side : sides) std::fill(side + first, side + last, T(0));
        };
        if (arms_.size() < 3) clear(begin, end);
        for_each_row(
            begin, end,
            [&](std::int64_t first, std::int64_t last, int arm) {
                T* side = sides[1 + arm_of(arm)[0]];
                for (std::int64_t cell = first; cell < last; ++cell) side[cell] = weight(cell, arm);
            },
            [&](std::int64_t cell) { clear(cell, cell + 1); },
            [&](std::int64_t cell, int arm, const GhostSource& target) {
                const T w = weight(cell, arm);
                if (target.reads_cell()) {
                    sides[1 + side_of(target.cell - cell)][cell] +=
                        w * static_cast<T>(target.factor);
                }
                shift[cell] += w * static_cast<T>(target.value);
            });
    }

    // The transpose: f(cell, n, arm, bars) with what cotangents of the rows and of the shift say of
    // the weights of n cells from `cell` on, in fixed order. shift_bar may be null without shift.
    template <class T, class F>
    void pull_back(const ThreePoint<T>& matrix_bar, const T* shift_bar, std::int64_t begin,
                   std::int64_t end, const F& f) const {
        const T* const sides[] = {matrix_bar.lower, matrix_bar.diagonal, matrix_bar.upper};
        for_each_row(
            begin, end,
            [&](std::int64_t first, std::int64_t last, int arm) {
                f(first, last - first, arm, sides[1 + arm_of(arm)[0]] + first);
            },
            [](std::int64_t) {},
            [&](std::int64_t cell, int arm, const GhostSource& target) {
                T bar = shift_bar ? shift_bar[cell] * static_cast<T>(target.value) : T(0);
                if (target.reads_cell()) {
                    bar += sides[1 + side_of(target.cell - cell)][cell] *
                           static_cast<T>(target.factor);
                }
                f(cell, std::int64_t{1}, arm, &bar);
            });
    }

private:
    const Arm& arm_of(int arm) const { return arms_[static_cast<std::size_t>(arm)]; }
    // Round the circle.
    static int side_of(std::int64_t distance) {
        return distance > 1 ? -1 : distance < -1 ? 1 : static_cast<int>(distance);
    }
    bool is_inside(std::int64_t cell) const {
        if (cell == 0 || cell == grid_->n_cells() - 1) return false;
        return !grid_->has_mask() ||
               (grid_->exists(cell - 1) && grid_->exists(cell) && grid_->exists(cell + 1));
    }

    // runs(first, last, arm) for cells whose arms end at cells; other(cell) for all others, and
    // others(cell, arm, target) for the arms of those that exist.
    template <class Runs, class Other, class Others>
    void for_each_row(std::int64_t begin, std::int64_t end, const Runs& runs, const Other& other,
                      const Others& others) const {
        // A stretch of every arm before the next one, while its rows are in the cache.
        constexpr std::int64_t kStretch = 512;
        const int n_arms = static_cast<int>(arms_.size());
        for (std::int64_t cell = begin; cell < end;) {
            const std::int64_t first = cell;
            const std::int64_t most = std::min(cell + kStretch, end);
            while (cell < most && is_inside(cell)) ++cell;
            for (int arm = 0; arm < n_arms && cell > first; ++arm) runs(first, cell, arm);
            if (cell > first) continue;
            other(cell);
            for (int arm = 0; arm < n_arms && grid_->exists(cell); ++arm) {
                others(cell, arm, arm_target(*grid_, cell, arm_of(arm)));
            }
            ++cell;
        }
    }

    const Grid* grid_;
    std::vector<Arm> arms_;
};

}  // namespace relaxon
