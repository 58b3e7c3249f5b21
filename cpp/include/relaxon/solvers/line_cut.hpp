// A line of n cells as lanes of packs: it is cut into pieces of cells that follow each other, and
// as many pieces as a pack has lanes make a stretch, which a worker takes as a whole. The cut
// follows from n alone. All pieces of a stretch are of the same length, and those of different
// stretches differ by at most one cell; the cells left over, fewer than a pack has lanes, are
// pieces of a single cell.
//
// In the packed order row r of a stretch holds the r-th cell of each of its pieces; a stretch takes
// the same places as in the order of cells.
#pragma once

#include <algorithm>
#include <cstdint>

#include "relaxon/base/array.hpp"
#include "relaxon/base/simd.hpp"

namespace relaxon {

struct Stretch {
    std::int64_t first;     // cell, and place of the first row
    std::int64_t rows;      // cells of each piece
    std::int64_t piece;     // number of its first piece
    std::int64_t n_pieces;  // as many as lanes, or fewer in the last stretch
};

template <class T>
class LineCut {
public:
    static constexpr std::int64_t kLanes = static_cast<std::int64_t>(kPackWidth<T>);
    // Rows of a stretch, about: a dozen arrays of them stay in the second-level cache.
    static constexpr std::int64_t kRows = 256;
    // Places of one at most.
    static constexpr std::int64_t kStretch = kRows * kLanes;

    explicit LineCut(std::int64_t n)
        : n_(n), n_rows_(n / kLanes), n_whole_(std::min(n_rows_, (n_rows_ + kRows - 1) / kRows)) {}

    std::int64_t n() const { return n_; }
    // Of an array in the packed order.
    std::int64_t length() const { return round_up(n_, kLanes); }
    std::int64_t n_stretches() const { return n_whole_ + (n_rest() > 0 ? 1 : 0); }
    std::int64_t n_pieces() const { return n_whole_ * kLanes + n_rest(); }

    Stretch stretch(std::int64_t i) const {
        if (i == n_whole_) return {n_ - n_rest(), 1, i * kLanes, n_rest()};
        const std::int64_t rows = n_rows_ / n_whole_, n_longer = n_rows_ % n_whole_;
        return {(i * rows + std::min(i, n_longer)) * kLanes, rows + (i < n_longer ? 1 : 0),
                i * kLanes, kLanes};
    }

private:
    std::int64_t n_rest() const { return n_ % kLanes; }

    std::int64_t n_;
    std::int64_t n_rows_;   // of all whole stretches
    std::int64_t n_whole_;  // stretches
};

// Of a stretch: cells to the packed order, zero in lanes without a piece, and back. cells begin at
// the line's first, packed rows at the stretch's.
template <class T>
void pack(const Stretch& stretch, const T* cells, T* packed) {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    const T* from = cells + stretch.first;
    if (stretch.n_pieces < lanes) {
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
            packed[lane] = lane < stretch.n_pieces ? from[lane] : T(0);
        }
        return;
    }
    for (std::int64_t row = 0; row < stretch.rows; ++row, packed += lanes) {
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
            packed[lane] = from[lane * stretch.rows + row];
        }
    }
}

template <class T>
void unpack(const Stretch& stretch, const T* packed, T* cells) {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    T* to = cells + stretch.first;
    if (stretch.n_pieces < lanes) {
        std::copy(packed, packed + stretch.n_pieces, to);
        return;
    }
    for (std::int64_t row = 0; row < stretch.rows; ++row, packed += lanes) {
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
            to[lane * stretch.rows + row] = packed[lane];
        }
    }
}

}  // namespace relaxon
