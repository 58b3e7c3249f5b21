// What this machine can do at most, measured on one core: the rates that kernels are held against.
#pragma once

#include <cstdint>

namespace relaxon::bench {

// Multiplications and additions per second: independent chains of multiply-adds in registers.
template <class T>
double multiply_add_rate();

// Bytes per second that a copy of `n_bytes` moves, read and written bytes both counted. Sizes are
// rounded up to a power of two, and every size is measured once.
double copy_rate(std::int64_t n_bytes);

// Seconds per element of an activation on a block in the first-level cache.
template <class T>
double tanh_seconds();

}  // namespace relaxon::bench
