// Arrays of parameters: what their entries belong to, and where their numbers lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace relaxon {

// What the entries along an axis of an array count.
enum class Axis {
    layers,      // sets of coefficients, one per layer
    components,  // numbers of one set
    grid,        // cells along one axis of the grid
    cells,       // all cells of the grid, in C order
};

struct ParameterArray {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<Axis> axes;  // of every entry of the shape
    // Whether entries of masked cells are factors of a product, if of zeros; else they are not
    // read.
    bool reads_masked = false;

    std::int64_t size() const {
        std::int64_t n = 1;
        for (const std::int64_t length : shape) n *= length;
        return n;
    }
    bool has(Axis axis) const { return std::find(axes.begin(), axes.end(), axis) != axes.end(); }
    // Its last axes are the grid's.
    bool is_field() const { return has(Axis::grid); }
};

// Adds the axes of a grid of this shape behind the others.
inline void append_grid(ParameterArray& array, const std::vector<std::int64_t>& shape) {
    array.shape.insert(array.shape.end(), shape.begin(), shape.end());
    array.axes.resize(array.shape.size(), Axis::grid);
}

// Pointers to arrays in C order, owned by the caller, in the order in which a network lists them.
template <class T>
using Parameters = std::vector<const T*>;

// Where gradients go, in the same order; only omega, the last, and the input may be null: not
// wanted.
template <class T>
struct Gradients {
    std::vector<T*> arrays;
    T* x = nullptr;
};

}  // namespace relaxon
