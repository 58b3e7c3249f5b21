// The contract of an operator that acts on whole fields, all samples of a layer together: free or
// sparse matrices, whatever is no stencil. States are (samples, cells), the cells of a sample
// contiguous; masked cells of states hold zero, and what an operator writes to masked rows is not
// read. Virtual calls are per layer and block of rows, never per cell.
//
// A layer loads its operand, then asks for blocks of rows in parallel: results must not depend on
// how many workers there are.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "relaxon/base/array.hpp"
#include "relaxon/base/parallel.hpp"
#include "relaxon/operators/operator.hpp"
#include "relaxon/operators/pattern.hpp"

namespace relaxon {

// Rows of a block, at most; blocks begin at multiples of it.
constexpr std::int64_t kFieldRows = 48;

// What a sweep will ask of an operator.
struct FieldRequest {
    std::int64_t batch = 1;
    int n_workers = 1;
    std::int64_t first = 0, n_layers = 0;  // that a reverse sweep reaches
    bool has_gradient = false;
    bool has_tangent = false;
    // Memory that may be left out where a budget is tight: it makes sweeps faster, and changes no
    // result.
    bool is_rich = true;
};

// Rows of one block, and who works on them.
struct FieldBlock {
    std::int64_t begin, end;
    int worker;
};

template <class T>
class FieldOperator {
public:
    virtual ~FieldOperator() = default;

    // Where W of every layer may have entries, and those of one: W z = A z + shift. After prepare.
    virtual Pattern pattern() const = 0;
    virtual void assemble(std::int64_t layer, T* values, T* shift) = 0;
    // The transpose of assemble, which is linear in the operator's arrays: cotangents of the
    // entries are added to the gradients.
    virtual void add_entries(std::int64_t layer, const T* values_bar,
                             const Gradients<T>& gradients) const = 0;

    // All memory of a sweep.
    virtual void carve(Arena& arena, const FieldRequest& request) = 0;
    // Once per sweep, before any layer. The operator's arrays come first among the parameters.
    virtual void prepare(const Parameters<T>& parameters, Team& team) = 0;

    // States of a layer as the operand of apply and collect, until the next call.
    virtual void load(std::int64_t layer, const T* z, Team& team) = 0;
    // out = W z, the rows of the block.
    virtual void apply(std::int64_t layer, const FieldBlock& block, T* out) const = 0;

    // Sources of a layer as the operand of add_transpose.
    virtual void load_sources(std::int64_t layer, const T* s, Team& team) = 0;
    // out += W^T s, the rows of the block.
    virtual void add_transpose(std::int64_t layer, const FieldBlock& block, T* out) const = 0;

    // A reverse sweep, from the last layer that it reaches to the first: clear at its begin; of
    // each layer collect, block by block, then accumulate.
    virtual void clear(const Gradients<T>& gradients, Team& team) = 0;
    virtual void collect(std::int64_t layer, const FieldBlock& block, const T* z, const T* s) = 0;
    virtual void accumulate(std::int64_t layer, const Gradients<T>& gradients, Team& team) = 0;

    // z and its tangent as the operand of apply_tangent.
    virtual void load_tangent(std::int64_t layer, const T* z, const T* z_dot, Team& team) = 0;
    // out = W_dot z + W z_dot, the rows of the block; scratch is as long.
    virtual void apply_tangent(const Parameters<T>& parameters_dot, std::int64_t layer,
                               const FieldBlock& block, T* out, T* scratch) const = 0;
};

// Operators on fields as an operator of networks: describe(grid) gives the arrays of one layer or
// refuses the grid, make(grid, depth, T()) the kernels.
template <class Describe, class Make>
class FieldFamily final : public Operator {
public:
    FieldFamily(bool is_layered, Describe describe, Make make)
        : Operator(false, is_layered), describe_(std::move(describe)), make_(std::move(make)) {}

    std::vector<ParameterArray> arrays(const Grid& grid, std::int64_t depth) const override {
        std::vector<ParameterArray> arrays;
        for (ParameterArray& array : describe_(grid)) {
            arrays.push_back(layered(std::move(array), depth));
        }
        return arrays;
    }
    bool is_stencil() const override { return false; }

protected:
    std::unique_ptr<FieldOperator<float>> make_field(const Grid& grid, std::int64_t depth,
                                                     float) const override {
        return make_(grid, depth, float());
    }
    std::unique_ptr<FieldOperator<double>> make_field(const Grid& grid, std::int64_t depth,
                                                      double) const override {
        return make_(grid, depth, double());
    }

private:
    Describe describe_;
    Make make_;
};

template <class Describe, class Make>
std::shared_ptr<const Operator> field_family(bool is_layered, const Describe& describe,
                                             const Make& make) {
    return std::make_shared<FieldFamily<Describe, Make>>(is_layered, describe, make);
}

}  // namespace relaxon
