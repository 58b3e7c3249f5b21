// Products with a free matrix W. The header is free of Eigen, which products.cpp includes.
//
// Matrices of states are (cells, samples) with the cells of a sample contiguous. W is (N, N) in C
// order. Operands are packed into the order in which the product's kernel reads them: a tile of the
// result stays in registers while it runs through a slice of the sum. All sizes are fixed here and
// not taken from the machine's caches, so bits are the same on every machine of an ISA level.
// Matrices times one sample (matrix-vector products, which memory bounds) are Eigen's and take
// their operands unpacked.
#pragma once

#include <cstdint>

#include "relaxon/base/array.hpp"

namespace relaxon {

// Rows of a block, at most: a multiple of every tile.
constexpr std::int64_t kProductRows = 48;

// A packed block of one worker, for matrices that are not packed ahead.
template <class T>
class PanelWorkspace {
public:
    explicit PanelWorkspace(Arena& arena);

    T* block() const { return block_; }

private:
    T* block_;
};

// A matrix W and, where not null, its rows and columns packed ahead, which pays where layers share
// them.
template <class T>
struct Matrix {
    const T* w = nullptr;
    std::int64_t n = 0;
    const T* packed_rows = nullptr;
    const T* packed_columns = nullptr;
};

// Entries of a packed matrix.
std::int64_t packed_matrix_length(std::int64_t n);

// Rows, or columns, [begin, end) of W into `packed`, the memory of the whole matrix. Blocks begin
// at multiples of kProductRows, here and in the products.
template <class T>
void pack_rows(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, T* packed);
template <class T>
void pack_columns(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, T* packed);

// States (cells, samples) and, for more than one sample, the same packed.
template <class T>
struct States {
    const T* z = nullptr;
    const T* packed = nullptr;
    std::int64_t n_samples = 1;
};

// Entries of packed states, and the slices of cells that pack_states fills, each by one call.
std::int64_t packed_states_length(std::int64_t n, std::int64_t n_samples);
std::int64_t n_state_slices(std::int64_t n, std::int64_t n_samples);
template <class T>
void pack_states(const T* z, std::int64_t n, std::int64_t n_samples, std::int64_t slice, T* packed);

// out[rows, samples] = W[rows, :] z, rows = [begin, end). flops 2 N samples per row, bytes
// (N + 2 samples) sizeof(T) per row and N samples sizeof(T).
template <class T>
void multiply(const Matrix<T>& matrix, std::int64_t begin, std::int64_t end,
              const States<T>& states, T* out, const PanelWorkspace<T>& workspace);

// out[rows, samples] += (W^T s)[rows, samples]. flops and bytes as above.
template <class T>
void add_transposed_product(const Matrix<T>& matrix, std::int64_t begin, std::int64_t end,
                            const States<T>& states, T* out, const PanelWorkspace<T>& workspace);

// The operands of an outer product are packed as they come: cells [begin, end) of one sample's z,
// or s, as number `sample` of at most `n_samples`.
std::int64_t packed_outer_length(std::int64_t n, std::int64_t n_samples);
template <class T>
void pack_outer_state(const T* z, std::int64_t n, std::int64_t begin, std::int64_t end,
                      std::int64_t sample, T* packed);
template <class T>
void pack_outer_source(const T* s, std::int64_t n, std::int64_t begin, std::int64_t end,
                       std::int64_t sample, T* packed);

// w_bar[rows, :] = or += sum over samples of s z^T. flops 2 N samples per row, bytes
// (2 N + samples) sizeof(T) per row and N samples sizeof(T).
template <class T>
void outer_product(T* w_bar, std::int64_t n, std::int64_t begin, std::int64_t end, const T* sources,
                   const T* states, std::int64_t n_samples, bool adds);

}  // namespace relaxon
