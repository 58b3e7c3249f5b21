// Penalties as Python gives them: kind, strength, number of the parameter array.
#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <vector>

#include "parse_name.hpp"
#include "relaxon/training/objective.hpp"

namespace relaxon::python {

using PyPenalty = std::tuple<std::string, double, std::size_t>;

inline std::vector<Penalty> read_penalties(const std::vector<PyPenalty>& entries) {
    std::vector<Penalty> penalties;
    for (const auto& [kind, strength, array] : entries) {
        penalties.push_back(
            {parse_name<PenaltyKind>(
                 kind, {{"l2", PenaltyKind::l2}, {"smoothness", PenaltyKind::smoothness}}),
             strength, array});
    }
    return penalties;
}

}  // namespace relaxon::python
