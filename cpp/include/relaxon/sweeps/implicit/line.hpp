// What implicit layers keep where W is one of three points on a line: its arrays, solvers by
// stretches of cells, and sums of gradients.
#pragma once

#include <algorithm>
#include <vector>

#include "relaxon/sweeps/implicit/line_newton.hpp"

namespace relaxon {

// Of some samples, in the order of cells: sums of s z^T where W has entries, of s, and of
// m (f(Z) - z).
struct LineSums {
    ThreePoint<double> matrix;
    double* shift = nullptr;   // null: not wanted
    double* change = nullptr;  // null: not wanted

    void clear() const { std::fill(matrix.lower, matrix.lower + length, 0.0); }
    std::int64_t length = 0;  // of all, one behind the other
};

template <class T>
struct ImplicitLine {
    struct Work {
        typename LineNewton<T>::Work newton;
        typename LineLu<T>::Work lu;  // f = identity
        T* s;                         // of reverse sweeps
    };

    ImplicitLine(std::int64_t n, std::int64_t batch, int n_threads)
        : newton(n), lu(n), n_chunks(std::min(batch, kMaxChunks)),
          shares_lines(newton.cut().n_stretches() >= 8 * n_threads && batch < 4 * n_threads),
          n_works(shares_lines ? 1 : n_threads) {
        const std::int64_t most = kChunkBytes / (5 * n * static_cast<std::int64_t>(sizeof(double)));
        n_chunks = std::max<std::int64_t>(1, std::min(n_chunks, most));
    }

    struct Needs {
        bool is_linear, is_mixed, has_drive, has_gradient;
        bool wants_shift, wants_omega;  // of the gradient
    };

    void carve(Arena& arena, const Needs& needs) {
        const std::int64_t n = newton.cut().n();
        matrix.carve(arena, n);
        shift = arena.take<T>(n);
        rate = arena.take<T>(n);
        if (needs.is_mixed) explicit_rate = arena.take<T>(n);
        if (needs.is_linear) {
            lu.carve(arena);
        } else {
            newton.carve(arena);
        }
        works.clear();
        for (int i = 0; i < n_works; ++i) {
            Work work{};
            if (needs.is_linear) {
                work.lu = lu.carve_work(arena);
            } else {
                work.newton = newton.carve_work(arena, needs.has_drive);
            }
            if (needs.has_gradient) work.s = arena.take<T>(n);
            works.push_back(work);
        }
        sums.clear();
        for (std::int64_t i = 0; needs.has_gradient && i < n_chunks; ++i) {
            LineSums sum;
            sum.length = (3 + (needs.wants_shift ? 1 : 0) + (needs.wants_omega ? 1 : 0)) * n;
            double* all = arena.take<double>(sum.length);
            if (!arena.is_measuring()) {
                sum.matrix = {n, all, all + n, all + 2 * n};
                if (needs.wants_shift) sum.shift = all + 3 * n;
                if (needs.wants_omega) sum.change = all + sum.length - n;
            }
            sums.push_back(sum);
        }
    }

    // Samples, whose sums are added in their order, of one of n_chunks sums.
    std::int64_t chunk_begin(std::int64_t chunk, std::int64_t batch) const {
        return batch * chunk / n_chunks;
    }

    LineNewton<T> newton;
    LineLu<T> lu;
    bool lu_serves = false;  // f = identity: the layer needs no row exchanges
    std::int64_t n_chunks;
    bool shares_lines;  // workers share the cells of a sample, not the samples
    int n_works;
    ThreePoint<T> matrix;
    T* shift = nullptr;          // that of W less the bias
    bool has_shift = false;      // anywhere
    T* rate = nullptr;           // omega theta, 0 where no cell is
    bool has_one_rate = false;   // everywhere
    T* explicit_rate = nullptr;  // omega (1 - theta)
    std::vector<Work> works;
    std::vector<LineSums> sums;

private:
    static constexpr std::int64_t kMaxChunks = 16;
    static constexpr std::int64_t kChunkBytes = std::int64_t{64} << 20;  // of all sums
};

// f(begin, end) for the cells of a line, on the team's threads where it is not null.
template <class F>
void for_each_run(std::int64_t n, Team* team, const F& f) {
    constexpr std::int64_t kCells = 4096;
    if (!team) return f(std::int64_t{0}, n);
    team->parallel_for((n + kCells - 1) / kCells,
                       [&](std::int64_t i, int) { f(i * kCells, std::min((i + 1) * kCells, n)); });
}

}  // namespace relaxon
