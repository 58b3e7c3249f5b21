// W of the layers as sparse or full matrices, whatever the operator: from the parameters to the
// entries, W z = A z + shift, and back from cotangents of the entries to those of the parameters.
#pragma once

#include <cstdint>
#include <memory>

#include "relaxon/base/array.hpp"
#include "relaxon/base/parallel.hpp"
#include "relaxon/network/config.hpp"
#include "relaxon/operators/three_point.hpp"

namespace relaxon {

template <class T>
class LayerMatrix {
public:
    virtual ~LayerMatrix() = default;

    virtual const Pattern& pattern() const = 0;
    // Sets of entries that differ, and that of a layer.
    virtual std::int64_t n_sets() const = 0;
    std::int64_t set_of(std::int64_t layer) const { return n_sets() > 1 ? layer : 0; }

    // All memory, without that for gradients or tangents where none are wanted.
    virtual void carve(Arena& arena, int n_workers, bool has_gradient, bool has_tangent) = 0;

    // Once per sweep. The last of the parameters is the omega that schemes see.
    virtual void prepare(const Parameters<T>& parameters, Team& team) = 0;
    virtual void prepare_tangent(const Parameters<T>& parameters,
                                 const Parameters<T>& parameters_dot, Team& team) = 0;
    virtual void assemble(std::int64_t layer, T* values, T* shift) = 0;
    // Of the tangent of W.
    virtual void assemble_tangent(std::int64_t layer, T* values, T* shift) = 0;

    // The transpose: clear, add the cotangents of layers, finish. The operator's gradients are set
    // by it, and the last array, where it is not null, to what the scheme says of omega.
    virtual void clear(const Gradients<T>& gradients, Team& team) = 0;
    virtual void add(std::int64_t layer, const T* values_bar, const T* shift_bar) = 0;

    // Whether cells see their neighbours on a line or round a circle alone. Then the same can be
    // had without entries, from and to the arrays of three points; a stencil makes no pattern for
    // it.
    virtual bool is_line() const { return is_three_point(pattern()); }
    // But for the ends of the line, rows are the same.
    virtual bool is_uniform() const { return false; }
    virtual void assemble_line(std::int64_t layer, const ThreePoint<T>& matrix, T* shift,
                               Team* team);
    virtual void add_line(std::int64_t layer, const ThreePoint<T>& matrix_bar, const T* shift_bar,
                          Team* team);
    // From sums in double precision. Without has_shift their shift may be null.
    virtual void add_line_sums(std::int64_t layer, const ThreePoint<double>& matrix_bar,
                               const double* shift_bar, Team* team);
    virtual bool has_shift() const { return true; }
    virtual void finish(const Parameters<T>& parameters, const Gradients<T>& gradients,
                        Team& team) = 0;
};

// Of a network's operator; omega is among the trained parameters or not.
template <class T>
std::unique_ptr<LayerMatrix<T>> make_layer_matrix(const NetworkConfig& config, bool wants_omega);

}  // namespace relaxon
