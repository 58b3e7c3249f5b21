// Where the entries of a matrix over the cells of a grid stand: row by row, columns ascending. Rows
// and columns of masked cells are empty.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace relaxon {

class Pattern {
public:
    Pattern() = default;
    // row_begin: n + 1 entries.
    Pattern(std::vector<std::int64_t> row_begin, std::vector<std::int64_t> columns)
        : n_(static_cast<std::int64_t>(row_begin.size()) - 1), row_begin_(std::move(row_begin)),
          columns_(std::move(columns)) {}

    // All n * n entries, in C order; nothing is stored for it.
    static Pattern full(std::int64_t n) {
        Pattern pattern;
        pattern.n_ = n;
        pattern.is_full_ = true;
        return pattern;
    }

    std::int64_t n() const { return n_; }
    bool is_full() const { return is_full_; }
    std::int64_t n_entries() const { return is_full_ ? n_ * n_ : row_begin_.back(); }
    // Number of the first entry of a row; the last one ends at begin(n).
    std::int64_t begin(std::int64_t row) const {
        return is_full_ ? row * n_ : row_begin_[static_cast<std::size_t>(row)];
    }
    // Column of an entry of a row.
    std::int64_t column(std::int64_t row, std::int64_t entry) const {
        return is_full_ ? entry - row * n_ : columns_[static_cast<std::size_t>(entry)];
    }
    // Entries on either side of the diagonal that a band needs, below and above.
    std::pair<std::int64_t, std::int64_t> band() const {
        std::int64_t below = 0, above = 0;
        for (std::int64_t row = 0; row < n_; ++row) {
            if (begin(row) == begin(row + 1)) continue;
            below = std::max(below, row - column(row, begin(row)));
            above = std::max(above, column(row, begin(row + 1) - 1) - row);
        }
        return {below, above};
    }

private:
    std::int64_t n_ = 0;
    bool is_full_ = false;
    std::vector<std::int64_t> row_begin_{0};
    std::vector<std::int64_t> columns_;
};

}  // namespace relaxon
