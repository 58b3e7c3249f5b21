// A sparse matrix whose entries are trained, in compressed rows: entry e of row i, indptr[i] <= e <
// indptr[i + 1], stands in column indices[e]. Entries in masked rows and columns are left out.
//
// W z and W^T s are sums along rows, the latter of the transposed pattern, in fixed order.
// 2 flops and 8 + sizeof(T) bytes per entry, and a state read at random.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "relaxon/operators/operator.hpp"

namespace relaxon {

// Parameter "data", one number per entry.
std::shared_ptr<const Operator> csr(std::vector<std::int64_t> indptr,
                                    std::vector<std::int64_t> indices, bool is_layered);

}  // namespace relaxon
