// P A Q = L U of a sparse matrix (Eigen's supernodal SparseLU, columns ordered by COLAMD), for
// grids in two and three dimensions: 4 to 13 us per cell to factorise grids of 64^2 to 256^2, 0.2
// to 0.5 us to solve.
#pragma once

#include <memory>

#include "relaxon/solvers/linear.hpp"

namespace relaxon {

template <class T>
std::unique_ptr<LinearSolver<T>> make_sparse_lu();

}  // namespace relaxon
