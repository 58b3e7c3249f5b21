// How the states of a network follow each other: the kinds of its layers.
#pragma once

#include <cstdint>
#include <variant>

namespace relaxon {

enum class OmegaKind { scalar, layer, cell };

// hard: every layer ends with z / |z|, 0 where |z| is 0.
enum class Normalization { none, hard };

// Explicit steps, z' = (1 - omega) z + omega f(W z - b) - beta (|z| - 1) z. With drive the input x
// is no starting state, z_0 = 0, but a source: W z - b + x in every layer.
struct Explicit {
    std::int64_t depth = 1;
    OmegaKind omega = OmegaKind::scalar;
    double beta = 0.0;
    bool drive = false;
    Normalization normalization = Normalization::none;
};

// Implicit steps: omega (f(W z - b) - z) is taken at z' with weight theta, 0 < theta <= 1, and at z
// with 1 - theta; what a scheme adds with omega, with 1 - 2 theta.
struct Theta {
    std::int64_t depth = 1;
    OmegaKind omega = OmegaKind::scalar;
    double beta = 0.0;
    double theta = 1.0;
    bool drive = false;
    Normalization normalization = Normalization::none;
};

enum class AttractorMethod { automatic, newton, anderson, relaxation };

// How an attractor is looked for.
struct AttractorSearch {
    AttractorMethod method = AttractorMethod::automatic;
    double tolerance = 1e-10;         // below 0: the iterations never end before their number
    std::int64_t max_iterations = 0;  // 0: what is usual for the method
};

// One layer without end: its output is the attractor, z = f(W z - b), that is found from the input,
// or with drive that of z = f(W z - b + x). omega acts through schemes alone.
struct Attractor {
    std::int64_t depth = 1;
    OmegaKind omega = OmegaKind::scalar;
    double beta = 0.0;
    bool drive = false;
    Normalization normalization = Normalization::none;
    AttractorSearch search;
};

// Another kind joins here, and make_sweep gives it its sweep.
using Dynamics = std::variant<Explicit, Theta, Attractor>;

}  // namespace relaxon
