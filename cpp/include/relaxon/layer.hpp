// One relaxation step on rows of the padded layout, its transpose and its tangent:
//
//     Z = W z - b,   z' = (1 - omega - g) z + omega f(Z),   g = beta (|z| - 1)
//
// (Succi 2025, eqs. 12, 19 and sec. 3.2). Rows are worked in blocks: stencil, activation and
// relaxation of one block follow each other in the first-level cache. All samples of a bundle go
// through a block before the next one begins.
#pragma once

#include <cstdint>

#include "relaxon/activation.hpp"
#include "relaxon/operators/stencil.hpp"
#include "relaxon/sum.hpp"

namespace relaxon {

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

// out = z' on the rows (masked cells zero, ghosts undefined). Where g is not zero, it is that of
// all samples of the bundle.
// flops 2 K + 4 and one f, bytes (2 + (K [local weights] + 1 [local bias]) / bundle) sizeof(T) per
// cell.
template <class T>
void relax(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation, T growth,
           ReadFields<T> z, int n_samples, WriteFields<T> out, Rows rows);

// Whether f(Z) = z + (z' - z) / omega may stand for an evaluation of f where both states are at
// hand. The quotient costs eps / omega, so omega must not be small; the rule knows nothing of
// budgets and threads.
template <class T>
bool recovers_activation(const Layer<T>& layer, Activation activation);

// s = omega f'(Z) lambda on the rows, where lambda is the cotangent of z' (zero at ghosts and
// masked cells); sums the gradient of omega where `gradient` asks for it. z' is null unless f may
// be recovered from it (g is zero then).
// flops 2 K + 6 and one f with f', bytes (3 + K [local] / bundle) sizeof(T) per cell; recovered:
// flops 8, bytes 4 sizeof(T).
template <class T>
void pull_source(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation,
                 ReadFields<T> z, ReadFields<T> z_next, ReadFields<T> lambda, int n_samples,
                 WriteFields<T> s, Rows rows, const LayerGradient<T>& gradient);

// out = (1 - omega - g) lambda + W^T s on the rows, ghosts included (to be folded by the layout).
// flops 2 K + 2, bytes (3 + K [local] / bundle) sizeof(T) per cell.
template <class T>
void pull_state(const StencilGeometry& geometry, const Layer<T>& layer, T growth,
                ReadFields<T> lambda, ReadFields<T> s, int n_samples, WriteFields<T> out,
                Rows rows);

// Gradients of the stencil weights and the bias from s and z on the rows.
// flops 2 K, bytes (2 + 2 K [local] / bundle) sizeof(T) per cell.
template <class T>
void pull_coefficients(const StencilGeometry& geometry, ReadFields<T> s, ReadFields<T> z,
                       int n_samples, Rows rows, const LayerGradient<T>& gradient);

// Tangent of relax: (z_dot, layer_dot) to out_dot; what is absent from layer_dot is zero, and
// growth_dot is beta times the derivative of |z|. The linear geometry has zero for every Dirichlet
// value. flops 4 K + 12 and one f with f', bytes (3 + 2 K [local]) sizeof(T) per cell.
template <class T>
void relax_tangent(const StencilGeometry& geometry, const StencilGeometry& linear_geometry,
                   const Layer<T>& layer, const Layer<T>& layer_dot, Activation activation,
                   T growth, T growth_dot, const T* z, const T* z_dot, T* out_dot, Rows rows);

}  // namespace relaxon
