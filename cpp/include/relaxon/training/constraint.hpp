// What keeps explicit layers of advection-diffusion-reaction stable or monotone in training: after
// a step, the coefficients R, u_a, d_a of every cell and layer are moved to feasible ones.
//
//   monotone   mixed D = 0, d_a >= 0, R >= -1 / w, |u_a| <= 2 e_a, w (2 sum e_a - R) <= 1:
//              u is cut, then d and u shrink by one factor
//   stable     d_a >= 0, 2 w sum e_a <= 1, w sum u_a^2 / (2 e_a) <= 1: d shrinks (with a scheme
//              that adds diffusion d and u), then u
//
// e_a is d_a with the diffusion of the scheme. w is the largest omega where the coefficients are
// used, times `bound_factor`: 1, or in implicit layers 1 - theta (monotone), 1 - 2 theta (stable).
// These maps are retractions, not projections: what they give is feasible to the last bit of the
// inequalities as they are computed here, and feasible points stay as they are.
// Hindmarsh, Gresho, Griffiths, Int. J. Numer. Meth. Fluids 4 (1984) 853-897.
#pragma once

#include <cstdint>
#include <vector>

#include "relaxon/operators/stencil/adr.hpp"

namespace relaxon {

enum class ConstraintKind { monotone, stable };

struct Constraint {
    ConstraintKind kind = ConstraintKind::stable;
    AdrScheme scheme = AdrScheme::central;
    int ndim = 1;
    std::int64_t n_sets = 1, n_cells = 1;  // of coefficients; n_cells is 1 where they are shared
    std::int64_t reaction = 0, velocity = 0, diffusion = 0;  // where the arrays begin
    // Least and largest omega of the layers and cells that use them, n_sets x n_cells; where the
    // largest is negative no cell is there and nothing is moved.
    std::vector<double> low, high;
    double bound_factor = 1.0;
    double scheme_factor = 1.0;  // of the omega in the diffusion of Lax-Wendroff, 1 - 2 theta
};

// NaN stays what it is.
template <class T>
void retract(const Constraint& constraint, T* parameters);

}  // namespace relaxon
