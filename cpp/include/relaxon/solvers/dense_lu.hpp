// P A = L U with row exchanges, for matrices that are full or small. n^3 / 3 multiply-adds to
// factorise, n^2 to solve; n^2 numbers.
#pragma once

#include <memory>

#include "relaxon/solvers/linear.hpp"

namespace relaxon {

template <class T>
std::unique_ptr<LinearSolver<T>> make_dense_lu();

}  // namespace relaxon
