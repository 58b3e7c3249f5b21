// The sweep that a configuration asks for.
#pragma once

#include <cstdint>
#include <memory>

#include "relaxon/network/sweep.hpp"
#include "relaxon/operators/pattern.hpp"
#include "relaxon/sweeps/attractor/findings.hpp"

namespace relaxon {

// Throws BudgetError where the budget cannot hold the sweep.
template <class T>
std::unique_ptr<Sweep<T>> make_sweep(const NetworkConfig& config, const SweepRequest& request);

// The plan of a sweep without its memory.
template <class T>
Plan plan_sweep(const NetworkConfig& config, const SweepRequest& request);

// W z (affine with Dirichlet values) with the coefficients and omega of one layer.
template <class T>
void apply_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                    std::int64_t layer, std::int64_t batch, const T* z, T* out, Team& team);

// Where W may have entries, and W of one layer in their order: W z = A z + shift.
Pattern operator_pattern(const NetworkConfig& config);
template <class T>
void assemble_operator(const NetworkConfig& config, const Parameters<T>& parameters,
                       std::int64_t layer, T* values, T* shift, Team& team);

// The attractors of a network's layer that are reached from the starts; its dynamics is Attractor.
template <class T>
AttractorFindings find_attractors(const NetworkConfig& config, const Parameters<T>& parameters,
                                  std::int64_t batch, const AttractorFields<T>& fields,
                                  bool wants_histories, Team& team);

}  // namespace relaxon
