// W of a stencil as a sparse matrix, W z = A z + shift: boundaries, cut arms and Dirichlet values
// included. Arms that meet in one cell (small periodic axes, mirrored sides) share its entry.
#pragma once

#include <cstdint>
#include <vector>

#include "relaxon/operators/pattern.hpp"
#include "relaxon/operators/stencil/geometry.hpp"

namespace relaxon {

class StencilAssembly {
public:
    StencilAssembly(const Grid& grid, const std::vector<Arm>& arms);

    const Pattern& pattern() const { return pattern_; }

    // weight(cell, arm) to the values of the pattern's entries and the shift of every cell.
    template <class T, class Weight>
    void assemble(const Weight& weight, T* values, T* shift) const {
        std::fill(values, values + pattern_.n_entries(), T(0));
        std::fill(shift, shift + pattern_.n(), T(0));
        for (const Term& term : terms_) {
            const T w = weight(term.cell, term.arm);
            if (term.entry >= 0) values[term.entry] += w * static_cast<T>(term.factor);
            shift[term.cell] += w * static_cast<T>(term.value);
        }
    }

    // The transpose: f(cell, arm, bar) with what cotangents of the entries and of the shift say of
    // every weight, in fixed order.
    template <class T, class F>
    void pull_back(const T* values_bar, const T* shift_bar, const F& f) const {
        for (const Term& term : terms_) {
            T bar = shift_bar[term.cell] * static_cast<T>(term.value);
            if (term.entry >= 0) bar += values_bar[term.entry] * static_cast<T>(term.factor);
            f(term.cell, term.arm, bar);
        }
    }

private:
    // What one arm of one cell adds.
    struct Term {
        std::int64_t cell;
        int arm;
        std::int64_t entry;  // -1: none
        double factor, value;
    };

    Pattern pattern_;
    std::vector<Term> terms_;
};

}  // namespace relaxon
