// One layer forward and back, local weights, 1-D, fields in the second-level cache; arguments:
// samples of the bundle. Goal: two thirds of the activation and the loads and stores alone.
#include "cases.hpp"
#include "report.hpp"

namespace relaxon::bench {
namespace {

constexpr const char* kGoal = "goal: share 0.67";

template <class T>
void forward(benchmark::State& state) {
    StencilCase<T> c({1024});
    const int n_fields = static_cast<int>(state.range(0));
    std::vector<T> z = c.make_memory(n_fields, 0.5), out = z;
    for (auto _ : state) {
        relax<T>(c.geometry, c.layer, Activation::tanh, T(0), c.fields(z), n_fields, c.fields(out),
                 c.rows());
        benchmark::ClobberMemory();
    }
    const int k = c.geometry.n_arms();
    Work work;
    work.n_cells = work.n_activations = static_cast<double>(c.n_cells()) * n_fields;
    work.flops = (2.0 * k + 4.0) * work.n_cells;
    work.bytes = (2.0 + static_cast<double>(k) / n_fields) * work.n_cells * sizeof(T);
    work.working_set = static_cast<std::int64_t>(work.bytes);
    report<T>(state, work, kGoal);
}

template <class T>
void reverse(benchmark::State& state) {
    StencilCase<T> c({1024});
    const int n_fields = static_cast<int>(state.range(0));
    std::vector<T> z = c.make_memory(n_fields, 0.5), z_next = z, lambda = z, s = z, out = z;
    const ReverseFields<T> fields{c.fields(z), c.fields(z_next), c.fields(lambda),
                                  c.fields(s), c.fields(out),    n_fields};
    for (auto _ : state) {
        pull_back(c.geometry, c.layer, Activation::tanh, T(0), fields,
                  {c.rows(), c.rows(), c.rows()}, c.gradient);
        benchmark::ClobberMemory();
    }
    const int k = c.geometry.n_arms();
    Work work;
    work.n_cells = static_cast<double>(c.n_cells()) * n_fields;
    work.flops = (4.0 * k + 12.0) * work.n_cells;
    work.bytes = (6.0 + 3.0 * k / n_fields) * work.n_cells * sizeof(T);
    work.working_set = static_cast<std::int64_t>(work.bytes);
    report<T>(state, work, kGoal);
}

BENCHMARK_TEMPLATE(forward, double)->Name("layer/forward/float64")->Arg(1)->Arg(4);
BENCHMARK_TEMPLATE(reverse, double)->Name("layer/reverse/float64")->Arg(1)->Arg(4);
BENCHMARK_TEMPLATE(forward, float)->Name("layer/forward/float32")->Arg(1)->Arg(4);
BENCHMARK_TEMPLATE(reverse, float)->Name("layer/reverse/float32")->Arg(1)->Arg(4);

}  // namespace
}  // namespace relaxon::bench
