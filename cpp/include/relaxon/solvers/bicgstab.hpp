// BiCGSTAB with the diagonal as preconditioner, for sparse matrices whose factors would be large:
// planes and volumes. H. A. van der Vorst, SIAM J. Sci. Stat. Comput. 13 (1992) 631-644. Where 300
// iterations do not do, the matrix is factorised after all. An iteration takes two products with
// the matrix, or its transpose, and eight vectors.
//
// One thread at a time; Eigen's iterations take their vectors themselves.
#pragma once

#include <memory>

#include "relaxon/solvers/linear.hpp"

namespace relaxon {

template <class T>
std::unique_ptr<LinearSolver<T>> make_bicgstab();

}  // namespace relaxon
