#include "relaxon/operators/dense.hpp"

#include <Eigen/Core>
#include <algorithm>

namespace relaxon {

namespace {

// Eigen's panel sizes: rows (a multiple of every register tile) and depth of the left panel, which
// stays in the second-level cache, and columns of the right one.
constexpr Eigen::Index kPanelRows = 144, kPanelDepth = 256, kPanelColumns = 512;

// Eigen's product kernel with our block sizes and our memory.
template <class T>
struct FixedBlocking : Eigen::internal::level3_blocking<T, T> {
    FixedBlocking(const PanelWorkspace<T>& workspace, Eigen::Index rows, Eigen::Index columns,
                  Eigen::Index depth) {
        this->m_blockA = workspace.left();
        this->m_blockB = workspace.right();
        this->m_mc = std::min(kPanelRows, rows);
        this->m_nc = std::min(kPanelColumns, columns);
        this->m_kc = std::min(kPanelDepth, depth);
    }
};

constexpr int kRowMajor = Eigen::RowMajor, kColumnMajor = Eigen::ColMajor;

// c += a b; a: (rows, depth), b: (depth, columns), c column-major.
template <class T, int LeftOrder, int RightOrder>
void add_product(const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* c,
                 std::int64_t c_stride, std::int64_t rows, std::int64_t columns, std::int64_t depth,
                 const PanelWorkspace<T>& workspace) {
    using Product =
        Eigen::internal::general_matrix_matrix_product<Eigen::Index, T, LeftOrder, false, T,
                                                       RightOrder, false, kColumnMajor, 1>;
    FixedBlocking<T> blocking(workspace, rows, columns, depth);
    Product::run(rows, columns, depth, a, a_stride, b, b_stride, c, 1, c_stride, T(1), blocking);
}

template <class T>
using ConstVector = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>>;
template <class T>
using Vector = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, 1>>;
template <class T, int Order>
using ConstMatrix = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                               Eigen::OuterStride<>>;

}  // namespace

template <class T>
PanelWorkspace<T>::PanelWorkspace(Arena& arena)
    : left_(arena.take<T>(kPanelRows * kPanelDepth)),
      right_(arena.take<T>(kPanelDepth * kPanelColumns)) {}

template <class T>
void multiply(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end, const T* z, T* out,
              std::int64_t n_samples, const PanelWorkspace<T>& workspace) {
    const std::int64_t rows = end - begin;
    const T* block = w + begin * n;
    if (n_samples == 1) {
        Vector<T>(out + begin, rows).noalias() =
            ConstMatrix<T, kRowMajor>(block, rows, n, Eigen::OuterStride<>(n)) *
            ConstVector<T>(z, n);
        return;
    }
    for (std::int64_t sample = 0; sample < n_samples; ++sample) {
        std::fill(out + sample * n + begin, out + sample * n + end, T(0));
    }
    add_product<T, kRowMajor, kColumnMajor>(block, n, z, n, out + begin, n, rows, n_samples, n,
                                            workspace);
}

template <class T>
void add_transposed_product(const T* w, std::int64_t n, std::int64_t begin, std::int64_t end,
                            const T* s, T* out, std::int64_t n_samples,
                            const PanelWorkspace<T>& workspace) {
    const std::int64_t rows = end - begin;
    if (n_samples == 1) {
        Vector<T>(out + begin, rows).noalias() +=
            ConstMatrix<T, kColumnMajor>(w + begin, rows, n, Eigen::OuterStride<>(n)) *
            ConstVector<T>(s, n);
        return;
    }
    add_product<T, kColumnMajor, kColumnMajor>(w + begin, n, s, n, out + begin, n, rows, n_samples,
                                               n, workspace);
}

template <class T>
void add_outer_product(T* w_bar, std::int64_t n, std::int64_t begin, std::int64_t end, const T* s,
                       const T* z, std::int64_t n_samples, const PanelWorkspace<T>& workspace) {
    // Rows of W in C order are columns of its transpose, which is z s^T.
    add_product<T, kColumnMajor, kRowMajor>(z, n, s + begin, n, w_bar + begin * n, n, n,
                                            end - begin, n_samples, workspace);
}

#define RELAXON_INSTANTIATE(T)                                                                     \
    template class PanelWorkspace<T>;                                                              \
    template void multiply<T>(const T*, std::int64_t, std::int64_t, std::int64_t, const T*, T*,    \
                              std::int64_t, const PanelWorkspace<T>&);                             \
    template void add_transposed_product<T>(const T*, std::int64_t, std::int64_t, std::int64_t,    \
                                            const T*, T*, std::int64_t, const PanelWorkspace<T>&); \
    template void add_outer_product<T>(T*, std::int64_t, std::int64_t, std::int64_t, const T*,     \
                                       const T*, std::int64_t, const PanelWorkspace<T>&);
RELAXON_INSTANTIATE(float)
RELAXON_INSTANTIATE(double)
#undef RELAXON_INSTANTIATE

}  // namespace relaxon
