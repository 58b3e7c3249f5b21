// NumPy arrays as plain pointers: the only file that knows both. The Python package hands over
// contiguous arrays of the right type and length; anything else is an error there, and refused
// here rather than copied.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

namespace relaxon::python {

namespace py = pybind11;

// Finds NumPy's functions. pybind11 does so with the first array that it sees, without the GIL for
// a moment; in a thread that outlives the interpreter, that would be the end of the process.
inline void load_numpy() { py::detail::npy_api::get(); }

template <class T>
void require_array(const py::array& array, std::int64_t n, const char* what) {
    const bool fits = py::isinstance<py::array_t<T, py::array::c_style>>(array) &&
                      array.size() == static_cast<py::ssize_t>(n);
    if (!fits) {
        throw py::type_error(std::string("argument '") + what +
                             "': expected a contiguous array of " + std::to_string(n) +
                             " entries of the model's type, got " +
                             py::repr(array.dtype()).cast<std::string>() + " of shape " +
                             py::repr(array.attr("shape")).cast<std::string>());
    }
}

template <class T>
const T* read_view(const py::array& array, std::int64_t n, const char* what) {
    require_array<T>(array, n, what);
    return static_cast<const T*>(array.data());
}

// Null for None.
template <class T>
const T* read_view_or_null(const py::object& array, std::int64_t n, const char* what) {
    if (array.is_none()) return nullptr;
    return read_view<T>(py::reinterpret_borrow<py::array>(array), n, what);
}

template <class T>
T* write_view(py::array array, std::int64_t n, const char* what) {
    require_array<T>(array, n, what);
    return static_cast<T*>(array.mutable_data());  // raises where the array is read-only
}

template <class T>
T* write_view_or_null(const py::object& array, std::int64_t n, const char* what) {
    if (array.is_none()) return nullptr;
    return write_view<T>(py::reinterpret_borrow<py::array>(array), n, what);
}

inline bool is_double(const py::array& array) { return py::isinstance<py::array_t<double>>(array); }

}  // namespace relaxon::python
