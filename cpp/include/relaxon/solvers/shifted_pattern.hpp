// Matrices d - c A, with numbers d and c of every row: what layers and attractors factorise. Their
// entries are those of A and the diagonal.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "relaxon/operators/pattern.hpp"

namespace relaxon {

class ShiftedPattern {
public:
    explicit ShiftedPattern(const Pattern& a) : a_(a), pattern_(a) {
        if (a.is_full()) return;
        std::vector<std::int64_t> row_begin{0}, columns;
        for (std::int64_t row = 0; row < a.n(); ++row) {
            std::int64_t diagonal = -1;
            const auto take = [&](std::int64_t column) {
                if (column == row) diagonal = static_cast<std::int64_t>(columns.size());
                columns.push_back(column);
            };
            for (std::int64_t i = a.begin(row); i < a.begin(row + 1); ++i) {
                const std::int64_t column = a.column(row, i);
                if (diagonal < 0 && column > row) take(row);
                places_.push_back(static_cast<std::int64_t>(columns.size()));
                take(column);
            }
            if (diagonal < 0) take(row);
            diagonal_.push_back(diagonal);
            row_begin.push_back(static_cast<std::int64_t>(columns.size()));
        }
        pattern_ = Pattern(std::move(row_begin), std::move(columns));
    }

    const Pattern& pattern() const { return pattern_; }

    // The entries of d - c A, given those of A; d(row), c(row).
    template <class T, class D, class C>
    void fill(const T* a_values, const D& d, const C& c, T* values) const {
        std::fill(values, values + pattern_.n_entries(), T(0));
        for (std::int64_t row = 0; row < a_.n(); ++row) {
            const T factor = c(row);
            for (std::int64_t i = a_.begin(row); i < a_.begin(row + 1); ++i) {
                values[place(i)] = -factor * a_values[i];
            }
            values[diagonal(row)] += d(row);
        }
    }

private:
    std::int64_t place(std::int64_t i) const {
        return a_.is_full() ? i : places_[static_cast<std::size_t>(i)];
    }
    std::int64_t diagonal(std::int64_t row) const {
        return a_.is_full() ? row * a_.n() + row : diagonal_[static_cast<std::size_t>(row)];
    }

    Pattern a_, pattern_;
    std::vector<std::int64_t> places_;    // of the entries of A
    std::vector<std::int64_t> diagonal_;  // entry of every row
};

}  // namespace relaxon
