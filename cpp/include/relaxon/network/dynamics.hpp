// How the states of a network follow each other: the kinds of its layers.
#pragma once

#include <cstdint>
#include <variant>

namespace relaxon {

enum class OmegaKind { scalar, layer, cell };

// Explicit steps, z' = (1 - omega) z + omega f(W z - b) - beta (|z| - 1) z.
struct Explicit {
    std::int64_t depth = 1;
    OmegaKind omega = OmegaKind::scalar;
    double beta = 0.0;
};

// Implicit steps: omega (f(W z - b) - z) is taken at z' with weight theta, 0 < theta <= 1, and at z
// with 1 - theta; what a scheme adds with omega, with 1 - 2 theta.
struct Theta {
    std::int64_t depth = 1;
    OmegaKind omega = OmegaKind::scalar;
    double beta = 0.0;
    double theta = 1.0;
};

// Another kind joins here, and make_sweep gives it its sweep.
using Dynamics = std::variant<Explicit, Theta>;

}  // namespace relaxon
