// One relaxation step on rows of the padded layout, its transpose and its tangent:
//
//     Z = W z - b,   z' = (1 - omega - g) z + omega f(Z),   g = beta (|z| - 1)
//
// (Succi 2025, eqs. 12, 19 and sec. 3.2). Rows are worked in blocks: stencil, activation and
// relaxation of one block follow each other in the first-level cache.
#pragma once

#include <cstdint>

#include "relaxon/activation.hpp"
#include "relaxon/operators/stencil.hpp"
#include "relaxon/sum.hpp"

namespace relaxon {

// A coefficient of the layer: absent (null), one value, or a padded field.
template <class T>
struct Coefficient {
    const T* data = nullptr;
    bool is_local = false;
};

template <class T>
struct Layer {
    StencilWeights<T> weights;
    Coefficient<T> bias;   // subtracted
    Coefficient<T> omega;  // never absent
};

// Where the gradient of one layer is summed; null: not wanted. Local coefficients have a padded
// field, homogeneous ones a sum.
template <class T>
struct LayerGradient {
    T* const* weights_field = nullptr;
    OrderedSum* weights_sum = nullptr;
    T* bias_field = nullptr;
    OrderedSum* bias_sum = nullptr;
    T* omega_field = nullptr;
    OrderedSum* omega_sum = nullptr;
};

// sum_i a_i b_i over the cells of the rows (masked cells hold zero).
template <class T>
OrderedSum inner_product(const Layout& layout, const T* a, const T* b, Rows rows);

// out = z' on the rows (masked cells zero, ghosts undefined).
// flops 2 K + 4 and one f, bytes (2 + K [local weights] + 1 [local bias]) sizeof(T) per cell.
template <class T>
void relax(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation, T growth,
           const T* z, T* out, Rows rows);

// Whether f(Z) = z + (z' - z) / omega may stand for an evaluation of f where both states are at
// hand. The quotient costs eps / omega, so omega must not be small; the rule knows nothing of
// budgets and threads. On large one-dimensional fields it spares 18 % of a gradient (GCC 12, AMD
// EPYC Zen 4, 2026-11).
template <class T>
bool recovers_activation(const Layer<T>& layer, Activation activation);

// s = omega f'(Z) lambda on the rows, where lambda is the cotangent of z' (zero at ghosts and
// masked cells); sums the gradients of bias and omega where `gradient` asks for them. z' is null
// unless f may be recovered from it (g is zero then).
// flops 2 K + 6 and one f with f' (or 3 without), bytes (3 + K [local]) sizeof(T) per cell.
template <class T>
void pull_source(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation,
                 const T* z, const T* z_next, const T* lambda, T* s, Rows rows,
                 const LayerGradient<T>& gradient);

// out = (1 - omega - g) lambda + W^T s on the rows, ghosts included (to be folded by the layout).
// flops 2 K + 2, bytes (3 + K [local]) sizeof(T) per cell.
template <class T>
void pull_state(const StencilGeometry& geometry, const Layer<T>& layer, T growth, const T* lambda,
                const T* s, T* out, Rows rows);

// Gradient of the stencil weights from s and z on the rows.
// flops 2 K, bytes (2 + 2 K [local]) sizeof(T) per cell.
template <class T>
void pull_weights(const StencilGeometry& geometry, const T* s, const T* z, Rows rows,
                  const LayerGradient<T>& gradient);

// Tangent of relax: (z_dot, layer_dot) to out_dot; what is absent from layer_dot is zero, and
// growth_dot is beta times the derivative of |z|. The linear geometry has zero for every Dirichlet
// value. flops 4 K + 12 and one f with f', bytes (3 + 2 K [local]) sizeof(T) per cell.
template <class T>
void relax_tangent(const StencilGeometry& geometry, const StencilGeometry& linear_geometry,
                   const Layer<T>& layer, const Layer<T>& layer_dot, Activation activation,
                   T growth, T growth_dot, const T* z, const T* z_dot, T* out_dot, Rows rows);

}  // namespace relaxon
