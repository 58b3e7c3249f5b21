// W of a stencil as a sparse matrix, W z = A z + shift: boundaries, cut arms and Dirichlet values
// included. Arms that meet in one cell (small periodic axes, mirrored sides) share its entry.
//
// Most cells have an entry for every arm. They come in runs, whose entries are copied weights; what
// the arms of all others add is listed term by term.
#pragma once

#include <algorithm>
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
        std::fill(shift, shift + pattern_.n(), T(0));
        for_each_run_arm([&](std::int64_t begin, std::int64_t end, int arm, std::int64_t entry) {
            T* value = values + entry;
            for (std::int64_t cell = begin; cell < end; ++cell, value += n_arms_) {
                *value = weight(cell, arm);
            }
        });
        for (const Term& term : terms_) {
            if (term.entry >= 0) values[term.entry] = T(0);
        }
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
        for_each_run_arm([&](std::int64_t begin, std::int64_t end, int arm, std::int64_t entry) {
            const T* bar = values_bar + entry;
            for (std::int64_t cell = begin; cell < end; ++cell, bar += n_arms_) f(cell, arm, *bar);
        });
        for (const Term& term : terms_) {
            T bar = shift_bar[term.cell] * static_cast<T>(term.value);
            if (term.entry >= 0) bar += values_bar[term.entry] * static_cast<T>(term.factor);
            f(term.cell, term.arm, bar);
        }
    }

private:
    // Cells whose arms lead to a cell each, in the same order.
    struct Run {
        std::int64_t begin, end;
        std::int64_t entry;  // the first
        std::size_t slots;   // where its order begins among slots_
    };
    // What one arm of one cell adds.
    struct Term {
        std::int64_t cell;
        int arm;
        std::int64_t entry;  // -1: none
        double factor, value;
    };

    // f(begin, end, arm, entry): that of cell begin; a row further on, the next cell's.
    template <class F>
    void for_each_run_arm(const F& f) const {
        // A stretch of every arm before the next one, while its entries are in the cache.
        constexpr std::int64_t kStretch = 512;
        for (const Run& run : runs_) {
            for (std::int64_t begin = run.begin; begin < run.end; begin += kStretch) {
                const std::int64_t end = std::min(begin + kStretch, run.end);
                const std::int64_t entry = run.entry + (begin - run.begin) * n_arms_;
                for (std::int64_t arm = 0; arm < n_arms_; ++arm) {
                    const std::size_t slot = run.slots + static_cast<std::size_t>(arm);
                    f(begin, end, static_cast<int>(arm), entry + slots_[slot]);
                }
            }
        }
    }
    void add_to_runs(std::int64_t cell, std::int64_t entry, const std::vector<std::int64_t>& slots);

    std::int64_t n_arms_;
    Pattern pattern_;
    std::vector<Run> runs_;
    std::vector<std::int64_t> slots_;  // entry of each arm within its row
    std::vector<Term> terms_;
};

}  // namespace relaxon
