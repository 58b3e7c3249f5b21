// What an operator W is, apart from a network: the arrays of its coefficients, and its kernels. It
// knows the grid, and whether cells and layers have coefficients of their own; nothing of sweeps.
// A network holds one as an object that many networks may share.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/domain/grid.hpp"
#include "relaxon/operators/parameters.hpp"

namespace relaxon {

template <class T>
class StencilOperator;
template <class T>
class FieldOperator;

class Operator {
public:
    Operator(bool is_local, bool is_layered) : is_local_(is_local), is_layered_(is_layered) {}
    virtual ~Operator() = default;

    bool is_local() const { return is_local_; }
    bool is_layered() const { return is_layered_; }

    // Of one network of `depth` layers; refuses a grid that the operator cannot stand on. Cheap: no
    // entry is looked at.
    virtual std::vector<ParameterArray> arrays(const Grid& grid, std::int64_t depth) const = 0;

    // The kernels in one precision: those of a stencil, or of an operator on whole fields; the
    // other one is null. The grid outlives them.
    template <class T>
    std::unique_ptr<StencilOperator<T>> stencil(const Grid& grid) const {
        return make_stencil(grid, T());
    }
    template <class T>
    std::unique_ptr<FieldOperator<T>> field(const Grid& grid, std::int64_t depth) const {
        return make_field(grid, depth, T());
    }
    virtual bool is_stencil() const = 0;

protected:
    virtual std::unique_ptr<StencilOperator<float>> make_stencil(const Grid& grid, float) const;
    virtual std::unique_ptr<StencilOperator<double>> make_stencil(const Grid& grid, double) const;
    virtual std::unique_ptr<FieldOperator<float>> make_field(const Grid& grid, std::int64_t depth,
                                                             float) const;
    virtual std::unique_ptr<FieldOperator<double>> make_field(const Grid& grid, std::int64_t depth,
                                                              double) const;

    // The axis of layers in front, where there is one.
    ParameterArray layered(ParameterArray array, std::int64_t depth) const {
        if (!is_layered_) return array;
        array.shape.insert(array.shape.begin(), depth);
        array.axes.insert(array.axes.begin(), Axis::layers);
        return array;
    }

private:
    bool is_local_, is_layered_;
};

}  // namespace relaxon
