// What a search for attractors takes and gives, apart from how it is made.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "relaxon/network/dynamics.hpp"
#include "relaxon/solvers/newton.hpp"

namespace relaxon {

// How far the equation shrinks distances before any solve: see sweeps/attractor/fixed_point.hpp.
struct Contraction {
    double mu = std::numeric_limits<double>::infinity();
    double omega_max = 0.0;  // of layers that overshoot nowhere; 0: unknown

    bool is_certified() const { return mu < 1.0; }
};

struct AttractorResult {
    NewtonStatus status = NewtonStatus::converged;
    AttractorMethod method = AttractorMethod::newton;  // that was taken
    std::int64_t n_iterations = 0;
    double residual = 0.0;
    bool is_at_floor = false;  // above the tolerance, but rounding leaves no less
};

// Of all samples; histories of residuals where they are wanted.
struct AttractorFindings {
    std::vector<AttractorResult> results;
    std::vector<std::vector<double>> histories;
    Contraction contraction;
};

// (batch, cells) each: x of networks with drive, or null; where the search starts, the attractors,
// which may take the same place, and f'(Z) there, or null.
template <class T>
struct AttractorFields {
    const T* sources;
    const T* starts;
    T* z;
    T* slopes;
};

}  // namespace relaxon
