// P A = L U inside a band, for matrices whose entries lie near the diagonal, also round a circle:
// there cells i and n - 1 - i are neighbours in the order of elimination, which makes a band of
// half-width 2 r of a circle's r and eliminates from both ends. Rows are exchanged unless every
// diagonal entry outweighs its row. With half-width w n (2 w + 1) w multiply-adds to factorise,
// n (3 w + 1) to solve; n (3 w + 1) numbers.
#pragma once

#include <memory>

#include "relaxon/solvers/linear.hpp"

namespace relaxon {

// Half-width of the narrower of both orders; n - 1 where the pattern is full.
std::int64_t band_width(const Pattern& pattern);

template <class T>
std::unique_ptr<LinearSolver<T>> make_banded_lu();

}  // namespace relaxon
