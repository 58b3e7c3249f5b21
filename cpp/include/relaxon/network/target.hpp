// What outputs are compared with.
#pragma once

#include <cstdint>

#include "relaxon/pointwise/loss.hpp"

namespace relaxon {

template <class T>
class StateLoss;

// 1/batch sum_n sum_k sum_i w_i d(z_i - y_i) over existing cells, at the layers of the request;
// with a readout, of its outputs in place of the cells. y: (batch, n_at, output_size); weights:
// null, (output_size) or as y. Cross entropy has one label and one weight for all outputs together.
template <class T>
struct Target {
    const T* y = nullptr;
    const T* weights = nullptr;
    bool weights_are_shared = true;
    Loss loss;
    const std::int64_t* labels = nullptr;  // cross entropy, in place of y
    // In place of all of these: a loss that sees whole states.
    StateLoss<T>* state_loss = nullptr;
};

}  // namespace relaxon
