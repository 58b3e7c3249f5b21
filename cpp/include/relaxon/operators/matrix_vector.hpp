// Products of one field with a matrix over the entries of a pattern, and with its transpose.
// 2 flops per entry; sizeof(T) + 8 bytes each, without the 8 where the pattern is full.
#pragma once

#include "relaxon/operators/pattern.hpp"

namespace relaxon {

// out = A z.
template <class T>
void multiply(const Pattern& pattern, const T* values, const T* z, T* out) {
    for (std::int64_t row = 0; row < pattern.n(); ++row) {
        T sum = T(0);
        if (pattern.is_full()) {
            const T* line = values + pattern.begin(row);
            for (std::int64_t column = 0; column < pattern.n(); ++column) {
                sum += line[column] * z[column];
            }
        } else {
            for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
                sum += values[i] * z[pattern.column(row, i)];
            }
        }
        out[row] = sum;
    }
}

// What sources s of n_samples fields say of the entries of rows [begin, end) of A z + shift, z the
// fields they act on: the sums of s z^T and of s are added, samples in order, in double precision.
template <class T>
void add_entries(const Pattern& pattern, std::int64_t begin, std::int64_t end, const T* s,
                 const T* z, std::int64_t n_samples, T* entries, T* shift) {
    const std::int64_t length = n_samples * pattern.n();
    for (std::int64_t row = begin; row < end; ++row) {
        double total = 0.0;
        for (std::int64_t first = 0; first < length; first += pattern.n()) {
            total += static_cast<double>(s[first + row]);
        }
        shift[row] += static_cast<T>(total);
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            const std::int64_t column = pattern.column(row, i);
            double sum = 0.0;
            for (std::int64_t first = 0; first < length; first += pattern.n()) {
                sum += static_cast<double>(s[first + row]) * z[first + column];
            }
            entries[i] += static_cast<T>(sum);
        }
    }
}

// out += A^T s.
template <class T>
void add_transposed(const Pattern& pattern, const T* values, const T* s, T* out) {
    for (std::int64_t row = 0; row < pattern.n(); ++row) {
        for (std::int64_t i = pattern.begin(row); i < pattern.begin(row + 1); ++i) {
            out[pattern.column(row, i)] += values[i] * s[row];
        }
    }
}

}  // namespace relaxon
