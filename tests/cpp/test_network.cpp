// Whole sweeps: small fields as a whole, large ones in tiles, and free matrices.
#include "relaxon/sweeps/make_sweep.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "networks.hpp"
#include "problem.hpp"
#include "relaxon/sweeps/stencil/tiling.hpp"

namespace relaxon {
namespace {

template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const std::string& what) {
    ASSERT_EQ(a.size(), b.size()) << what;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(T)), 0)
            << what << ", entry " << i << ": " << a[i] << " and " << b[i];
    }
}

template <class T>
void expect_same_bits(const GradientResult<T>& a, const GradientResult<T>& b,
                      const std::vector<ParameterArray>& arrays, const std::string& what) {
    expect_same_bits<double>({a.loss}, {b.loss}, what + ", loss");
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        expect_same_bits(a.bars[i], b.bars[i], what + ", " + arrays[i].name);
    }
    expect_same_bits(a.x_bar, b.x_bar, what + ", input");
}

template <class T>
class NetworkTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(NetworkTest, Precisions);

TYPED_TEST(NetworkTest, CasesAreTiledAsTheySay) {
    for (const Case& c : cases()) {
        const auto op = config_of(c).op->template stencil<TypeParam>(*config_of(c).grid);
        const Tiling tiling =
            choose_tiling(config_of(c), op->radius(), static_cast<int>(op->arms().size()), 1,
                          static_cast<std::int64_t>(sizeof(TypeParam)));
        EXPECT_EQ(!tiling.is_whole(), c.is_tiled) << c.name << ": " << tiling.n_tiles << " tiles";
    }
}

// A bundle of 1, 2 or 4 fields without lanes takes so many times the memory of one, with lanes it
// does not. Segments are longer than a layer and shorter than half the network.
TYPED_TEST(NetworkTest, LanesAndSegmentsAreUsedWhereTheNameSaysSo) {
    using T = TypeParam;
    const auto plan_of = [](const Named& network) {
        const Problem<T> problem(network.config, network.batch, network.at);
        return plan_sweep<T>(network.config, problem.request(SweepKind::gradient, 1));
    };
    for (const Named& network : laned_networks()) {
        const Plan plan = plan_of(network);
        const Plan alone = plan_of({network.name, network.config, 1, network.at});
        for (const std::int64_t bundle : {1, 2, 4}) {
            EXPECT_NE(plan.state_bytes, bundle * alone.state_bytes) << network.name;
        }
    }
    for (const Named& network : bundled_networks()) {
        const Plan alone = plan_of({network.name, network.config, 1, network.at});
        EXPECT_EQ(plan_of(network).state_bytes, 4 * alone.state_bytes) << network.name;
    }
    const Named deep = networks().back();
    EXPECT_GT(plan_of(deep).segment, 1) << deep.name;
    EXPECT_LT(2 * plan_of(deep).segment, deep.config.depth()) << deep.name;
}

// With all_layers each layer is a step of its own; without, tiles run whole segments of layers in
// their own memory.
TYPED_TEST(NetworkTest, SegmentsGiveTheBitsOfSingleLayers) {
    for (const Named& network : networks()) {
        if (network.config.readout) continue;  // its output is no state
        const Problem<TypeParam> problem(network.config, network.batch, network.at);
        const std::vector<TypeParam> states = problem.forward(true, 1);
        const auto n = static_cast<std::ptrdiff_t>(network.config.grid->n_cells());
        const std::ptrdiff_t depth = network.config.depth();
        std::vector<TypeParam> last;
        for (std::ptrdiff_t sample = 0; sample < network.batch; ++sample) {
            const auto begin = states.begin() + (sample * (depth + 1) + depth) * n;
            last.insert(last.end(), begin, begin + n);
        }
        for (const int n_threads : {1, 3}) {
            expect_same_bits(last, problem.forward(false, n_threads), network.name);
        }
    }
}

TYPED_TEST(NetworkTest, GradientHasTheSameBitsForEveryBudgetAndThreadCount) {
    for (const Named& network : networks()) {
        const Problem<TypeParam> problem(network.config, network.batch, network.at);
        const GradientResult<TypeParam> expected = problem.gradient(1, -1);
        const Plan all =
            plan_sweep<TypeParam>(network.config, problem.request(SweepKind::gradient, 1));
        const std::int64_t least = all.minimum_bytes;
        struct Setting {
            int n_threads;
            std::int64_t snapshots;  // that the budget has room for with one thread; -1: most
        };
        for (const Setting setting : {Setting{1, 0}, {1, 2}, {2, -1}, {2, 1}, {3, 0}}) {
            SweepRequest request = problem.request(SweepKind::gradient, setting.n_threads);
            request.memory_bytes = plan_sweep<TypeParam>(network.config, request).minimum_bytes;
            request.memory_bytes += setting.snapshots < 0 ? all.total_bytes - least
                                                          : setting.snapshots * all.state_bytes;
            const std::string what = network.name + ", " + std::to_string(setting.n_threads) +
                                     " threads, " + std::to_string(request.memory_bytes) + " bytes";
            const GradientResult<TypeParam> result =
                problem.gradient(setting.n_threads, request.memory_bytes);
            expect_same_bits(expected, result, problem.arrays, what);
            const Plan plan = plan_sweep<TypeParam>(network.config, request);
            EXPECT_LE(plan.total_bytes, request.memory_bytes) << what;
            EXPECT_EQ(result.evaluations.advances, plan.evaluations.advances) << what;
            EXPECT_EQ(result.evaluations.reversals, plan.evaluations.reversals) << what;
            EXPECT_EQ(result.evaluations.outputs, plan.evaluations.outputs) << what;
        }
        const SweepRequest too_small = problem.request(SweepKind::gradient, 1, least - 1);
        EXPECT_THROW(make_sweep<TypeParam>(network.config, too_small), BudgetError) << network.name;
    }
}

// A sample's states have the same bits whatever shares its layers.
TYPED_TEST(NetworkTest, GradientOfABundleIsTheMeanOverItsSamples) {
    using T = TypeParam;
    std::vector<Named> shared = bundled_networks();
    for (const Named& network : laned_networks()) shared.push_back(network);
    for (const Named& network : implicit_networks()) shared.push_back(network);
    for (const Named& network : shared) {
        const Problem<T> problem(network.config, network.batch, network.at);
        const GradientResult<T> together = problem.gradient(2, -1);
        const std::vector<T> outputs = problem.forward(false, 2);
        const auto n = static_cast<std::ptrdiff_t>(network.config.grid->n_cells());
        const auto n_at = static_cast<std::ptrdiff_t>(network.at.size());
        const auto share = 1.0 / static_cast<double>(network.batch);
        double loss = 0.0;
        std::vector<std::vector<double>> mean;
        for (const std::vector<T>& bar : together.bars) mean.emplace_back(bar.size());
        const double bound = 64 * std::numeric_limits<T>::epsilon();
        for (std::ptrdiff_t sample = 0; sample < network.batch; ++sample) {
            Problem<T> alone(network.config, 1, network.at);
            std::copy_n(problem.x.begin() + sample * n, n, alone.x.begin());
            std::copy_n(problem.y.begin() + sample * n_at * n, n_at * n, alone.y.begin());
            const GradientResult<T> result = alone.gradient(1, -1);
            const std::vector<T> output = alone.forward(false, 1);
            ASSERT_TRUE(std::equal(output.begin(), output.end(), outputs.begin() + sample * n))
                << network.name << ", sample " << sample;
            loss += share * result.loss;
            for (std::size_t i = 0; i < mean.size(); ++i) {
                for (std::size_t k = 0; k < mean[i].size(); ++k) {
                    mean[i][k] += share * result.bars[i][k];
                }
            }
            for (std::ptrdiff_t k = 0; k < n; ++k) {
                const double expected = share * result.x_bar[static_cast<std::size_t>(k)];
                const T found = together.x_bar[static_cast<std::size_t>(sample * n + k)];
                ASSERT_NEAR(found, expected, bound * (share + std::abs(expected)))
                    << network.name << ", sample " << sample << ", cell " << k;
            }
        }
        EXPECT_NEAR(together.loss, loss, 1e-12 * loss) << network.name;
        for (std::size_t i = 0; i < mean.size(); ++i) {
            for (std::size_t k = 0; k < mean[i].size(); ++k) {
                ASSERT_NEAR(together.bars[i][k], mean[i][k], bound * (1.0 + std::abs(mean[i][k])))
                    << network.name << ", " << problem.arrays[i].name << ", entry " << k;
            }
        }
    }
}

// A sample's output is its first state that the layer before hardly moved, whatever the others do.
TYPED_TEST(NetworkTest, SettledSamplesLeaveEarly) {
    using T = TypeParam;
    for (const Named& network : networks()) {
        if (network.config.readout) continue;  // its output is no state
        const Problem<T> problem(network.config, network.batch, network.at);
        const std::vector<T> states = problem.forward(true, 1);
        const std::int64_t n = network.config.grid->n_cells(), depth = network.config.depth();
        const auto state = [&](std::int64_t sample, std::int64_t layer) {
            return states.data() + (sample * (depth + 1) + layer) * n;
        };
        const auto change = [&](std::int64_t sample, std::int64_t layer) {
            double largest = 0.0, size = 1.0;
            for (std::int64_t i = 0; i < n; ++i) {
                const double now = state(sample, layer)[i];
                largest = std::max(largest, std::abs(now - state(sample, layer - 1)[i]));
                size = std::max(size, std::abs(now));
            }
            return largest / size;
        };
        // Between the samples' changes half way, so that some leave there and others do not.
        std::vector<double> middle;
        for (std::int64_t i = 0; i < network.batch; ++i) middle.push_back(change(i, depth / 2));
        std::sort(middle.begin(), middle.end());
        const double some = 1.000001 * middle[middle.size() / 2];
        for (const double tolerance : {0.0, some, 1e9}) {
            const int n_threads = tolerance > 1.0 ? 1 : 3;
            std::vector<T> out(static_cast<std::size_t>(network.batch * n));
            std::vector<std::int64_t> taken(static_cast<std::size_t>(network.batch));
            Team team(n_threads, {});
            make_sweep<T>(network.config, problem.request(SweepKind::forward, n_threads))
                ->settle(problem.view(problem.parameters), problem.x.data(), out.data(), tolerance,
                         taken.data(), team);
            for (std::int64_t i = 0; i < network.batch; ++i) {
                std::int64_t expected = 1;
                while (expected < depth && change(i, expected) > tolerance) ++expected;
                ASSERT_EQ(taken[static_cast<std::size_t>(i)], expected) << network.name;
                ASSERT_TRUE(
                    std::equal(state(i, expected), state(i, expected) + n, out.data() + i * n))
                    << network.name << ", sample " << i;
            }
        }
    }
}

// Two windows of layers, one after the other, are the whole network, forward and backward; a layer
// outside of a window has no gradient.
TYPED_TEST(NetworkTest, WindowsOfLayersMakeUpTheNetwork) {
    using T = TypeParam;
    for (const Named& network : networks()) {
        if (network.config.has_ends() || network.config.drive()) continue;
        Problem<T> problem(network.config, network.batch, network.at);
        Team team(2, {});
        const std::int64_t depth = network.config.depth(), cut = depth / 3;
        const std::vector<T> whole = problem.forward(false, 2);
        const std::vector<T> y_bar = random_values<T>(problem.n_outputs(), 201);
        const GradientResult<T> expected = problem.vjp(y_bar);
        const auto request_of = [&](SweepKind kind, std::int64_t first, std::int64_t end) {
            SweepRequest request = problem.request(kind, 2);
            request.first = first;
            request.end = end;
            request.at = {end};
            return request;
        };
        std::vector<T> middle(problem.x.size()), last(problem.x.size());
        make_sweep<T>(network.config, request_of(SweepKind::forward, 0, cut))
            ->forward(problem.view(problem.parameters), problem.x.data(), middle.data(), false,
                      team);
        make_sweep<T>(network.config, request_of(SweepKind::forward, cut, depth))
            ->forward(problem.view(problem.parameters), middle.data(), last.data(), false, team);
        expect_same_bits(last, whole, network.name + ", output");

        GradientResult<T> upper, lower;
        make_sweep<T>(network.config, request_of(SweepKind::gradient, cut, depth))
            ->vjp(problem.view(problem.parameters), middle.data(), y_bar.data(),
                  problem.make_places(upper), team);
        make_sweep<T>(network.config, request_of(SweepKind::gradient, 0, cut))
            ->vjp(problem.view(problem.parameters), problem.x.data(), upper.x_bar.data(),
                  problem.make_places(lower), team);
        const double bound = 1024 * std::numeric_limits<T>::epsilon();
        const auto expect_near = [&](const std::vector<T>& found, const std::vector<T>& right,
                                     const std::vector<T>* added, const std::string& what) {
            double size = 0.0;
            for (const T value : right) size = std::max(size, std::abs(static_cast<double>(value)));
            for (std::size_t i = 0; i < found.size(); ++i) {
                const double sum = static_cast<double>(found[i]) + (added ? (*added)[i] : T(0));
                ASSERT_NEAR(sum, right[i], bound * size) << network.name << ", " << what;
            }
        };
        expect_near(lower.x_bar, expected.x_bar, nullptr, "input");
        for (std::size_t i = 0; i < problem.arrays.size(); ++i) {
            const ParameterArray& array = problem.arrays[i];
            expect_near(lower.bars[i], expected.bars[i], &upper.bars[i], array.name);
            if (!array.has(Axis::layers)) continue;
            const auto per_layer = static_cast<std::ptrdiff_t>(array.size() / depth);
            const auto is_zero = [](T value) { return value == T(0); };
            EXPECT_TRUE(std::all_of(upper.bars[i].begin(), upper.bars[i].begin() + cut * per_layer,
                                    is_zero))
                << network.name << ", " << array.name;
            EXPECT_TRUE(
                std::all_of(lower.bars[i].begin() + cut * per_layer, lower.bars[i].end(), is_zero))
                << network.name << ", " << array.name;
        }
    }
}

// <y_bar, J v> = <J^T y_bar, v> holds to rounding: both sides are the same sum in another order.
TYPED_TEST(NetworkTest, ForwardAndReverseModeAreTransposes) {
    using T = TypeParam;
    for (const Named& network : networks()) {
        const Problem<T> problem(network.config, network.batch, network.at);
        const std::vector<T> y_bar = random_values<T>(problem.n_outputs(), 201);
        const auto n = static_cast<std::int64_t>(problem.x.size());
        const std::vector<T> x_dot = random_values<T>(n, 202);
        const Arrays<T> dot = problem.direction();
        const std::vector<T> y_dot = problem.jvp(dot, x_dot);
        const GradientResult<T> bars = problem.vjp(y_bar);
        const Grid& grid = *network.config.grid;
        for (std::int64_t i = 0; !network.config.has_ends() && i < n; ++i) {
            if (grid.exists(i % grid.n_cells())) continue;
            EXPECT_EQ(y_dot[static_cast<std::size_t>(i)], T(0)) << network.name;
            EXPECT_EQ(bars.x_bar[static_cast<std::size_t>(i)], T(0)) << network.name;
        }
        const double forward = inner(y_bar, y_dot);
        const double reverse = inner(bars.bars, dot) + inner(bars.x_bar, x_dot);
        const double scale = norm_of(y_bar) * norm_of(y_dot);
        const double epsilon = std::numeric_limits<T>::epsilon();
        EXPECT_NEAR(forward, reverse, 64 * epsilon * scale) << network.name;
        EXPECT_GT(std::abs(forward), 1e-4 * scale) << network.name << ": nothing was compared";
    }
}

// Central differences of step h err by a term in h^2: their error falls by four when h is halved,
// and extrapolated it falls away. Double only: rounding would hide it in float.
TEST(NetworkGradient, AgreesWithExtrapolatedDifferences) {
    using T = double;
    for (const Named& network : networks()) {
        const Problem<T> problem(network.config, network.batch, network.at);
        const GradientResult<T> result = problem.gradient(1, -1);
        EXPECT_EQ(result.loss, problem.loss(problem.parameters, problem.x)) << network.name;
        for (std::size_t which = 0; which <= problem.arrays.size(); ++which) {
            const bool is_input = which == problem.arrays.size();
            const std::string what = network.name + ", " +
                                     (is_input ? std::string("input") : problem.arrays[which].name);
            const std::vector<T> dot =
                is_input ? random_values<T>(static_cast<std::int64_t>(problem.x.size()), 301)
                         : problem.direction()[which];
            const auto difference = [&](double h) {
                double values[2];
                for (const int side : {0, 1}) {
                    Arrays<T> moved = problem.parameters;
                    std::vector<T> x = problem.x;
                    std::vector<T>& changed = is_input ? x : moved[which];
                    for (std::size_t i = 0; i < dot.size(); ++i) {
                        changed[i] += (side == 0 ? -h : h) * dot[i];
                    }
                    values[side] = problem.loss(moved, x);
                }
                return (values[1] - values[0]) / (2.0 * h);
            };
            const double slope =
                is_input ? inner(result.x_bar, dot) : inner(result.bars[which], dot);
            const double coarse = difference(2e-4), fine = difference(1e-4);
            const double extrapolated = (4.0 * fine - coarse) / 3.0;
            EXPECT_NEAR(extrapolated, slope, 1e-8 * result.loss + 1e-7 * std::abs(slope)) << what;
        }
    }
}

TYPED_TEST(NetworkTest, ExtremeFindsTheFirstValueThatIsNoNumber) {
    using T = TypeParam;
    for (const Shape& shape : {Shape{50}, Shape{20000}}) {
        NetworkConfig config;
        config.grid = make_grid(shape, all_axes(shape, kPeriodic, kPeriodic));
        config.op = adr(AdrScheme::central, false, false);
        config.dynamics = Explicit{400};
        Problem<T> problem(config, 1, {});
        for (std::vector<T>& array : problem.parameters)
            std::fill(array.begin(), array.end(), T(0));
        problem.parameters[0][0] = T(1e6);  // R
        problem.parameters.back()[0] = T(1);
        std::fill(problem.x.begin(), problem.x.end(), T(0));
        problem.x[17] = T(1);
        Team team(1, {});
        const auto sweep = make_sweep<T>(config, problem.request(SweepKind::forward, 1));
        const Extreme found =
            sweep->find_extreme(Problem<T>::view(problem.parameters), problem.x.data(), team);
        // Each layer multiplies cell 17 by 1 + 10^6.
        const double digits = std::log10(static_cast<double>(std::numeric_limits<T>::max()));
        EXPECT_FALSE(found.is_finite);
        EXPECT_EQ(found.cell, 17);
        EXPECT_EQ(found.layer, static_cast<std::int64_t>(digits / std::log10(1.0 + 1e6)) + 1);
    }
}

TEST(NetworkStop, InterruptsEverySweepAndLeavesItUsable) {
    for (const Named& network : networks()) {
        const Problem<double> problem(network.config, network.batch, network.at);
        const auto sweep =
            make_sweep<double>(network.config, problem.request(SweepKind::gradient, 2));
        GradientResult<double> result;
        const Gradients<double> places = problem.make_places(result);
        int asked = 0;
        const auto run = [&](Team& team) {
            return sweep->value_and_gradient(Problem<double>::view(problem.parameters),
                                             problem.x.data(), problem.target(), places, team);
        };
        Team stopping(2, {[](void* count) { return ++*static_cast<int*>(count) > 2; }, &asked});
        EXPECT_THROW(run(stopping), Interrupted) << network.name;
        Team going(2, {});
        result.loss = run(going);
        expect_same_bits(problem.gradient(1, -1), result, problem.arrays, network.name);
    }
}

}  // namespace
}  // namespace relaxon
