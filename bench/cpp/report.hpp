// How a benchmark reports: physical rates, and the share of what the machine's ceilings allow.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>

#include "ceiling.hpp"

namespace relaxon::bench {

// One iteration's work, as the kernels' headers count it.
struct Work {
    double n_cells = 0.0;  // cell updates
    double flops = 0.0;
    double bytes = 0.0;
    std::int64_t working_set = 0;  // bytes: the copy that the bytes are held against is as large
    double n_activations = 0.0;    // of tanh
};

// cells/s, GFLOP/s and GB/s; "share" is the least time that the ceilings allow over the time taken:
// the slower of arithmetic and memory, and the activation on top, which overlaps with neither.
template <class T>
void report(benchmark::State& state, const Work& work, const char* goal) {
    using benchmark::Counter;
    const double least =
        std::max(work.flops / multiply_add_rate<T>(), work.bytes / copy_rate(work.working_set)) +
        work.n_activations * tanh_seconds<T>();
    const auto rate = [](double value) {
        return Counter(value, Counter::kIsIterationInvariantRate);
    };
    state.counters["cells/s"] = rate(work.n_cells);
    state.counters["GFLOP/s"] = rate(work.flops * 1e-9);
    state.counters["GB/s"] = rate(work.bytes * 1e-9);
    state.counters["share"] = rate(least);
    state.SetLabel(goal);
}

}  // namespace relaxon::bench
