// Products with one W of 1000 cells; arguments: samples. Goal: nine tenths of the multiply-add rate
// for many samples, nine tenths of the copy rate for one.
#include <algorithm>

#include "cases.hpp"
#include "relaxon/operators/dense/products.hpp"
#include "report.hpp"

namespace relaxon::bench {
namespace {

constexpr const char* kGoal = "goal: share 0.9";
constexpr std::int64_t kCells = 1000;

template <class F>
void for_each_block(const F& f) {
    for (std::int64_t begin = 0; begin < kCells; begin += kProductRows) {
        f(begin, std::min(begin + kProductRows, kCells));
    }
}

template <class T>
struct DenseCase {
    explicit DenseCase(std::int64_t samples)
        : n_samples(samples), w(random_values<T>(kCells * kCells, 0.0, 0.03)),
          z(random_values<T>(kCells * samples, 0.0, 1.0)), out(z),
          rows(static_cast<std::size_t>(packed_matrix_length(kCells))), columns(rows),
          states_memory(static_cast<std::size_t>(packed_states_length(kCells, samples))),
          block(bytes()), arena(block), workspace(arena) {
        for_each_block([&](std::int64_t begin, std::int64_t end) {
            pack_rows(w.data(), kCells, begin, end, rows.data());
            pack_columns(w.data(), kCells, begin, end, columns.data());
        });
        for (std::int64_t slice = 0; slice < n_state_slices(kCells, samples); ++slice) {
            pack_states(z.data(), kCells, samples, slice, states_memory.data());
        }
    }

    static std::int64_t bytes() {
        Arena measure;
        PanelWorkspace<T> panels(measure);
        return measure.used_bytes();
    }

    Matrix<T> matrix() const { return {w.data(), kCells, rows.data(), columns.data()}; }
    States<T> states() const { return {z.data(), states_memory.data(), n_samples}; }
    Work work() const {
        Work work;
        work.n_cells = static_cast<double>(kCells * n_samples);
        work.flops = 2.0 * kCells * work.n_cells;
        work.bytes = static_cast<double>((kCells + 3 * n_samples) * kCells) * sizeof(T);
        work.working_set = static_cast<std::int64_t>(work.bytes);
        return work;
    }

    std::int64_t n_samples;
    std::vector<T> w, z, out, rows, columns, states_memory;
    Block block;
    Arena arena;
    PanelWorkspace<T> workspace;
};

template <class T>
void forward(benchmark::State& state) {
    DenseCase<T> c(state.range(0));
    for (auto _ : state) {
        for_each_block([&](std::int64_t begin, std::int64_t end) {
            multiply(c.matrix(), begin, end, c.states(), c.out.data(), c.workspace);
        });
        benchmark::ClobberMemory();
    }
    report<T>(state, c.work(), kGoal);
}

template <class T>
void transposed(benchmark::State& state) {
    DenseCase<T> c(state.range(0));
    for (auto _ : state) {
        for_each_block([&](std::int64_t begin, std::int64_t end) {
            add_transposed_product(c.matrix(), begin, end, c.states(), c.out.data(), c.workspace);
        });
        benchmark::ClobberMemory();
    }
    report<T>(state, c.work(), kGoal);
}

template <class T>
void outer(benchmark::State& state) {
    DenseCase<T> c(state.range(0));
    const auto length = static_cast<std::size_t>(packed_outer_length(kCells, c.n_samples));
    std::vector<T> sources(length), states(length);
    for (auto _ : state) {
        for_each_block([&](std::int64_t begin, std::int64_t end) {
            outer_product(c.w.data(), kCells, begin, end, sources.data(), states.data(),
                          c.n_samples, true);
        });
        benchmark::ClobberMemory();
    }
    Work work = c.work();
    work.bytes = static_cast<double>((2 * kCells + 2 * c.n_samples) * kCells) * sizeof(T);
    report<T>(state, work, kGoal);
}

BENCHMARK_TEMPLATE(forward, double)->Name("dense/forward/float64")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(transposed, double)->Name("dense/transposed/float64")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(outer, double)->Name("dense/outer/float64")->Arg(64)->Arg(512);
BENCHMARK_TEMPLATE(forward, float)->Name("dense/forward/float32")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(transposed, float)->Name("dense/transposed/float32")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(outer, float)->Name("dense/outer/float32")->Arg(64)->Arg(512);

}  // namespace
}  // namespace relaxon::bench
