// Symmetric positive definite systems of many small blocks, one in every cell, with a border of
// unknowns that all of them share:
//
//     C_i v_i + B_i^T s = g_i,   sum_i B_i v_i + A s = h
//
// The blocks are eliminated first, S = A - sum B_i C_i^-1 B_i^T, all by L D L^T without pivoting
// (Golub and Van Loan, Matrix Computations, 4.1.2). Cells are cut into tasks by shape and summed in
// order: the same bits for any number of threads. A pivot that is not positive stands for an
// unknown that nothing depends on: its solution is 0.
#pragma once

#include <cstdint>

#include "relaxon/base/parallel.hpp"

namespace relaxon {

// Most unknowns of a cell and of the border.
constexpr int kMostBlockUnknowns = 12;

// Fields of cells one behind the other. Lower triangles hold entry (a, b), b <= a, at
// a (a + 1) / 2 + b.
struct BorderedBlocks {
    int n_local = 0, n_shared = 0;
    std::int64_t n_cells = 0;
    const double* blocks = nullptr;                // [triangle][cell]
    const double* coupling = nullptr;              // [shared n_local + local][cell]
    const double* border = nullptr;                // [triangle]
    double local_ridge = 0.0, shared_ridge = 0.0;  // added to the diagonals
};

// The right-hand sides, [local][cell] and [shared], become the solutions.
void solve(const BorderedBlocks& system, double* local, double* shared, Team& team);

// The product of the system with (local, shared).
void apply(const BorderedBlocks& system, const double* local, const double* shared,
           double* local_out, double* shared_out, Team& team);

}  // namespace relaxon
