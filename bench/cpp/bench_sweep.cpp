// Whole sweeps on one thread: forward (loss) and gradient of P2, P3, P5 and P6. The share is that
// of one activation per cell and the unavoidable loads and stores: forward z in and z' out, in
// reverse z, z' and the cotangent in and out. Goals: P2 share 0.67; cost per cell of P3 flat
// within 15 % from 10^4 to 10^7 cells; a gradient at most 3.5 times its forward sweep.
#include <string>

#include "cases.hpp"
#include "relaxon/operators/stencil/adr.hpp"
#include "relaxon/sweeps/make_sweep.hpp"
#include "report.hpp"

namespace relaxon::bench {
namespace {

struct Task {
    std::vector<std::int64_t> shape;
    std::int64_t depth, batch;
    BoundaryKind boundary = BoundaryKind::periodic;
    BiasKind bias = BiasKind::none;
};

template <class T>
void sweep(benchmark::State& state, const Task& task, SweepKind kind) {
    NetworkConfig config;
    config.grid = make_grid(task.shape, task.boundary);
    config.op = adr(AdrScheme::central, true, false);
    config.dynamics = Explicit{task.depth};
    config.activation = Activation::tanh;
    config.bias = task.bias;
    std::vector<std::vector<T>> values, bars;
    Parameters<T> parameters;
    Gradients<T> gradients;
    for (const ParameterArray& array : parameter_arrays(config)) {
        const double centre = array.name == "omega" ? 0.5 : array.name == "D" ? 0.1 : 0.0;
        values.push_back(
            random_values<T>(array.size(), centre, array.name == "omega" ? 0.0 : 0.01));
        bars.push_back(values.back());
    }
    for (const std::vector<T>& array : values) parameters.push_back(array.data());
    for (std::vector<T>& bar : bars) gradients.arrays.push_back(bar.data());
    gradients.arrays.back() = nullptr;
    const std::int64_t n = config.grid->n_cells();
    const std::vector<T> x = random_values<T>(task.batch * n, 0.0, 1.0);
    SweepRequest request;
    request.kind = kind;
    request.batch = task.batch;
    request.at = {task.depth};
    const auto made = make_sweep<T>(config, request);
    Target<T> target;
    target.y = x.data();
    Team team(1, {});
    for (auto _ : state) {
        if (kind == SweepKind::gradient) {
            made->value_and_gradient(parameters, x.data(), target, gradients, team);
        } else {
            made->loss(parameters, x.data(), target, team);
        }
    }
    Work work;
    work.n_cells = work.n_activations = static_cast<double>(n * task.batch * task.depth);
    work.bytes = (kind == SweepKind::gradient ? 6.0 : 2.0) * work.n_cells * sizeof(T);
    work.working_set = task.depth * n * static_cast<std::int64_t>(sizeof(T));
    report<T>(state, work, "goal: share 0.67 (P2)");
}

template <class T>
void add_all(const std::string& dtype) {
    const auto add = [&](const std::string& name, const Task& task) {
        for (const SweepKind kind : {SweepKind::forward, SweepKind::gradient}) {
            const std::string full = "sweep/" + name +
                                     (kind == SweepKind::gradient ? "/gradient/" : "/forward/") +
                                     dtype;
            benchmark::RegisterBenchmark(full.c_str(), sweep<T>, task, kind)
                ->Unit(benchmark::kMillisecond);
        }
    };
    add("walk", {{64}, 20, 1});  // so little per layer that what goes from layer to layer counts
    add("P2", {{1024}, 100, 64});
    add("P5", {{33, 49}, 8, 546, BoundaryKind::neumann, BiasKind::local});
    add("P6", {{8, 8}, 16, 1797, BoundaryKind::neumann});
    for (const std::int64_t n : {10000, 100000, 1000000, 10000000}) {
        add("P3 with N = " + std::to_string(n), {{n}, 100, 1});
    }
}

const bool added = (add_all<double>("float64"), add_all<float>("float32"), true);

}  // namespace
}  // namespace relaxon::bench
