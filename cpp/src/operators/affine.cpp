#include "relaxon/operators/affine.hpp"

#include <algorithm>

#include "relaxon/base/simd.hpp"
#include "relaxon/base/sum.hpp"

namespace relaxon {

namespace {

constexpr std::int64_t kTile = 4;   // rows and columns of a tile of inner products
constexpr std::int64_t kPacks = 2;  // packs of a tile's columns where rows are combined

// products[j][i] = row_i . x_j for up to kTile rows and samples, all of length n. Tiles at the edge
// repeat their last operand, so that every product has the same code.
template <class T>
void inner_products(const T* rows, std::int64_t row_stride, std::int64_t n_rows,
                    Rectangle<const T> x, std::int64_t n_samples, std::int64_t n,
                    T (&products)[kTile][kTile]) {
    constexpr std::int64_t width = kPackWidth<T>;
    const T* left[kTile];
    const T* right[kTile];
    for (std::int64_t k = 0; k < kTile; ++k) {
        left[k] = rows + std::min(k, n_rows - 1) * row_stride;
        right[k] = x.sample(std::min(k, n_samples - 1));
    }
    Pack<T> sum[kTile][kTile] = {};
    for (std::int64_t k = 0; k < n; k += width) {
        Pack<T> a[kTile];
        for (std::int64_t i = 0; i < kTile; ++i) a[i] = load_up_to(left[i] + k, n - k);
        for (std::int64_t j = 0; j < kTile; ++j) {
            const Pack<T> b = load_up_to(right[j] + k, n - k);
            for (std::int64_t i = 0; i < kTile; ++i) sum[j][i] += a[i] * b;
        }
    }
    for (std::int64_t j = 0; j < kTile; ++j) {
        for (std::int64_t i = 0; i < kTile; ++i) products[j][i] = horizontal_sum(sum[j][i]);
    }
}

// out_j[0, n) = sum_k factor(j, k) row_k[0, n), j < n_out <= kTile, n <= kPacks packs.
template <class T, class Factor>
void combine_rows(const T* rows, std::int64_t row_stride, std::int64_t depth, std::int64_t n_out,
                  std::int64_t n, const Factor& factor, Rectangle<T> out) {
    constexpr std::int64_t width = kPackWidth<T>;
    Pack<T> sum[kTile][kPacks] = {};
    for (std::int64_t k = 0; k < depth; ++k) {
        const T* row = rows + k * row_stride;
        Pack<T> entries[kPacks];
        for (std::int64_t m = 0; m < kPacks; ++m) {
            entries[m] = m * width < n ? load_up_to(row + m * width, n - m * width) : Pack<T>{};
        }
        for (std::int64_t j = 0; j < kTile; ++j) {
            const Pack<T> weight = broadcast(factor(std::min(j, n_out - 1), k));
            for (std::int64_t m = 0; m < kPacks; ++m) sum[j][m] += entries[m] * weight;
        }
    }
    for (std::int64_t j = 0; j < n_out; ++j) {
        for (std::int64_t m = 0; m < kPacks && m * width < n; ++m) {
            store_up_to(out.sample(j) + m * width, sum[j][m], n - m * width);
        }
    }
}

}  // namespace

template <class T>
void apply(const AffineMap<T>& map, Rectangle<const T> x, std::int64_t n_samples,
           std::int64_t begin, std::int64_t end, Rectangle<T> out, bool adds) {
    T products[kTile][kTile];
    for (std::int64_t i = begin; i < end; i += kTile) {
        const std::int64_t n_rows = std::min(kTile, end - i);
        for (std::int64_t j = 0; j < n_samples; j += kTile) {
            const std::int64_t n_columns = std::min(kTile, n_samples - j);
            inner_products(map.matrix + i * map.n_in, map.n_in, n_rows,
                           Rectangle<const T>{x.sample(j), x.stride}, n_columns, map.n_in,
                           products);
            for (std::int64_t k = 0; k < n_columns; ++k) {
                for (std::int64_t m = 0; m < n_rows; ++m) {
                    T& entry = out.sample(j + k)[i + m];
                    const T start = adds ? entry : T(0);
                    entry = start + products[k][m] + (map.shift ? map.shift[i + m] : T(0));
                }
            }
        }
    }
}

template <class T>
void apply_transpose(const AffineMap<T>& map, Rectangle<const T> s, std::int64_t n_samples,
                     std::int64_t begin, std::int64_t end, Rectangle<T> out) {
    constexpr std::int64_t columns = kPacks * static_cast<std::int64_t>(kPackWidth<T>);
    for (std::int64_t i = begin; i < end; i += columns) {
        for (std::int64_t j = 0; j < n_samples; j += kTile) {
            const Rectangle<const T> sources{s.sample(j), s.stride};
            combine_rows(
                map.matrix + i, map.n_in, map.n_out, std::min(kTile, n_samples - j),
                std::min(columns, end - i),
                [&](std::int64_t sample, std::int64_t k) { return sources.sample(sample)[k]; },
                Rectangle<T>{out.sample(j) + i, out.stride});
        }
    }
}

template <class T>
void affine_gradient(std::int64_t n_in, Rectangle<const T> s, Rectangle<const T> x,
                     std::int64_t n_samples, std::int64_t begin, std::int64_t end, T* matrix_bar,
                     T* shift_bar) {
    constexpr std::int64_t columns = kPacks * static_cast<std::int64_t>(kPackWidth<T>);
    for (std::int64_t i = begin; i < end; i += kTile) {
        for (std::int64_t j = 0; j < n_in; j += columns) {
            combine_rows(
                x.first + j, x.stride, n_samples, std::min(kTile, end - i),
                std::min(columns, n_in - j),
                [&](std::int64_t row, std::int64_t k) { return s.sample(k)[i + row]; },
                Rectangle<T>{matrix_bar + i * n_in + j, n_in});
        }
    }
    for (std::int64_t i = begin; i < end; ++i) {
        OrderedSum sum;
        for (std::int64_t k = 0; k < n_samples; ++k) sum.add(static_cast<double>(s.sample(k)[i]));
        shift_bar[i] = static_cast<T>(sum.value());
    }
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template void apply<T>(const AffineMap<T>&, Rectangle<const T>, std::int64_t, std::int64_t,    \
                           std::int64_t, Rectangle<T>, bool);                                      \
    template void apply_transpose<T>(const AffineMap<T>&, Rectangle<const T>, std::int64_t,        \
                                     std::int64_t, std::int64_t, Rectangle<T>);                    \
    template void affine_gradient<T>(std::int64_t, Rectangle<const T>, Rectangle<const T>,         \
                                     std::int64_t, std::int64_t, std::int64_t, T*, T*);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
