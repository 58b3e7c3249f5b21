// The exceptions of equations that do not solve: what they say in words, they have as numbers, too.
#include <pybind11/gil_safe_call_once.h>

#include <type_traits>

#include "bind.hpp"
#include "relaxon/base/error.hpp"

namespace relaxon::python {

namespace py = pybind11;

namespace {

// The text of what was thrown, and its numbers as attributes.
template <class Error>
void raise(const py::object& type, const Error& error) {
    const py::object raised = type(error.what());
    if constexpr (std::is_same_v<Error, LayerError>) raised.attr("layer") = error.layer();
    raised.attr("sample") = error.sample();
    raised.attr("residual") = error.residual();
    PyErr_SetObject(type.ptr(), raised.ptr());
}

template <class Error>
py::object make_error(py::module_& module, const char* name, const char* documentation) {
    py::exception<Error> type(module, name, PyExc_ArithmeticError);
    type.doc() = documentation;
    // So that type checkers know them.
    if (std::is_same_v<Error, LayerError>) type.attr("layer") = 0;
    type.attr("sample") = 0;
    type.attr("residual") = 0.0;
    return type;
}

}  // namespace

void bind_unsolved_errors(py::module_& module) {
    struct Types {
        py::object layer, attractor;
    };
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<Types> storage;
    storage.call_once_and_store_result([&]() -> Types {
        return {make_error<LayerError>(
                    module, "LayerError",
                    "An implicit layer does not solve: Newton's method finds no root, or none that "
                    "is finite.\n\n"
                    "Attributes\n----------\n"
                    "layer : int\n    Number of the layer.\n"
                    "sample : int\n    The first sample that fails there.\n"
                    "residual : float\n    Largest entry of the equation's residual where it was "
                    "left."),
                make_error<AttractorError>(
                    module, "AttractorError",
                    "An attractor was asked for its derivative and has not been found.\n\n"
                    "Attributes\n----------\n"
                    "sample : int\n    The first sample that fails.\n"
                    "residual : float\n    Largest entry of z - f(W z - b) where it was left.")};
    });
    py::register_exception_translator([](std::exception_ptr thrown) {
        try {
            std::rethrow_exception(thrown);
        } catch (const LayerError& error) {
            raise(storage.get_stored().layer, error);
        } catch (const AttractorError& error) {
            raise(storage.get_stored().attractor, error);
        }
    });
}

}  // namespace relaxon::python
