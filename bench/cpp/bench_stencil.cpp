// The three stencil passes, local weights, fields in the second-level cache; arguments: samples of
// the bundle. Goal: half of what the copy of as many bytes takes.
#include "cases.hpp"
#include "report.hpp"

namespace relaxon::bench {
namespace {

constexpr const char* kGoal = "goal: share 0.5";

enum class Pass { apply, gather, accumulate };

template <class T, Pass pass, int ndim>
void stencil(benchmark::State& state) {
    StencilCase<T> c(ndim == 1 ? std::vector<std::int64_t>{1024}
                               : std::vector<std::int64_t>{33, 49});
    const int n_fields = static_cast<int>(state.range(0));
    std::vector<T> z = c.make_memory(n_fields, 0.5), s = z, lambda = z, out = z;
    alignas(64) static T pre[kMaxBundle * kBlock];
    for (auto _ : state) {
        c.for_each_block([&](std::int64_t flat, std::int64_t n) {
            if constexpr (pass == Pass::apply) {
                apply_stencil(c.geometry, c.layer.weights, c.layer.bias, c.fields(z), n_fields, pre,
                              flat, n);
            } else if constexpr (pass == Pass::gather) {
                gather_stencil(c.geometry, c.layer.weights, c.layer.omega, T(0), c.fields(lambda),
                               c.fields(s), n_fields, c.fields(out), flat, n);
            } else {
                const WeightFields<T> bars{c.gradient.weights_field, nullptr};
                accumulate_stencil(c.geometry, c.fields(s), c.fields(z), n_fields, bars, flat, n);
            }
        });
        benchmark::ClobberMemory();
    }
    const int k = c.geometry.n_arms();
    Work work;
    work.n_cells = static_cast<double>(c.n_cells()) * n_fields;
    work.flops = 2.0 * k * work.n_cells;
    const double shared = static_cast<double>(k) / n_fields;
    const double per_cell = pass == Pass::apply    ? 1.0 + shared
                            : pass == Pass::gather ? 3.0 + shared
                                                   : 2.0 + 2.0 * shared;
    work.bytes = per_cell * work.n_cells * sizeof(T);
    work.working_set = static_cast<std::int64_t>(work.bytes);
    report<T>(state, work, kGoal);
}

#define RELAXON_BENCH(T, pass, ndim)                                                               \
    BENCHMARK_TEMPLATE(stencil, T, Pass::pass, ndim)                                               \
        ->Name("stencil/" #pass "/" #ndim "-D/" #T)                                                \
        ->Arg(1)                                                                                   \
        ->Arg(4)
#define RELAXON_BENCH_ALL(T)                                                                       \
    RELAXON_BENCH(T, apply, 1);                                                                    \
    RELAXON_BENCH(T, gather, 1);                                                                   \
    RELAXON_BENCH(T, accumulate, 1);                                                               \
    RELAXON_BENCH(T, apply, 2);                                                                    \
    RELAXON_BENCH(T, gather, 2);                                                                   \
    RELAXON_BENCH(T, accumulate, 2)
RELAXON_BENCH_ALL(double);
RELAXON_BENCH_ALL(float);

}  // namespace
}  // namespace relaxon::bench
