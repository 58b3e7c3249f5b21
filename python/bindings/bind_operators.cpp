// Operators: one factory each.
#include <pybind11/stl.h>

#include "bind.hpp"
#include "parse_name.hpp"
#include "relaxon/operators/dense/dense.hpp"
#include "relaxon/operators/sparse/csr.hpp"
#include "relaxon/operators/stencil/adr.hpp"
#include "relaxon/operators/stencil/banded.hpp"
#include "relaxon/operators/stencil/moments.hpp"

namespace relaxon::python {

namespace {

namespace py = pybind11;

// Python knows no const; nothing that it can call changes an operator.
std::shared_ptr<Operator> held(const std::shared_ptr<const Operator>& op) {
    return std::const_pointer_cast<Operator>(op);
}

const char* name_of(Axis axis) {
    switch (axis) {
    case Axis::layers:
        return "layers";
    case Axis::components:
        return "components";
    case Axis::grid:
        return "grid";
    case Axis::cells:
        return "cells";
    }
    throw py::value_error("unknown axis");
}

std::vector<std::string> axes_of(const ParameterArray& array) {
    std::vector<std::string> names;
    for (const Axis axis : array.axes) names.emplace_back(name_of(axis));
    return names;
}

}  // namespace

void bind_operators(py::module_& module) {
    py::class_<ParameterArray>(module, "ParameterArray")
        .def_readonly("name", &ParameterArray::name)
        .def_readonly("shape", &ParameterArray::shape)
        .def_property_readonly("axes", &axes_of)
        .def_readonly("reads_masked", &ParameterArray::reads_masked);
    py::class_<Operator, std::shared_ptr<Operator>>(module, "Operator")
        .def("arrays", &Operator::arrays, py::arg("grid"), py::arg("depth"));
    module.def(
        "adr",
        [](const std::string& scheme, bool is_local, bool is_layered) {
            return held(adr(parse_scheme(scheme), is_local, is_layered));
        },
        py::arg("scheme"), py::arg("is_local"), py::arg("is_layered"));
    module.def(
        "moments",
        [](int order, bool is_local, bool is_layered) {
            return held(moments(order, is_local, is_layered));
        },
        py::arg("order"), py::arg("is_local"), py::arg("is_layered"));
    module.def(
        "banded",
        [](int radius, bool is_local, bool is_layered) {
            return held(banded(radius, is_local, is_layered));
        },
        py::arg("radius"), py::arg("is_local"), py::arg("is_layered"));
    module.def(
        "csr",
        [](const std::vector<std::int64_t>& indptr, const std::vector<std::int64_t>& indices,
           bool is_layered) { return held(csr(indptr, indices, is_layered)); },
        py::arg("indptr"), py::arg("indices"), py::arg("is_layered"));
    module.def(
        "dense", [](bool is_layered) { return held(dense(is_layered)); }, py::arg("is_layered"));
}

}  // namespace relaxon::python
