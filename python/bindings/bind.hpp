// One registration function per noun.
#pragma once

#include <pybind11/pybind11.h>

namespace relaxon::python {

void bind_grid(pybind11::module_& module);
void bind_operators(pybind11::module_& module);
void bind_network(pybind11::module_& module);
void bind_unsolved_errors(pybind11::module_& module);
void bind_descent(pybind11::module_& module);
void bind_on_the_fly(pybind11::module_& module);

}  // namespace relaxon::python
