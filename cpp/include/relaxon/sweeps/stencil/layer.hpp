// One relaxation step on rows of the padded layout, its transpose and its tangent:
//
//     Z = W z - b [+ x],   z' = (1 - omega - g) z + omega f(Z),   g = beta (|z| - 1)
//
// (Succi 2025, eqs. 12, 19 and sec. 3.2). Rows are worked in blocks: stencil, activation and
// relaxation of one block follow each other in the first-level cache. All samples of a bundle go
// through a block before the next one begins.
#pragma once

#include <cstdint>

#include "relaxon/base/sum.hpp"
#include "relaxon/operators/stencil/kernels.hpp"
#include "relaxon/pointwise/activation.hpp"

namespace relaxon {

template <class T>
struct Layer {
    StencilWeights<T> weights;
    Coefficient<T> bias;    // subtracted
    Coefficient<T> omega;   // never absent
    Fields<const T> drive;  // x, a field of the bundle's; null: none
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
    Fields<T> drive;  // one for each sample of the bundle
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
           ReadFields<T> z, int n_fields, WriteFields<T> out, Rows rows);

// Whether f(Z) = z + (z' - z) / omega may stand for an evaluation of f where both states are at
// hand, and nothing measures states. The quotient costs eps / omega, so omega must not be small;
// the rule knows nothing of budgets and threads.
template <class T>
bool recovers_activation(Activation activation, const Coefficient<T>& omega, bool measures_states);

// What a layer is pulled back from and to, a bundle each.
template <class T>
struct ReverseFields {
    Fields<const T> z;
    Fields<const T> z_next;  // z', from which f is recovered; null: Z is evaluated again
    Fields<const T> lambda;  // cotangent of z', zero at ghosts and masked cells
    Fields<T> s;             // scratch; zero on all that `out` reads beyond the sources
    Fields<T> out;           // cotangent of z, ghosts included (to be folded by the layout)
    int n_fields = 1;
};

struct ReverseRows {
    Rows sources;  // where s is made
    Rows own;      // those of them that count for the gradients
    Rows out;      // where the cotangent of z is wanted
};

// The transpose of relax:
//
//     s = omega f'(Z) lambda,   out = (1 - omega - g) lambda + W^T s,
//
// and the sums that `gradient` asks for. g is not zero only where z' is not given.
// flops 6 K + 10 and one f with f' (4 K + 12 where f is recovered), bytes
// (6 + (3 K [local weights] + 1 [local bias]) / bundle) sizeof(T) per cell.
template <class T>
void pull_back(const StencilGeometry& geometry, const Layer<T>& layer, Activation activation,
               T growth, const ReverseFields<T>& fields, const ReverseRows& rows,
               const LayerGradient<T>& gradient);

// Tangent of relax: (z_dot, layer_dot) to out_dot; what is absent from layer_dot is zero, and
// growth_dot is beta times the derivative of |z|. The linear geometry has zero for every Dirichlet
// value. flops 4 K + 12 and one f with f', bytes (3 + 2 K [local]) sizeof(T) per cell.
template <class T>
void relax_tangent(const StencilGeometry& geometry, const StencilGeometry& linear_geometry,
                   const Layer<T>& layer, const Layer<T>& layer_dot, Activation activation,
                   T growth, T growth_dot, const T* z, const T* z_dot, T* out_dot, Rows rows);

}  // namespace relaxon
