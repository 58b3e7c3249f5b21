#include "relaxon/solvers/bordered_blocks.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "relaxon/base/error.hpp"
#include "relaxon/base/sum.hpp"

namespace relaxon {

namespace {

// Cells of a block that are factorised together, and of a task.
constexpr int kLanes = 16;
constexpr std::int64_t kTaskCells = 1024;
constexpr int kMost = kMostBlockUnknowns;

constexpr int triangle(int a, int b) { return a * (a + 1) / 2 + b; }

std::int64_t count_tasks(std::int64_t n_cells) { return (n_cells + kTaskCells - 1) / kTaskCells; }

// L D L^T of matrices side by side, `Lanes` of them.
template <int Lanes>
struct Factors {
    std::array<std::array<double, Lanes>, kMost*(kMost + 1) / 2> entries;

    double* at(int a, int b) { return entries[static_cast<std::size_t>(triangle(a, b))].data(); }
    const double* at(int a, int b) const {
        return entries[static_cast<std::size_t>(triangle(a, b))].data();
    }

    // In place; the diagonal then holds 1 / D.
    void factorise(int n) {
        double scaled[kMost][Lanes];
        for (int j = 0; j < n; ++j) {
            for (int k = 0; k < j; ++k) {
                for (int i = 0; i < Lanes; ++i) {
                    const double inverse = at(k, k)[i];
                    scaled[k][i] = inverse > 0.0 ? at(j, k)[i] / inverse : 0.0;
                    at(j, j)[i] -= at(j, k)[i] * scaled[k][i];
                }
            }
            double* const pivot = at(j, j);
            for (int i = 0; i < Lanes; ++i) pivot[i] = pivot[i] > 0.0 ? 1.0 / pivot[i] : 0.0;
            for (int row = j + 1; row < n; ++row) {
                double* const entry = at(row, j);
                for (int k = 0; k < j; ++k) {
                    for (int i = 0; i < Lanes; ++i) entry[i] -= at(row, k)[i] * scaled[k][i];
                }
                for (int i = 0; i < Lanes; ++i) entry[i] *= pivot[i];
            }
        }
    }

    void solve(int n, double (*v)[Lanes]) const {
        for (int row = 0; row < n; ++row) {
            for (int k = 0; k < row; ++k) {
                for (int i = 0; i < Lanes; ++i) v[row][i] -= at(row, k)[i] * v[k][i];
            }
        }
        for (int row = n - 1; row >= 0; --row) {
            for (int i = 0; i < Lanes; ++i) v[row][i] *= at(row, row)[i];
            for (int k = row + 1; k < n; ++k) {
                for (int i = 0; i < Lanes; ++i) v[row][i] -= at(k, row)[i] * v[k][i];
            }
        }
    }
};

// f(first, n, factors of the blocks of these cells), n <= kLanes.
template <class F>
void for_each_block(const BorderedBlocks& system, std::int64_t begin, std::int64_t end,
                    const F& f) {
    Factors<kLanes> factors;
    for (std::int64_t first = begin; first < end; first += kLanes) {
        const auto n = static_cast<int>(std::min<std::int64_t>(kLanes, end - first));
        for (int a = 0; a < system.n_local; ++a) {
            for (int b = 0; b <= a; ++b) {
                const double* from = system.blocks + triangle(a, b) * system.n_cells + first;
                double* to = factors.at(a, b);
                for (int i = 0; i < kLanes; ++i) to[i] = i < n ? from[i] : 0.0;
                if (a != b) continue;
                for (int i = 0; i < kLanes; ++i) to[i] += system.local_ridge;
            }
        }
        factors.factorise(system.n_local);
        f(first, n, factors);
    }
}

// Rows of fields to and from what is solved side by side; what is left over is 0.
void gather(const double* fields, std::int64_t n_cells, std::int64_t first, int n, int n_rows,
            double (*to)[kLanes]) {
    for (int row = 0; row < n_rows; ++row) {
        const double* from = fields + row * n_cells + first;
        for (int i = 0; i < kLanes; ++i) to[row][i] = i < n ? from[i] : 0.0;
    }
}

void scatter(const double (*from)[kLanes], std::int64_t n_cells, std::int64_t first, int n,
             int n_rows, double* fields) {
    for (int row = 0; row < n_rows; ++row) {
        std::copy(from[row], from[row] + n, fields + row * n_cells + first);
    }
}

// What the cells [begin, end) take from the border and its right-hand side: sums[triangle] and then
// sums[shared].
void eliminate(const BorderedBlocks& system, const double* local, std::int64_t begin,
               std::int64_t end, OrderedSum* sums) {
    const int n_shared = system.n_shared, n_local = system.n_local;
    double solved[kMost][kLanes], border[kMost][kLanes], other[kMost][kLanes];
    const auto add_product = [&](const double(*a)[kLanes], const double(*b)[kLanes],
                                 OrderedSum& sum) {
        double total = 0.0;
        for (int row = 0; row < n_local; ++row) {
            for (int i = 0; i < kLanes; ++i) total += a[row][i] * b[row][i];
        }
        sum.add(total);
    };
    for_each_block(system, begin, end, [&](std::int64_t first, int n, const auto& factors) {
        const auto gather_border = [&](int shared, double(*to)[kLanes]) {
            gather(system.coupling + shared * n_local * system.n_cells, system.n_cells, first, n,
                   n_local, to);
        };
        for (int a = 0; a < n_shared; ++a) {
            gather_border(a, solved);
            factors.solve(n_local, solved);
            for (int b = 0; b <= a; ++b) {
                gather_border(b, border);
                add_product(solved, border, sums[triangle(a, b)]);
            }
            gather(local, system.n_cells, first, n, n_local, other);
            add_product(solved, other, sums[triangle(n_shared, 0) + a]);
        }
    });
}

}  // namespace

void solve(const BorderedBlocks& system, double* local, double* shared, Team& team) {
    const int n_local = system.n_local, n_shared = system.n_shared;
    require(n_local <= kMost && n_shared <= kMost, "unknowns", "at most 12 of a cell",
            std::max(n_local, n_shared));
    const std::int64_t n_tasks = count_tasks(system.n_cells);
    const auto begin = [&](std::int64_t task) { return task * kTaskCells; };
    const auto end = [&](std::int64_t task) {
        return std::min((task + 1) * kTaskCells, system.n_cells);
    };
    if (n_shared > 0) {
        const int n_sums = triangle(n_shared, 0) + n_shared;
        std::vector<OrderedSum> sums(static_cast<std::size_t>(n_local > 0 ? n_tasks * n_sums : 0));
        if (n_local > 0) {
            team.parallel_for(n_tasks, [&](std::int64_t task, int) {
                eliminate(system, local, begin(task), end(task), sums.data() + task * n_sums);
            });
        }
        const auto taken = [&](int k) {
            OrderedSum total;
            for (std::size_t i = static_cast<std::size_t>(k); i < sums.size();
                 i += static_cast<std::size_t>(n_sums)) {
                total.add(sums[i]);
            }
            return total.value();
        };
        Factors<1> factors;
        double v[kMost][1];
        for (int a = 0; a < n_shared; ++a) {
            for (int b = 0; b <= a; ++b) {
                *factors.at(a, b) = system.border[triangle(a, b)] - taken(triangle(a, b)) +
                                    (a == b ? system.shared_ridge : 0.0);
            }
            v[a][0] = shared[a] - taken(triangle(n_shared, 0) + a);
        }
        factors.factorise(n_shared);
        factors.solve(n_shared, v);
        for (int a = 0; a < n_shared; ++a) shared[a] = v[a][0];
    }
    if (n_local == 0) return;
    team.parallel_for(n_tasks, [&](std::int64_t task, int) {
        for_each_block(system, begin(task), end(task),
                       [&](std::int64_t first, int n, const auto& factors) {
                           double v[kMost][kLanes], border[kMost][kLanes];
                           gather(local, system.n_cells, first, n, n_local, v);
                           for (int a = 0; a < n_shared; ++a) {
                               gather(system.coupling + a * n_local * system.n_cells,
                                      system.n_cells, first, n, n_local, border);
                               for (int row = 0; row < n_local; ++row) {
                                   for (int i = 0; i < kLanes; ++i) {
                                       v[row][i] -= border[row][i] * shared[a];
                                   }
                               }
                           }
                           factors.solve(n_local, v);
                           scatter(v, system.n_cells, first, n, n_local, local);
                       });
    });
}

void apply(const BorderedBlocks& system, const double* local, const double* shared,
           double* local_out, double* shared_out, Team& team) {
    const std::int64_t n_cells = system.n_cells;
    const int n_local = system.n_local, n_shared = system.n_shared;
    const std::int64_t n_tasks = n_local > 0 ? count_tasks(n_cells) : 0;
    std::vector<OrderedSum> sums(static_cast<std::size_t>(n_tasks * n_shared));
    team.parallel_for(n_tasks, [&](std::int64_t task, int) {
        const std::int64_t begin = task * kTaskCells, end = std::min(begin + kTaskCells, n_cells);
        for (int a = 0; a < n_local; ++a) {
            double* const out = local_out + a * n_cells;
            const auto add = [&](const double* entries, const double* v) {
                for (std::int64_t i = begin; i < end; ++i) out[i] += entries[i] * v[i];
            };
            for (std::int64_t i = begin; i < end; ++i) {
                out[i] = system.local_ridge * local[a * n_cells + i];
            }
            for (int b = 0; b < n_local; ++b) {
                const int entry = triangle(std::max(a, b), std::min(a, b));
                add(system.blocks + entry * n_cells, local + b * n_cells);
            }
            for (int b = 0; b < n_shared; ++b) {
                const double* entries = system.coupling + (b * n_local + a) * n_cells;
                const double* v = local + a * n_cells;
                double sum = 0.0;
                for (std::int64_t i = begin; i < end; ++i) {
                    out[i] += entries[i] * shared[b];
                    sum += entries[i] * v[i];
                }
                sums[static_cast<std::size_t>(task * n_shared + b)].add(sum);
            }
        }
    });
    for (int a = 0; a < n_shared; ++a) {
        OrderedSum sum;
        for (int b = 0; b < n_shared; ++b) {
            sum.add(system.border[triangle(std::max(a, b), std::min(a, b))] * shared[b]);
        }
        sum.add(system.shared_ridge * shared[a]);
        for (std::int64_t task = 0; task < n_tasks; ++task) {
            sum.add(sums[static_cast<std::size_t>(task * n_shared + a)]);
        }
        shared_out[a] = sum.value();
    }
}

}  // namespace relaxon
