// Squared distance of one state from its target and the cotangent that it starts.
#pragma once

#include <cstdint>

#include "relaxon/layout.hpp"
#include "relaxon/sum.hpp"

namespace relaxon {

// One target of one sample: y and weights (null: ones) in C order; cells outside `mask` (null: all
// exist) or of weight 0 are not read from y.
template <class T>
struct StateTarget {
    const T* y;
    const T* weights;
    const std::uint8_t* mask;
};

// sum_i w_i (z_i - y_i)^2 over the rows; lambda_i += 2 scale w_i (z_i - y_i) where lambda is given.
// z and lambda are padded fields, or one lane of them. flops 5, bytes 5 sizeof(T) per cell.
template <class T>
OrderedSum squared_distance(const Layout& layout, const StateTarget<T>& target, const T* z,
                            double scale, T* lambda, Rows rows);

// The same for a state of n cells without ghosts.
template <class T>
OrderedSum squared_distance(const StateTarget<T>& target, const T* z, double scale, T* lambda,
                            std::int64_t n);

}  // namespace relaxon
