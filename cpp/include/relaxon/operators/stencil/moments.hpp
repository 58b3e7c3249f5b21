// A one-dimensional stencil trained in the coordinates of its lattice moments,
// W_k = sum_j j^k w_j, k = 0..order (Succi 2025, eq. 17); radius ceil(order / 2). For odd order the
// top moment of the full stencil is zero.
#pragma once

#include "relaxon/operators/stencil/weights.hpp"

namespace relaxon {

// Parameter "moments", order + 1 components; order from 1 to 8.
std::shared_ptr<const Operator> moments(int order, bool is_local, bool is_layered);

template <class T>
std::unique_ptr<StencilOperator<T>> make_moments(int order);

}  // namespace relaxon
