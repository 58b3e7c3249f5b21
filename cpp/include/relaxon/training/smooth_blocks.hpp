// Bordered blocks whose cells are coupled by smoothness penalties: the Newton step of a layer with
// fields that are held smooth. Conjugate gradients with the blocks themselves, the diagonal of the
// penalties included, as preconditioner (Golub and Van Loan, Matrix Computations, 11.5). Inner
// products are summed in order.
#pragma once

#include <cstdint>
#include <vector>

#include "relaxon/domain/grid.hpp"
#include "relaxon/solvers/bordered_blocks.hpp"

namespace relaxon {

struct SmoothBlocks {
    BorderedBlocks blocks;  // the diagonals of the penalties included
    const Grid* grid = nullptr;
    std::vector<double> strengths;     // of every local unknown; 0: none
    const double* diagonal = nullptr;  // of a penalty of strength 1, [cell]

    // Of the unknowns and of the border.
    std::int64_t size() const { return blocks.n_local * blocks.n_cells + blocks.n_shared; }
};

// Numbers that `solve` needs as scratch.
inline std::int64_t scratch_size(const SmoothBlocks& system) { return 5 * system.size(); }

// The right-hand sides, [local][cell] and [shared], become the solutions.
void solve(const SmoothBlocks& system, double* local, double* shared, double* scratch, Team& team);

}  // namespace relaxon
