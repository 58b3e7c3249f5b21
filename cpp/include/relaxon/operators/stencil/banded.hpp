// A free one-dimensional stencil: the weights of the offsets -radius..radius themselves.
#pragma once

#include "relaxon/operators/stencil/weights.hpp"

namespace relaxon {

// Parameter "weights", 2 radius + 1 components.
std::shared_ptr<const Operator> banded(int radius, bool is_local, bool is_layered);

template <class T>
std::unique_ptr<StencilOperator<T>> make_banded(int radius);

}  // namespace relaxon
