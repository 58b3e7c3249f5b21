// W of a stencil of reach one on a line of cells, W z = A z + shift, as three numbers of every row:
// what StencilAssembly says, without a pattern.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "relaxon/operators/stencil/geometry.hpp"
#include "relaxon/operators/three_point.hpp"

namespace relaxon {

class LineAssembly {
public:
    // Below three cells both neighbours are the same.
    static bool fits(const Grid& grid, const std::vector<Arm>& arms) {
        return grid.ndim() == 1 && grid.n_cells() >= 3 &&
               std::all_of(arms.begin(), arms.end(), [](const Arm& arm) {
                   return std::abs(arm[0]) <= 1 && arm[1] == 0 && arm[2] == 0;
               });
    }

    LineAssembly(const Grid& grid, const std::vector<Arm>& arms);

    // Whether weights enter the shift.
    bool has_shift() const {
        return std::any_of(terms_.begin(), terms_.end(),
                           [](const Term& term) { return term.value != 0.0; });
    }

    // weight(cell, arm) to the matrix and the shift of every cell.
    template <class T, class Weight>
    void assemble(const Weight& weight, const ThreePoint<T>& matrix, T* shift) const {
        const std::array<T*, 3> rows{matrix.lower, matrix.diagonal, matrix.upper};
        std::fill(shift, shift + n_, T(0));
        for (std::size_t side = 0; side < 3; ++side) {
            if (!has_side_[side]) std::fill(rows[side], rows[side] + n_, T(0));
        }
        for (std::size_t k = 0; k < arms_.size(); ++k) {
            T* values = rows[side_of(arms_[k])];
            for (const Run& run : runs_) {
                for (std::int64_t cell = run.begin; cell < run.end; ++cell) {
                    values[cell] = weight(cell, static_cast<int>(k));
                }
            }
        }
        for (const std::int64_t cell : others_) {
            for (T* row : rows) row[cell] = T(0);
        }
        for (const Term& term : terms_) {
            const T w = weight(term.cell, term.arm);
            if (term.side >= 0) rows[at(term.side)][term.cell] += w * static_cast<T>(term.factor);
            shift[term.cell] += w * static_cast<T>(term.value);
        }
    }

    // The transpose, in fixed order: run(begin, end, arm, bars) with what the cotangents of matrix
    // and shift say of the weights of cells [begin, end), one number of each cell. shift_bar may be
    // null where there is no shift.
    template <class F>
    void pull_back(const ThreePoint<double>& bar, const double* shift_bar, const F& run) const {
        const std::array<const double*, 3> rows{bar.lower, bar.diagonal, bar.upper};
        for (std::size_t k = 0; k < arms_.size(); ++k) {
            const double* values = rows[side_of(arms_[k])];
            for (const Run& cells : runs_) {
                run(cells.begin, cells.end, static_cast<int>(k), values + cells.begin);
            }
        }
        for (const Term& term : terms_) {
            double value = shift_bar ? shift_bar[term.cell] * term.value : 0.0;
            if (term.side >= 0) value += rows[at(term.side)][term.cell] * term.factor;
            run(term.cell, term.cell + 1, term.arm, &value);
        }
    }

private:
    // Cells all of whose arms lead to neighbours that exist.
    struct Run {
        std::int64_t begin, end;
    };
    // What one arm of one other cell adds.
    struct Term {
        std::int64_t cell;
        int arm;
        int side;  // 0, 1, 2: lower, diagonal, upper; -1: none
        double factor, value;
    };

    static std::size_t at(int side) { return static_cast<std::size_t>(side); }
    static std::size_t side_of(const Arm& arm) { return at(arm[0] + 1); }

    std::int64_t n_;
    std::vector<Arm> arms_;
    std::array<bool, 3> has_side_{};
    std::vector<Run> runs_;
    std::vector<std::int64_t> others_;
    std::vector<Term> terms_;
};

}  // namespace relaxon
