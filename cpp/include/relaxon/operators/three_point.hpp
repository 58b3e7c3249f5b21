// Matrices of cells in a line or round a circle that see their neighbours alone: three numbers of
// every row. What leads beyond the ends of a line is zero, and so is all of a masked cell.
#pragma once

#include <algorithm>
#include <cstdint>

#include "relaxon/base/array.hpp"
#include "relaxon/operators/pattern.hpp"

namespace relaxon {

// Row i: lower[i] z[i - 1] + diagonal[i] z[i] + upper[i] z[i + 1], round the circle.
template <class T>
struct ThreePoint {
    std::int64_t n = 0;
    T* lower = nullptr;
    T* diagonal = nullptr;
    T* upper = nullptr;

    void carve(Arena& arena, std::int64_t n_cells) {
        n = n_cells;
        for (T** array : {&lower, &diagonal, &upper}) *array = arena.take<T>(n);
    }
    operator ThreePoint<const T>() const { return {n, lower, diagonal, upper}; }
};

// Whether a matrix over a pattern is one, its rows in order. Below three cells both neighbours are
// the same.
inline bool is_three_point(const Pattern& pattern) {
    const std::int64_t n = pattern.n();
    if (pattern.is_full() || n < 3) return false;
    for (std::int64_t row = 0; row < n; ++row) {
        std::int64_t before = -1;
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            const std::int64_t column = pattern.column(row, i);
            const std::int64_t distance = std::abs(column - row);
            if ((distance > 1 && distance != n - 1) || column <= before) return false;
            before = column;
        }
    }
    return true;
}

namespace detail {

// f(entry, row, side) for the entries of a pattern, side -1, 0 or 1.
template <class F>
void for_each_neighbour(const Pattern& pattern, const F& f) {
    const std::int64_t n = pattern.n();
    std::int64_t i = 0;
    for (std::int64_t row = 0; row < n; ++row) {
        const std::int64_t end = pattern.begin(row + 1);
        // The whole row of a cell between its neighbours.
        if (end - i == 3 && row > 0 && row < n - 1) {
            for (int side = -1; side <= 1; ++side) f(i++, row, side);
            continue;
        }
        for (; i < end; ++i) {
            const std::int64_t distance = pattern.column(row, i) - row;
            f(i, row, distance > 1 ? -1 : distance < -1 ? 1 : static_cast<int>(distance));
        }
    }
}

}  // namespace detail

// From the entries of such a pattern to the arrays, and back.
template <class T>
void spread(const Pattern& pattern, const T* values, const ThreePoint<T>& matrix) {
    T* const arrays[] = {matrix.lower, matrix.diagonal, matrix.upper};
    for (T* array : arrays) std::fill(array, array + matrix.n, T(0));
    detail::for_each_neighbour(pattern, [&](std::int64_t i, std::int64_t row, int side) {
        arrays[side + 1][row] = values[i];
    });
}

// values += the arrays' entries.
template <class T, class Number>
void collect(const Pattern& pattern, const ThreePoint<Number>& matrix, T* values) {
    const Number* const arrays[] = {matrix.lower, matrix.diagonal, matrix.upper};
    detail::for_each_neighbour(pattern, [&](std::int64_t i, std::int64_t row, int side) {
        values[i] += static_cast<T>(arrays[side + 1][row]);
    });
}

// out[i] = (A z + shift)[i], begin <= i < end. 6 flops, 6 sizeof(T) bytes per cell.
template <class T>
void multiply(const ThreePoint<const T>& matrix, const T* shift, const T* z, std::int64_t begin,
              std::int64_t end, T* out) {
    const auto row = [&](std::int64_t i, T before, T after) {
        out[i] = matrix.lower[i] * before + matrix.diagonal[i] * z[i] + matrix.upper[i] * after +
                 shift[i];
    };
    const std::int64_t n = matrix.n;
    const std::int64_t first = std::max<std::int64_t>(begin, 1), last = std::min(end, n - 1);
    if (begin == 0) row(0, z[n - 1], z[1]);
    for (std::int64_t i = first; i < last; ++i) row(i, z[i - 1], z[i + 1]);
    if (end == n) row(n - 1, z[n - 2], z[0]);
}

// out[i] += (A^T s)[i], begin <= i < end.
template <class T>
void add_transposed(const ThreePoint<const T>& matrix, const T* s, std::int64_t begin,
                    std::int64_t end, T* out) {
    const std::int64_t n = matrix.n;
    const auto column = [&](std::int64_t i, std::int64_t before, std::int64_t after) {
        out[i] += matrix.upper[before] * s[before] + matrix.diagonal[i] * s[i] +
                  matrix.lower[after] * s[after];
    };
    const std::int64_t first = std::max<std::int64_t>(begin, 1), last = std::min(end, n - 1);
    if (begin == 0) column(0, n - 1, 1);
    for (std::int64_t i = first; i < last; ++i) column(i, i - 1, i + 1);
    if (end == n) column(n - 1, n - 2, 0);
}

// bar += s z^T where such a matrix has entries, and, unless it is null, bar_shift += s;
// begin <= i < end. source(i) gives s[i].
template <class T, class Source>
void add_outer(const Source& source_of, const T* z, std::int64_t begin, std::int64_t end,
               const ThreePoint<double>& bar, double* bar_shift) {
    const std::int64_t n = bar.n;
    const auto row = [&](std::int64_t i, T before, T after) {
        const double source = source_of(i);
        bar.lower[i] += source * before;
        bar.diagonal[i] += source * z[i];
        bar.upper[i] += source * after;
    };
    const std::int64_t first = std::max<std::int64_t>(begin, 1), last = std::min(end, n - 1);
    if (begin == 0) row(0, z[n - 1], z[1]);
    for (std::int64_t i = first; i < last; ++i) row(i, z[i - 1], z[i + 1]);
    if (end == n) row(n - 1, z[n - 2], z[0]);
    if (!bar_shift) return;
    for (std::int64_t i = begin; i < end; ++i) bar_shift[i] += source_of(i);
}

}  // namespace relaxon
