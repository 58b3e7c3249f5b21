// Penalties on parameters, with their gradients: functions of one array, summed in fixed order.
#pragma once

#include <cstdint>

#include "relaxon/domain/grid.hpp"

namespace relaxon {

// strength sum p^2 over n_fields fields of the grid (existing cells), or over n_fields plain
// numbers where the array is homogeneous; bar += its gradient, where it is not null.
template <class T, class Bar>
double l2_penalty(const Grid& grid, bool is_local, double strength, const T* p,
                  std::int64_t n_fields, Bar* bar);

// strength sum over fields and axes of (p_{i+1} - p_i)^2 / (number of existing cells); differences
// over sides that are not periodic and those with a masked end are left out. bar += its gradient.
template <class T, class Bar>
double smoothness_penalty(const Grid& grid, double strength, const T* p, std::int64_t n_fields,
                          Bar* bar);

// The diagonal of its matrix of second derivatives, with a strength of 1, of every cell.
void smoothness_diagonal(const Grid& grid, double* diagonal);

}  // namespace relaxon
