// A network as Python holds it: a configuration, and the arrays of a call as views.
#pragma once

#include <pybind11/stl.h>

#include "array_cast.hpp"
#include "relaxon/network/sweep.hpp"

namespace relaxon::python {

struct BoundNetwork {
    NetworkConfig config;
    bool is_double;
    std::vector<ParameterArray> arrays;

    std::int64_t n_cells() const { return config.grid->n_cells(); }

    // f(T{}) with the model's scalar type.
    template <class F>
    auto with_scalar(const F& f) const {
        return is_double ? f(double{}) : f(float{});
    }
};

using ArrayList = std::vector<py::array>;

template <class T>
Parameters<T> read_parameters(const BoundNetwork& network, const ArrayList& list) {
    if (list.size() != network.arrays.size()) throw py::type_error("parameters: wrong number");
    Parameters<T> parameters;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const ParameterArray& array = network.arrays[i];
        parameters.push_back(read_view<T>(list[i], array.size(), array.name.c_str()));
    }
    return parameters;
}

template <class T>
std::vector<T*> write_parameters(const BoundNetwork& network, const std::vector<py::object>& list) {
    if (list.size() != network.arrays.size()) throw py::type_error("gradients: wrong number");
    std::vector<T*> pointers;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const ParameterArray& array = network.arrays[i];
        pointers.push_back(write_view_or_null<T>(list[i], array.size(), array.name.c_str()));
    }
    return pointers;
}

// y, or labels, of n_states outputs. Weights have the length of one output, or of all of y.
template <class T>
Target<T> read_target(const BoundNetwork& network, const Loss& loss, const py::array& y,
                      const py::object& weights, std::int64_t n_states) {
    Target<T> target;
    target.loss = loss;
    const bool has_labels = loss.kind == LossKind::cross_entropy;
    const std::int64_t size = has_labels ? 1 : network.config.output_size();
    const std::int64_t n = n_states * size;
    if (has_labels) {
        target.labels = read_view<std::int64_t>(y, n, "y");
    } else {
        target.y = read_view<T>(y, n, "y");
    }
    if (weights.is_none()) return target;
    target.weights_are_shared =
        !has_labels && py::reinterpret_borrow<py::array>(weights).size() == size;
    target.weights = read_view_or_null<T>(weights, target.weights_are_shared ? size : n, "weights");
    return target;
}

inline std::int64_t batch_of(const BoundNetwork& network, const py::array& x) {
    return static_cast<std::int64_t>(x.size()) / network.config.input_size();
}

}  // namespace relaxon::python
