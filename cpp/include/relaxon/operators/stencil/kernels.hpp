// Stencils on the padded layout: (W z)_i = sum_k w_k(i) z_{i + arm_k}, the weights w_k one number
// each (homogeneous) or a padded field each (local).
//
// An arm that points into the mask is cut: it sees the centre cell (Neumann) or a constant
// (Dirichlet) instead of its target. Masked targets hold zero, so the plain sum leaves cut arms
// out, and each pass adds them afterwards from a list in fixed order.
//
// Blocks are ranges [flat, flat + n) of the padded layout, n <= kBlock. Reads may run one pair of
// packs past a block (fields carry that margin), writes to fields never do.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/base/sum.hpp"
#include "relaxon/operators/stencil/geometry.hpp"
#include "relaxon/pointwise/coefficient.hpp"

namespace relaxon {

// Cells per block: the scratch of a block stays in the first-level cache.
constexpr std::int64_t kBlock = 256;

// Fields of a bundle, at most: local weights, and the gradients of local weights, are loaded once
// for all of them. A field holds one sample, or one in each of its layout's lanes.
constexpr int kMaxBundle = 4;

// Entries from one field to the next in the scratch of a block of n: whole pairs of packs.
template <class T>
constexpr std::int64_t block_stride(std::int64_t n) {
    return round_up(n, 2 * static_cast<std::int64_t>(kPackWidth<T>));
}

// One weight per arm: w[k][0] if homogeneous, w[k][flat] if local.
template <class T>
struct StencilWeights {
    const T* const* w = nullptr;
    bool is_local = false;

    T at(int arm, std::int64_t flat) const { return w[arm][is_local ? flat : 0]; }
};

// Gradient of local weights and, where not null, of a local bias: a padded field each.
template <class T>
struct WeightFields {
    T* const* w = nullptr;
    T* bias = nullptr;
};

// pre_i = sum_k w_k(i) z_{i + off_k} - b_i, cut arms included; pre is block scratch, field g at
// g * block_stride(n), written up to the next one. flops 2 K, bytes read (1 + (K [local] + 1 [local
// bias]) / bundle) sizeof(T) per cell.
template <class T>
void apply_stencil(const StencilGeometry& geometry, const StencilWeights<T>& weights,
                   const Coefficient<T>& bias, ReadFields<T> z, int n_fields, T* pre,
                   std::int64_t flat, std::int64_t n);

// out_j = (1 - omega_j - growth) lambda_j + sum_k w_k(j - off_k) s_{j - off_k} for every padded
// position j of the block, ghosts included: W^T in gather form, to be folded by the layout. s is
// zero at ghosts and masked cells. flops 2 K + 2, bytes (3 + K [local] / bundle) sizeof(T) per
// cell.
template <class T>
void gather_stencil(const StencilGeometry& geometry, const StencilWeights<T>& weights,
                    const Coefficient<T>& omega, T growth, ReadFields<T> lambda, ReadFields<T> s,
                    int n_fields, WriteFields<T> out, std::int64_t flat, std::int64_t n);

// Local weights: bar_k(i) += s_i z_{i + off_k}, bias_bar(i) -= s_i, samples one after the other.
// flops 2 K, bytes (2 + 2 K / bundle) sizeof(T) per cell.
template <class T>
void accumulate_stencil(const StencilGeometry& geometry, ReadFields<T> s, ReadFields<T> z,
                        int n_fields, const WeightFields<T>& bar, std::int64_t flat,
                        std::int64_t n);

// Homogeneous weights: bar_k += sum_i s_i z_{i + off_k}; flops 2 K, bytes 2 sizeof(T) per cell.
template <class T>
void accumulate_stencil(const StencilGeometry& geometry, ReadFields<T> s, ReadFields<T> z,
                        int n_fields, OrderedSum* bar, std::int64_t flat, std::int64_t n);

}  // namespace relaxon
