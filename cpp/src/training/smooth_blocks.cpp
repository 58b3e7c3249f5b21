#include "relaxon/training/smooth_blocks.hpp"

#include <algorithm>
#include <utility>

#include "relaxon/base/sum.hpp"
#include "relaxon/training/penalty.hpp"

namespace relaxon {

namespace {

constexpr int kMostIterations = 1000;
constexpr double kTolerance = 1e-10;  // of the residual in the norm of the preconditioner

double inner_product(const double* a, const double* b, std::int64_t n) {
    OrderedSum sum;
    for (std::int64_t i = 0; i < n; ++i) sum.add(a[i] * b[i]);
    return sum.value();
}

}  // namespace

void solve(const SmoothBlocks& system, double* local, double* shared, double* scratch, Team& team) {
    const BorderedBlocks& blocks = system.blocks;
    const std::int64_t n = system.size(), n_fields = blocks.n_local * blocks.n_cells;
    double *const x = scratch, *const r = x + n, *const h = r + n, *const d = h + n,
                  *const q = d + n;
    const auto precondition = [&] {
        std::copy(r, r + n, h);
        solve(blocks, h, h + n_fields, team);
    };
    const auto apply_all = [&](double* from, double* to) {
        apply(blocks, from, from + n_fields, to, to + n_fields, team);
        for (int a = 0; a < blocks.n_local; ++a) {
            const double strength = system.strengths[static_cast<std::size_t>(a)];
            if (strength == 0.0) continue;
            const double* v = from + a * blocks.n_cells;
            double* out = to + a * blocks.n_cells;
            for (std::int64_t cell = 0; cell < blocks.n_cells; ++cell) {
                out[cell] -= strength * system.diagonal[cell] * v[cell];
            }
            smoothness_penalty(*system.grid, strength, v, 1, out);
        }
    };
    std::fill(x, x + n, 0.0);
    std::copy(local, local + n_fields, r);
    std::copy(shared, shared + blocks.n_shared, r + n_fields);
    precondition();
    std::copy(h, h + n, d);
    double size = inner_product(r, h, n);
    const double goal = kTolerance * kTolerance * size;
    for (int i = 0; i < kMostIterations && size > goal; ++i) {
        apply_all(d, q);
        const double curvature = inner_product(d, q, n);
        if (!(curvature > 0.0)) break;
        const double step = size / curvature;
        for (std::int64_t k = 0; k < n; ++k) {
            x[k] += step * d[k];
            r[k] -= step * q[k];
        }
        precondition();
        const double before = std::exchange(size, inner_product(r, h, n));
        for (std::int64_t k = 0; k < n; ++k) d[k] = h[k] + size / before * d[k];
        team.poll(true);
    }
    std::copy(x, x + n_fields, local);
    std::copy(x + n_fields, x + n, shared);
}

}  // namespace relaxon
