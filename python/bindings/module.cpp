#include <pybind11/pybind11.h>

#include "array_cast.hpp"
#include "bind.hpp"
#include "relaxon/base/error.hpp"

PYBIND11_MODULE(RELAXON_MODULE_NAME, module, pybind11::mod_gil_not_used()) {
    using namespace relaxon;
    module.doc() = "The core of relaxon at the ISA level " RELAXON_ISA_NAME ".";
    python::load_numpy();
    pybind11::register_exception<ArgumentError>(module, "ArgumentError", PyExc_ValueError);
    python::bind_unsolved_errors(module);
    python::bind_grid(module);
    python::bind_operators(module);
    python::bind_network(module);
    python::bind_descent(module);
    python::bind_on_the_fly(module);
}
