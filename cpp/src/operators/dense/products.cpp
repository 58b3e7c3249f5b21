#include "relaxon/operators/dense/products.hpp"

#include <Eigen/Core>
#include <algorithm>

#include "relaxon/base/simd.hpp"

namespace relaxon {

namespace {

// Terms of a sum that a tile runs through at a time: its panels stay in the caches meanwhile.
constexpr std::int64_t kSlice = 256;

// A tile: three packs of rows times as many columns as there are registers for.
constexpr std::int64_t kTilePacks = 3;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr std::int64_t kTileColumns = 8;
#else
constexpr std::int64_t kTileColumns = 4;
#endif
template <class T>
constexpr std::int64_t kTileRows = kTilePacks* static_cast<std::int64_t>(kPackWidth<T>);
static_assert(kProductRows % kTileRows<float> == 0 && kProductRows % kTileRows<double> == 0);
static_assert(kProductRows % kTileColumns == 0);

// f(k, depth) for the slices of a sum of n terms.
template <class F>
void for_each_slice(std::int64_t n, const F& f) {
    for (std::int64_t k = 0; k < n; k += kSlice) f(k, std::min(kSlice, n - k));
}

// out[rows, columns] = or += sum_k left_k right_k^T for one tile; left: [k][kTileRows<T>], right:
// [k][kTileColumns], padded with zeros; the columns of out are `stride` apart.
template <class T>
void multiply_tile(const T* left, const T* right, std::int64_t depth, T* out, std::int64_t stride,
                   std::int64_t rows, std::int64_t columns, bool adds) {
    constexpr std::int64_t width = kPackWidth<T>;
    Pack<T> sum[kTileColumns][kTilePacks];
    for (auto& column : sum) {
        for (Pack<T>& pack : column) pack = broadcast(T(0));
    }
    for (std::int64_t k = 0; k < depth; ++k) {
        Pack<T> entries[kTilePacks];
        for (std::int64_t m = 0; m < kTilePacks; ++m) entries[m] = load(left + m * width);
        for (std::int64_t j = 0; j < kTileColumns; ++j) {
            const Pack<T> factor = broadcast(right[j]);
            for (std::int64_t m = 0; m < kTilePacks; ++m) sum[j][m] += entries[m] * factor;
        }
        left += kTileRows<T>;
        right += kTileColumns;
    }
    // With a bound known to the compiler, or the sums would not stay in registers.
    for (std::int64_t j = 0; j < kTileColumns; ++j) {
        for (std::int64_t m = 0; m < kTilePacks; ++m) {
            T* to = out + j * stride + m * width;
            const std::int64_t rest = rows - m * width;
            if (j >= columns || rest <= 0) continue;
            store_up_to(to, adds ? load_up_to(to, rest) + sum[j][m] : sum[j][m], rest);
        }
    }
}

// All tiles of a block for one slice; panels of `left` and `right` follow each other.
template <class T>
void multiply_slice(const T* left, const T* right, std::int64_t left_step, std::int64_t right_step,
                    std::int64_t depth, T* out, std::int64_t stride, std::int64_t rows,
                    std::int64_t columns, bool adds) {
    for (std::int64_t i = 0; i < rows; i += kTileRows<T>) {
        for (std::int64_t j = 0; j < columns; j += kTileColumns) {
            multiply_tile(left + i / kTileRows<T> * left_step,
                          right + j / kTileColumns * right_step, depth, out + j * stride + i,
                          stride, rows - i, columns - j, adds);
        }
    }
}

// The transpose of entry(i, k), i < n, padded with zeros: panels of `width`, [panel][k][width].
template <class T, class Entry>
void pack_panels(std::int64_t n, std::int64_t depth, std::int64_t width, T* packed,
                 const Entry& entry) {
    for (std::int64_t i = 0; i < n; i += width) {
        const std::int64_t length = std::min(width, n - i);
        for (std::int64_t k = 0; k < depth; ++k) {
            for (std::int64_t m = 0; m < length; ++m) packed[m] = entry(i + m, k);
            std::fill(packed + length, packed + width, T(0));
            packed += width;
        }
    }
}

// A slice of the rows, or columns, [begin, end) of W.
template <bool OfColumns, class T>
void pack_slice(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, std::int64_t k,
                std::int64_t depth, T* packed) {
    pack_panels(end - begin, depth, kTileRows<T>, packed, [=](std::int64_t i, std::int64_t j) {
        return OfColumns ? w[(k + j) * n + begin + i] : w[(begin + i) * n + k + j];
    });
}

// Where slice k of the block from `begin` on lies in a packed matrix.
template <class T>
T* packed_slice(T* packed, std::int64_t n, std::int64_t begin, std::int64_t end, std::int64_t k) {
    return packed + begin * n + round_up(end - begin, kTileRows<std::remove_const_t<T>>) * k;
}

template <bool OfColumns, class T>
void pack_block(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, T* packed) {
    for_each_slice(n, [&](std::int64_t k, std::int64_t depth) {
        pack_slice<OfColumns>(w, n, begin, end, k, depth, packed_slice(packed, n, begin, end, k));
    });
}

// One sample's cells as number `sample` of panels that are a whole slice apart.
template <class T>
void pack_outer(const T* cells, std::int64_t n, std::int64_t begin, std::int64_t end,
                std::int64_t sample, std::int64_t width, T* packed) {
    const std::int64_t slice_length = round_up(n, width) * kSlice;
    T* to = packed + sample / kSlice * slice_length + sample % kSlice * width;
    for (std::int64_t i = begin; i < end; i += width) {
        T* panel = to + i * kSlice;
        const std::int64_t length = std::min(width, end - i);
        std::copy(cells + i, cells + i + length, panel);
        std::fill(panel + length, panel + width, T(0));
    }
}

template <class T>
using ConstVector = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>>;
template <class T>
using Vector = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, 1>>;
template <class T, int Order>
using ConstMatrix = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                               Eigen::OuterStride<>>;

// out[rows, samples] = W[rows, :] z, or += (W^T)[rows, :] z with the columns of W.
template <bool OfColumns, class T>
void multiply_block(const Matrix<T>& matrix, std::int64_t begin, std::int64_t end,
                    const States<T>& states, T* out, const PanelWorkspace<T>& workspace) {
    const std::int64_t n = matrix.n, rows = end - begin;
    if (states.n_samples == 1) {
        constexpr int order = OfColumns ? Eigen::ColMajor : Eigen::RowMajor;
        const T* block = matrix.w + begin * (OfColumns ? 1 : n);
        const ConstMatrix<T, order> a(block, rows, n, Eigen::OuterStride<>(n));
        Vector<T> target(out + begin, rows);
        if constexpr (OfColumns) {
            target.noalias() += a * ConstVector<T>(states.z, n);
        } else {
            target.noalias() = a * ConstVector<T>(states.z, n);
        }
        return;
    }
    const T* packed = OfColumns ? matrix.packed_columns : matrix.packed_rows;
    const std::int64_t columns = round_up(states.n_samples, kTileColumns);
    for_each_slice(n, [&](std::int64_t k, std::int64_t depth) {
        const T* left = workspace.block();
        if (packed) {
            left = packed_slice(packed, n, begin, end, k);
        } else {
            pack_slice<OfColumns>(matrix.w, n, begin, end, k, depth, workspace.block());
        }
        multiply_slice(left, states.packed + k * columns, depth * kTileRows<T>,
                       depth * kTileColumns, depth, out + begin, n, rows, states.n_samples,
                       OfColumns || k > 0);
    });
}

}  // namespace

template <class T>
PanelWorkspace<T>::PanelWorkspace(Arena& arena) : block_(arena.take<T>(kProductRows * kSlice)) {}

std::int64_t packed_matrix_length(std::int64_t n) { return round_up(n, kProductRows) * n; }

template <class T>
void pack_rows(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, T* packed) {
    pack_block<false>(w, n, begin, end, packed);
}

template <class T>
void pack_columns(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, T* packed) {
    pack_block<true>(w, n, begin, end, packed);
}

std::int64_t packed_states_length(std::int64_t n, std::int64_t n_samples) {
    return n * round_up(n_samples, kTileColumns);
}

std::int64_t n_state_slices(std::int64_t n, std::int64_t n_samples) {
    return n_samples == 1 ? 0 : (n + kSlice - 1) / kSlice;
}

template <class T>
void pack_states(const T* z, std::int64_t n, std::int64_t n_samples, std::int64_t slice,
                 T* packed) {
    const T* cells = z + slice * kSlice;
    pack_panels(n_samples, std::min(kSlice, n - slice * kSlice), kTileColumns,
                packed + slice * kSlice * round_up(n_samples, kTileColumns),
                [=](std::int64_t sample, std::int64_t k) { return cells[sample * n + k]; });
}

template <class T>
void multiply(const Matrix<T>& matrix, std::int64_t begin, std::int64_t end,
              const States<T>& states, T* out, const PanelWorkspace<T>& workspace) {
    multiply_block<false>(matrix, begin, end, states, out, workspace);
}

template <class T>
void add_transposed_product(const Matrix<T>& matrix, std::int64_t begin, std::int64_t end,
                            const States<T>& states, T* out, const PanelWorkspace<T>& workspace) {
    multiply_block<true>(matrix, begin, end, states, out, workspace);
}

std::int64_t packed_outer_length(std::int64_t n, std::int64_t n_samples) {
    return round_up(n, kProductRows) * round_up(n_samples, kSlice);
}

template <class T>
void pack_outer_state(const T* z, std::int64_t n, std::int64_t begin, std::int64_t end,
                      std::int64_t sample, T* packed) {
    pack_outer(z, n, begin, end, sample, kTileRows<T>, packed);
}

template <class T>
void pack_outer_source(const T* s, std::int64_t n, std::int64_t begin, std::int64_t end,
                       std::int64_t sample, T* packed) {
    pack_outer(s, n, begin, end, sample, kTileColumns, packed);
}

// Rows of W in C order are columns of its transpose, which is z s^T.
template <class T>
void outer_product(T* w_bar, std::int64_t n, std::int64_t begin, std::int64_t end, const T* sources,
                   const T* states, std::int64_t n_samples, bool adds) {
    for_each_slice(n_samples, [&](std::int64_t k, std::int64_t depth) {
        multiply_slice(states + k * round_up(n, kTileRows<T>),
                       sources + k * round_up(n, kTileColumns) + begin * kSlice,
                       kTileRows<T> * kSlice, kTileColumns * kSlice, depth, w_bar + begin * n, n, n,
                       end - begin, adds || k > 0);
    });
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template class PanelWorkspace<T>;                                                              \
    template void pack_rows<T>(const T*, std::int64_t, std::int64_t, std::int64_t, T*);            \
    template void pack_columns<T>(const T*, std::int64_t, std::int64_t, std::int64_t, T*);         \
    template void pack_states<T>(const T*, std::int64_t, std::int64_t, std::int64_t, T*);          \
    template void multiply<T>(const Matrix<T>&, std::int64_t, std::int64_t, const States<T>&, T*,  \
                              const PanelWorkspace<T>&);                                           \
    template void add_transposed_product<T>(const Matrix<T>&, std::int64_t, std::int64_t,          \
                                            const States<T>&, T*, const PanelWorkspace<T>&);       \
    template void pack_outer_state<T>(const T*, std::int64_t, std::int64_t, std::int64_t,          \
                                      std::int64_t, T*);                                           \
    template void pack_outer_source<T>(const T*, std::int64_t, std::int64_t, std::int64_t,         \
                                       std::int64_t, T*);                                          \
    template void outer_product<T>(T*, std::int64_t, std::int64_t, std::int64_t, const T*,         \
                                   const T*, std::int64_t, bool);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
