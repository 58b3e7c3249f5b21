// Advection-diffusion-reaction: W = I + A,
//
//     A z = R z - sum_a U_a d_a z + sum_{a,b} D_ab d_a d_b z
//
// in lattice values (spacing 1) with central differences of second order. Arms with at most two
// nonzero entries, 3, 9 or 19 of them in 1, 2 or 3 dimensions:
//
//     centre           1 + R - 2 sum_a d_a
//     +e_a, -e_a       d_a - U_a / 2,  d_a + U_a / 2
//     s e_a + t e_b    s t D_ab / 2      (corners / 4, and the entry counts twice)
//
// d_a = D_aa + |U_a| / 2 (upwind) or D_aa + omega U_a^2 / 2 (Lax-Wendroff).
// Succi, MEMOCS 13 (2025) 275-286, sec. 7; Lax and Wendroff, CPAM 13 (1960) 217-237.
#pragma once

#include "relaxon/operators/stencil/weights.hpp"

namespace relaxon {

enum class AdrScheme { central, upwind, lax_wendroff };

// Parameters "R", "U" (ndim components), "D" (upper triangle in row order).
std::shared_ptr<const Operator> adr(AdrScheme scheme, bool is_local, bool is_layered);

template <class T>
std::unique_ptr<StencilOperator<T>> make_adr(int ndim, AdrScheme scheme);

}  // namespace relaxon
