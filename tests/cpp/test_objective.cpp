// Loss, penalties and gradient together, over all samples and over mini-batches.
#include "relaxon/training/objective.hpp"

#include <gtest/gtest.h>

#include "problem.hpp"
#include "relaxon/operators/stencil/adr.hpp"

namespace relaxon {
namespace {

NetworkConfig small_config() {
    NetworkConfig config;
    config.grid = make_grid({12}, {{kPeriodic, kPeriodic}});
    config.op = adr(AdrScheme::central, true, false);
    config.dynamics = Explicit{3};
    config.activation = Activation::tanh;
    return config;
}

template <class T>
ObjectiveProblem<T> objective_of(const Problem<T>& problem, std::int64_t batch_size) {
    ObjectiveProblem<T> made;
    made.config = problem.config;
    made.request = problem.request(SweepKind::gradient, 1);
    made.request.wants_input = false;
    made.x = problem.x.data();
    made.target = problem.target();
    made.batch_size = batch_size;
    made.seed = 5;
    return made;
}

template <class T>
std::vector<T> flat(const Arrays<T>& arrays) {
    std::vector<T> values;
    for (const std::vector<T>& array : arrays) {
        values.insert(values.end(), array.begin(), array.end());
    }
    return values;
}

template <class T>
class ObjectiveTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(ObjectiveTest, Precisions);

TYPED_TEST(ObjectiveTest, AllSamplesGiveTheSweepsGradientAndThePenalties) {
    using T = TypeParam;
    const Problem<T> problem(small_config(), 4, {});
    Objective<T> plain(objective_of(problem, 0));
    const std::vector<T> parameters = flat(problem.parameters);
    ASSERT_EQ(plain.size(), static_cast<std::int64_t>(parameters.size()));
    std::vector<T> gradient(parameters.size());
    Team team(1, {});
    const ObjectiveValue value = plain.evaluate(parameters.data(), gradient.data(), team);
    const GradientResult<T> expected = problem.gradient(1, -1);
    EXPECT_EQ(value.loss, expected.loss);
    EXPECT_EQ(value.penalty, 0.0);
    EXPECT_EQ(gradient, flat(expected.bars));

    ObjectiveProblem<T> with_penalty = objective_of(problem, 0);
    with_penalty.penalties = {{PenaltyKind::l2, 0.5, 1}};
    Objective<T> penalized(with_penalty);
    std::vector<T> sum(parameters.size());
    const ObjectiveValue more = penalized.evaluate(parameters.data(), sum.data(), team);
    EXPECT_EQ(more.loss, value.loss);
    EXPECT_NEAR(more.penalty, 0.5 * inner(problem.parameters[1], problem.parameters[1]),
                1e-12 * more.penalty);
    EXPECT_EQ(more.total(), more.loss + more.penalty);
    for (std::int64_t i = 0; i < plain.size(); ++i) {
        const bool is_penalized = i >= plain.offset(1) && i < plain.offset(2);
        EXPECT_EQ(sum[i], gradient[i] + (is_penalized ? parameters[i] : T(0)));
    }
}

// Batches of one epoch, each weighted by its samples, add up to the gradient of all.
TYPED_TEST(ObjectiveTest, BatchesOfAnEpochAddUpToAllSamples) {
    using T = TypeParam;
    const Problem<T> problem(small_config(), 7, {1, 3});
    const std::vector<T> parameters = flat(problem.parameters);
    std::vector<T> all(parameters.size()), batch(parameters.size());
    std::vector<double> sum(parameters.size());
    Team team(1, {});
    const double loss =
        Objective<T>(objective_of(problem, 0)).evaluate(parameters.data(), all.data(), team).loss;
    Objective<T> batches(objective_of(problem, 3));
    EXPECT_EQ(batches.n_batches(), 3);
    double summed_loss = 0.0;
    for (const double size : {3.0, 3.0, 1.0}) {
        const ObjectiveValue value = batches.evaluate(parameters.data(), batch.data(), team);
        summed_loss += size / 7.0 * value.loss;
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += size / 7.0 * batch[i];
        batches.next_batch();
    }
    const double tolerance = 64 * std::numeric_limits<T>::epsilon();
    EXPECT_NEAR(summed_loss, loss, tolerance * loss);
    for (std::size_t i = 0; i < sum.size(); ++i) {
        EXPECT_NEAR(sum[i], all[i], tolerance * norm_of(all));
    }
}

// Inputs x + spread xi: the sweep's value there, its gradients pulled back, and the penalty. Entry
// 5 is a gap that moves with its neighbours 4 and 6, entry 7 stays as it is.
TYPED_TEST(ObjectiveTest, DeviationsOfInputsAreParameters) {
    using T = TypeParam;
    Problem<T> problem(small_config(), 2, {});
    const std::vector<T> parameters = flat(problem.parameters);
    const std::size_t n = problem.x.size();
    std::vector<T> spread(n, T(0.25)), deviations(n);
    for (std::size_t i = 0; i < n; ++i) deviations[i] = static_cast<T>(i % 5) - T(1.5);
    spread[7] = T(0);
    const std::vector<std::int64_t> gaps = {5}, neighbours = {4, 6, -1};
    const std::vector<T> factors = {T(0.5), T(-2), T(9)};

    ObjectiveProblem<T> with_errors = objective_of(problem, 0);
    InputErrors<T>& errors = with_errors.input_errors;
    errors.spread = spread.data();
    errors.strength = 0.5;
    errors.n_gaps = 1;
    errors.n_neighbours = 3;
    errors.gaps = gaps.data();
    errors.neighbours = neighbours.data();
    errors.factors = factors.data();
    const std::vector<T> known = problem.x;  // before it is moved
    with_errors.x = known.data();
    Objective<T> objective(with_errors);
    ASSERT_EQ(objective.size(), static_cast<std::int64_t>(parameters.size() + n));
    ASSERT_EQ(objective.n_arrays(), problem.parameters.size() + 1);
    std::vector<T> point = parameters;
    point.insert(point.end(), deviations.begin(), deviations.end());
    std::vector<T> gradient(point.size()), moved(n);
    Team team(1, {});
    const ObjectiveValue value = objective.evaluate(point.data(), gradient.data(), team);

    double penalty = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        problem.x[i] += spread[i] * deviations[i];
        if (spread[i] > T(0)) penalty += 0.5 * deviations[i] * deviations[i];
    }
    problem.x[5] += T(0.5) * spread[4] * deviations[4];
    problem.x[5] += T(-2) * spread[6] * deviations[6];
    objective.move_inputs(point.data(), moved.data());
    const double tolerance = 8 * std::numeric_limits<T>::epsilon();
    for (std::size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(moved[i], problem.x[i], tolerance * (1.0 + std::abs(problem.x[i]))) << i;
    }
    problem.x = moved;

    const GradientResult<T> expected = problem.gradient(1, -1);
    EXPECT_EQ(value.loss, expected.loss);
    EXPECT_NEAR(value.penalty, penalty, 1e-6 * penalty);
    std::vector<T> wanted = flat(expected.bars);
    std::vector<T> x_bar = expected.x_bar;
    x_bar[4] += T(0.5) * x_bar[5];
    x_bar[6] += T(-2) * x_bar[5];
    for (std::size_t i = 0; i < n; ++i) {
        wanted.push_back(spread[i] > T(0) ? spread[i] * x_bar[i] + deviations[i] : T(0));
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_NEAR(gradient[i], wanted[i], tolerance * (1.0 + std::abs(wanted[i]))) << i;
    }
}

}  // namespace
}  // namespace relaxon
