// Allocations of this program since its start, by all threads.
#pragma once

#include <cstdint>

namespace relaxon {

std::int64_t allocations_so_far();

}  // namespace relaxon
