#include <pybind11/stl.h>

#include <cmath>
#include <optional>

#include "array_cast.hpp"
#include "bind.hpp"
#include "interrupt.hpp"
#include "relaxon/base/finite.hpp"
#include "relaxon/domain/grid.hpp"
#include "relaxon/pointwise/activation.hpp"

namespace relaxon::python {

namespace {

using PyCondition = std::pair<std::string, double>;

Condition to_condition(const PyCondition& condition) {
    Condition found{BoundaryKind::periodic, condition.second};
    if (!parse(condition.first, found.kind)) {
        throw py::value_error("unknown name " + condition.first);
    }
    return found;
}

std::vector<std::uint8_t> to_mask(const std::optional<py::array_t<bool>>& mask) {
    if (!mask) return {};
    const bool* first = read_view<bool>(*mask, mask->size(), "mask");
    return std::vector<std::uint8_t>(first, first + mask->size());
}

std::shared_ptr<Grid> make_grid(const std::vector<std::int64_t>& shape,
                                const std::vector<std::pair<PyCondition, PyCondition>>& boundary,
                                const std::optional<py::array_t<bool>>& mask,
                                const PyCondition& mask_condition, double cell_volume) {
    std::vector<Sides> sides;
    for (const auto& pair : boundary) {
        sides.push_back({to_condition(pair.first), to_condition(pair.second)});
    }
    return std::make_shared<Grid>(shape, sides, to_mask(mask), to_condition(mask_condition),
                                  cell_volume);
}

template <class T>
std::int64_t find(const py::array& values, const std::optional<py::array_t<bool>>& mask,
                  const py::object& weights) {
    FiniteScan<T> scan;
    scan.n = values.size();
    scan.values = read_view<T>(values, scan.n, "values");
    if (mask) {
        scan.n_mask = mask->size();
        scan.mask = read_view<bool>(*mask, scan.n_mask, "mask");
    }
    if (!weights.is_none()) {
        scan.n_weights = py::reinterpret_borrow<py::array>(weights).size();
        scan.weights = read_view_or_null<T>(weights, scan.n_weights, "weights");
    }
    const Released released;
    const std::int64_t index = first_non_finite(scan);
    released.restore();
    return index;
}

}  // namespace

void bind_grid(py::module_& module) {
    py::class_<Grid, std::shared_ptr<Grid>>(module, "Grid")
        .def(py::init(&make_grid), py::arg("shape"), py::arg("boundary"), py::arg("mask"),
             py::arg("mask_condition"), py::arg("cell_volume"));
    module.def(
        "first_non_finite",
        [](const py::array& values, const std::optional<py::array_t<bool>>& mask,
           const py::object& weights) {
            return is_double(values) ? find<double>(values, mask, weights)
                                     : find<float>(values, mask, weights);
        },
        py::arg("values"), py::arg("mask"), py::arg("weights"));
    // The names of those that hold no value of their own.
    module.def("conditions", [] {
        std::vector<std::string> names;
        for (const BoundaryKind kind : kBoundaryKinds) {
            if (!has_value(kind)) names.emplace_back(name(kind));
        }
        return names;
    });
    module.def("activations", [] {
        std::vector<std::string> names;
        for (const Activation kind : kActivations) names.emplace_back(name(kind));
        return names;
    });
    module.def(
        "activate",
        [](const std::string& activation, const py::array& z, const py::array& out) {
            Activation kind;
            if (!parse(activation, kind)) throw py::value_error("unknown activation " + activation);
            const auto n = static_cast<std::int64_t>(z.size());
            const auto run = [&](auto scalar) {
                using T = decltype(scalar);
                const T* from = read_view<T>(z, n, "z");
                activate(kind, from, write_view<T>(out, n, "out"), static_cast<std::size_t>(n));
            };
            is_double(z) ? run(double{}) : run(float{});
        },
        py::arg("activation"), py::arg("z"), py::arg("out"));
    module.def(
        "slope_at_zero",
        [](const std::string& activation) {
            Activation kind;
            if (!parse(activation, kind)) throw py::value_error("unknown activation " + activation);
            return slope_at_zero(kind);
        },
        py::arg("activation"));
    module.def(
        "slope_range",
        [](const std::string& activation) {
            Activation kind;
            if (!parse(activation, kind)) throw py::value_error("unknown activation " + activation);
            const SlopeRange range = slope_range(kind);
            return std::make_pair(range.low, range.high);
        },
        py::arg("activation"));
}

}  // namespace relaxon::python
