// A free matrix: every cell sees every other, whatever the boundary.
#pragma once

#include "relaxon/operators/operator.hpp"

namespace relaxon {

// Parameter "W" (cells, cells), rows and columns in C order; those of masked cells are not read.
std::shared_ptr<const Operator> dense(bool is_layered);

}  // namespace relaxon
