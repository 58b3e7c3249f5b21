// The ends of a network, out = A x + a, with a full matrix A (n_out, n_in) in C order; states are
// (samples, n), a sample's entries contiguous and samples `stride` entries apart.
//
// Tiles of the result stay in registers while they run through their sum, on operands as they lie
// in memory. No allocation; work may be cut anywhere, a result does not depend on it.
#pragma once

#include <cstdint>

namespace relaxon {

// States of several samples.
template <class T>
struct Rectangle {
    T* first = nullptr;
    std::int64_t stride = 0;  // entries from one sample to the next
    T* sample(std::int64_t i) const { return first + i * stride; }
};

template <class T>
struct AffineMap {
    const T* matrix = nullptr;
    const T* shift = nullptr;  // null: zero
    std::int64_t n_out = 0, n_in = 0;
};

// out[i, rows) = or += (A x_i + a)[rows), rows = [begin, end), i < n_samples.
// flops 2 n_in per row and sample.
template <class T>
void apply(const AffineMap<T>& map, Rectangle<const T> x, std::int64_t n_samples,
           std::int64_t begin, std::int64_t end, Rectangle<T> out, bool adds);

// out[i, columns) = (A^T s_i)[columns), columns = [begin, end). flops 2 n_out per column and
// sample.
template <class T>
void apply_transpose(const AffineMap<T>& map, Rectangle<const T> s, std::int64_t n_samples,
                     std::int64_t begin, std::int64_t end, Rectangle<T> out);

// Rows [begin, end) of the gradients: matrix_bar = sum_i s_i x_i^T, shift_bar = sum_i s_i.
// flops 2 n_in per row and sample.
template <class T>
void affine_gradient(std::int64_t n_in, Rectangle<const T> s, Rectangle<const T> x,
                     std::int64_t n_samples, std::int64_t begin, std::int64_t end, T* matrix_bar,
                     T* shift_bar);

}  // namespace relaxon
