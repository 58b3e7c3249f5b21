// Products with a free matrix W. The header is free of Eigen; dense.cpp is the one file with it.
//
// Matrices of states are (cells, samples) with the cells of a sample contiguous. W is (N, N) in C
// order. Each call works on a block that the caller cuts by shape; block sizes inside are fixed
// here and not taken from the machine's caches, so bits are the same on every machine of an ISA
// level.
#pragma once

#include <cstdint>

#include "relaxon/array.hpp"

namespace relaxon {

// Packed panels of one worker.
template <class T>
class PanelWorkspace {
public:
    explicit PanelWorkspace(Arena& arena);

    T* left() const { return left_; }
    T* right() const { return right_; }

private:
    T* left_;
    T* right_;
};

// out[rows, samples] = W[rows, :] z, rows = [begin, end). flops 2 (end - begin) N samples.
template <class T>
void multiply(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, const T* z, T* out,
              std::int64_t n_samples, const PanelWorkspace<T>& workspace);

// out[rows, samples] += (W^T s)[rows, samples].
template <class T>
void add_transposed_product(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end,
                            const T* s, T* out, std::int64_t n_samples,
                            const PanelWorkspace<T>& workspace);

// w_bar[rows, :] += sum over samples of s z^T.
template <class T>
void add_outer_product(T* w_bar, std::int64_t n, std::int64_t begin, std::int64_t end, const T* s,
                       const T* z, std::int64_t n_samples, const PanelWorkspace<T>& workspace);

}  // namespace relaxon
