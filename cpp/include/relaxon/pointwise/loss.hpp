// Distance of one state from its target and the cotangent that it starts. With the residual
// r = z - y, per cell:
//
//     squared    r^2
//     absolute   sqrt(r^2 + epsilon^2) - epsilon, scale = epsilon
//     huber      r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2), scale = delta
//                (Huber, Ann. Math. Statist. 35 (1964) 73-101)
//
// and of a vector of n outputs from its class, for whole vectors only:
//
//     cross entropy   log sum_k exp(z_k) - z_label
#pragma once

#include <cstdint>

#include "relaxon/base/sum.hpp"
#include "relaxon/domain/layout.hpp"

namespace relaxon {

enum class LossKind { squared, absolute, huber, cross_entropy };

struct Loss {
    LossKind kind = LossKind::squared;
    double scale = 1.0;
};

// One target of one sample: y and weights (null: ones) in C order; cells outside `mask` (null: all
// exist) or of weight 0 are not read from y.
template <class T>
struct StateTarget {
    const T* y;
    const T* weights;
    const std::uint8_t* mask;
    Loss loss;
};

// sum_i w_i d(z_i - y_i) over the rows; lambda_i += scale w_i d'(z_i - y_i) where lambda is given.
// z and lambda are padded fields, or one lane of them. flops 5 (squared), bytes 5 sizeof(T) per
// cell.
template <class T>
OrderedSum distance(const Layout& layout, const StateTarget<T>& target, const T* z, double scale,
                    T* lambda, Rows rows);

// The same for a state of n cells without ghosts.
template <class T>
OrderedSum distance(const StateTarget<T>& target, const T* z, double scale, T* lambda,
                    std::int64_t n);

// Cross entropy of softmax(z) over n classes; lambda_k = scale (softmax(z)_k - [k = label]) where
// lambda is given. Sums are kept in double. flops 4 and one exp per class.
template <class T>
double cross_entropy(const T* z, std::int64_t label, double scale, T* lambda, std::int64_t n);

}  // namespace relaxon
