// Lattice moments of a one-dimensional stencil and back.
#pragma once

#include <cstdint>
#include <vector>

namespace relaxon {

// The inverse of the Vandermonde matrix V_kj = j^k (k = 0..2r, j = -r..r): entry [j + r][k] is the
// coefficient of x^k in the Lagrange polynomial of node j,
//
//     l_j(x) = prod_{i != j} (x - i) / (j - i),
//
// built in integers and divided once, so every entry is correctly rounded. r from 0 to 4.
std::vector<std::vector<double>> inverse_vandermonde(int radius);

}  // namespace relaxon
