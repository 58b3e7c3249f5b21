// No allocation per layer or step: every way to the allocator is counted.
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <memory>

#include "allocation_counter.hpp"
#include "problem.hpp"
#include "relaxon/base/array.hpp"
#include "relaxon/operators/dense/dense.hpp"
#include "relaxon/operators/stencil/adr.hpp"
#include "relaxon/sweeps/stencil/tiling.hpp"
#include "relaxon/training/descent.hpp"

namespace relaxon {
namespace {

template <class Body>
std::int64_t count_allocations(const Body& body) {
    const std::int64_t before = allocations_so_far();
    body();
    return allocations_so_far() - before;
}

TEST(AllocationCount, SeesEveryWayToTheAllocator) {
    // Kept in view: the compiler may leave out an allocation that nobody looks at.
    static void* volatile seen = nullptr;
    EXPECT_EQ(count_allocations([] {
                  std::vector<double> values(1000);
                  seen = values.data();
              }),
              1);
    EXPECT_EQ(count_allocations([] {
                  Block block(1000);
                  seen = block.data();
              }),
              1);
    EXPECT_EQ(count_allocations([] {
                  seen = std::malloc(1000);
                  std::free(seen);
              }),
              1);
    struct alignas(128) Wide {
        double values[16];
    };
    EXPECT_EQ(count_allocations([] {
                  const auto wide = std::make_unique<Wide>();
                  seen = wide.get();
              }),
              1);
    EXPECT_EQ(count_allocations([] {}), 0);
}

struct Case {
    const char* name;
    bool is_dense;
    Shape shape;
    bool is_tiled;
    bool has_ends = false;
};

const Case kCases[] = {{"stencil, whole fields", false, {40}, false},
                       {"stencil, tiles", false, {8192}, true},
                       {"stencil, tiles in 3-D", false, {32, 16, 16}, true},
                       {"dense", true, {24}, false},
                       {"stencil with ends", false, {40}, false, true}};

NetworkConfig config_of(const Case& c, std::int64_t depth) {
    NetworkConfig config;
    config.grid = make_grid(c.shape, all_axes(c.shape, kNeumann, kNeumann), MaskKind::neumann);
    config.op = c.is_dense ? dense(false) : adr(AdrScheme::central, true, false);
    config.dynamics = Explicit{depth};
    config.activation = Activation::tanh;
    config.bias = BiasKind::local;
    if (c.has_ends) {
        config.lift = {7, Activation::tanh};
        config.readout = {3, Activation::identity};
    }
    return config;
}

template <class T>
class AllocationTest : public testing::Test {
protected:
    // The process makes its threads once.
    static void SetUpTestSuite() {
        Team(2, {}).parallel_for(2, [](std::int64_t, int) {});
    }
};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(AllocationTest, Precisions);

// In the first call of a sweep and in a later one, with room for some snapshots, on two threads.
TYPED_TEST(AllocationTest, GradientAllocatesTheSameForTenAndAThousandLayers) {
    using T = TypeParam;
    for (const Case& c : kCases) {
        const NetworkConfig stencil = config_of({"", false, c.shape, false}, 1);
        const auto op = stencil.op->template stencil<T>(*stencil.grid);
        const Tiling tiling =
            choose_tiling(config_of(c, 10), 1, static_cast<int>(op->arms().size()), 2,
                          static_cast<std::int64_t>(sizeof(T)));
        ASSERT_EQ(!c.is_dense && !tiling.is_whole(), c.is_tiled) << c.name;
        std::int64_t counts[2][3];
        for (const int which : {0, 1}) {
            const Problem<T> problem(config_of(c, which == 0 ? 10 : 1000), c.is_tiled ? 1 : 2, {});
            SweepRequest request = problem.request(SweepKind::gradient, 2);
            const Plan most = plan_sweep<T>(problem.config, request);
            request.memory_bytes = most.minimum_bytes + 40 * most.state_bytes;
            const auto sweep = make_sweep<T>(problem.config, request);
            GradientResult<T> result;
            Gradients<T> places = problem.make_places(result);
            const Parameters<T> parameters = Problem<T>::view(problem.parameters);
            const std::vector<T> y_bar(static_cast<std::size_t>(problem.n_outputs()), T(1));
            Team team(2, {});
            const auto run = [&] {
                sweep->value_and_gradient(parameters, problem.x.data(), problem.target(), places,
                                          team);
            };
            counts[which][0] = count_allocations(run);
            counts[which][1] = count_allocations(run);
            counts[which][2] = count_allocations(
                [&] { sweep->vjp(parameters, problem.x.data(), y_bar.data(), places, team); });
        }
        const char* const calls[] = {"first gradient", "second gradient", "vjp"};
        for (const int call : {0, 1, 2}) {
            EXPECT_EQ(counts[0][call], counts[1][call])
                << c.name << ", " << calls[call] << ": " << counts[0][call]
                << " allocations for 10 layers, " << counts[1][call] << " for 1000";
        }
        EXPECT_EQ(counts[0][1], 0) << c.name << ": a sweep that ran before allocates again";
    }
}

TYPED_TEST(AllocationTest, ForwardAndTangentAllocateTheSameForTenAndAThousandLayers) {
    using T = TypeParam;
    for (const Case& c : kCases) {
        std::int64_t counts[2][2];
        for (const int which : {0, 1}) {
            const Problem<T> problem(config_of(c, which == 0 ? 10 : 1000), 1, {});
            const Parameters<T> parameters = Problem<T>::view(problem.parameters);
            const Arrays<T> dot = problem.direction();
            const Parameters<T> parameters_dot = Problem<T>::view(dot);
            std::vector<T> y(static_cast<std::size_t>(problem.n_outputs()));
            Team team(2, {});
            const auto forward =
                make_sweep<T>(problem.config, problem.request(SweepKind::forward, 2));
            counts[which][0] = count_allocations(
                [&] { forward->forward(parameters, problem.x.data(), y.data(), false, team); });
            const auto tangent =
                make_sweep<T>(problem.config, problem.request(SweepKind::tangent, 2));
            counts[which][1] = count_allocations([&] {
                tangent->jvp(parameters, parameters_dot, problem.x.data(), nullptr, y.data(), team);
            });
        }
        const char* const calls[] = {"forward", "jvp"};
        for (const int call : {0, 1}) {
            EXPECT_EQ(counts[0][call], counts[1][call])
                << c.name << ", " << calls[call] << ": " << counts[0][call]
                << " allocations for 10 layers, " << counts[1][call] << " for 1000";
        }
    }
}

TYPED_TEST(AllocationTest, DescentAllocatesTheSameForTenAndAThousandSteps) {
    using T = TypeParam;
    const double no_limit = std::numeric_limits<double>::infinity();
    for (const Case& c : kCases) {
        if (c.is_tiled) continue;  // slow, and the same loop
        const Problem<T> problem(config_of(c, 4), 3, {});
        DescentProblem<T> setup;
        setup.objective.config = problem.config;
        setup.objective.request = problem.request(SweepKind::gradient, 1);
        setup.objective.request.wants_input = false;
        setup.start = Problem<T>::view(problem.parameters);
        for (const T* start : setup.start) setup.bounds.emplace_back(start, start);
        setup.objective.x = setup.x_validation = problem.x.data();
        setup.objective.target = setup.target_validation = problem.target();
        setup.objective.penalties = {{PenaltyKind::l2, 1e-3, 0},
                                     {PenaltyKind::smoothness, 1e-3, 1}};
        if (c.is_dense) setup.objective.penalties.pop_back();
        setup.n_validation = problem.batch;
        for (const StepRule rule : kStepRules) {
            if (rule == StepRule::external) continue;
            const bool is_search = traits_of(rule).is_search;
            setup.objective.batch_size = is_search ? 0 : 2;
            if (is_search) setup.bounds.clear();  // where nothing can move, searches end
            DescentOptions options;
            options.rule = rule;
            options.rates.assign(problem.arrays.size(), 1e-6);
            options.settings.momentum = rule == StepRule::fixed ? 0.5 : 0.0;
            options.n_steps = 5000;
            std::int64_t counts[2];
            for (const int which : {0, 1}) {
                Descent<T> descent(setup, options);
                Team team(1, {});
                counts[which] = count_allocations(
                    [&] { descent.advance(which == 0 ? 10 : 1000, no_limit, team); });
            }
            EXPECT_EQ(counts[0], counts[1])
                << c.name << ", rule " << static_cast<int>(rule) << ": " << counts[0]
                << " allocations for 10 steps, " << counts[1] << " for 1000";
        }
    }
}

}  // namespace
}  // namespace relaxon
