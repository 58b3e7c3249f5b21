// Names that Python gives, as the core's kinds.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

#include "relaxon/operators/stencil/adr.hpp"

namespace relaxon::python {

template <class Kind>
Kind parse_name(const std::string& name, const std::vector<std::pair<const char*, Kind>>& table) {
    for (const auto& [known, kind] : table) {
        if (name == known) return kind;
    }
    throw pybind11::value_error("unknown name " + name);
}

inline AdrScheme parse_scheme(const std::string& name) {
    return parse_name<AdrScheme>(name, {{"central", AdrScheme::central},
                                        {"upwind", AdrScheme::upwind},
                                        {"lax-wendroff", AdrScheme::lax_wendroff}});
}

}  // namespace relaxon::python
