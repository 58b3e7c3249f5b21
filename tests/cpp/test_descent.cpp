// Descent against steps written out, and its ways to end.
#include "relaxon/training/descent.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "problem.hpp"
#include "relaxon/operators/stencil/adr.hpp"

namespace relaxon {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

NetworkConfig small_config() {
    NetworkConfig config;
    config.grid = make_grid({24}, {{kPeriodic, kPeriodic}});
    config.op = adr(AdrScheme::central, false, false);
    config.dynamics = Explicit{3};
    config.activation = Activation::tanh;
    config.bias = BiasKind::homogeneous;
    return config;
}

// A descent on a small problem, with all that it refers to.
template <class T>
struct Training {
    explicit Training(DescentOptions given, bool has_validation = false,
                      const NetworkConfig& config = small_config(),
                      std::vector<Penalty> penalties = {}, std::int64_t batch_size = 0)
        : problem(config, 4, {}), options(std::move(given)) {
        options.rates.resize(problem.arrays.size(), 0.01);
        setup.objective.config = problem.config;
        setup.objective.request = problem.request(SweepKind::gradient, 1);
        setup.objective.request.wants_input = false;
        setup.objective.x = problem.x.data();
        setup.objective.target = problem.target();
        setup.objective.penalties = std::move(penalties);
        setup.objective.batch_size = batch_size;
        setup.start = Problem<T>::view(problem.parameters);
        if (has_validation) {
            setup.n_validation = 4;
            setup.x_validation = problem.y.data();
            setup.target_validation.y = problem.x.data();
        }
        descent = std::make_unique<Descent<T>>(setup, options);
    }

    // Low bounds on all parameters, 0.01 below the start.
    void bound() {
        for (const std::vector<T>& array : problem.parameters) {
            low.push_back(array);
            high.emplace_back(array.size(), std::numeric_limits<T>::infinity());
            for (T& value : low.back()) value -= T(0.01);
        }
        for (std::size_t i = 0; i < low.size(); ++i) {
            setup.bounds.emplace_back(low[i].data(), high[i].data());
        }
        descent = std::make_unique<Descent<T>>(setup, options);
    }

    DescentStatus advance(std::int64_t n_steps) {
        Team team(1, {});
        return descent->advance(n_steps, kNoLimit, team);
    }

    Arrays<T> parameters() const {
        Arrays<T> copy = problem.parameters;
        std::vector<T*> places;
        for (std::vector<T>& array : copy) places.push_back(array.data());
        descent->copy_parameters(places);
        return copy;
    }

    Problem<T> problem;
    Arrays<T> low, high;
    DescentOptions options;
    DescentProblem<T> setup;
    std::unique_ptr<Descent<T>> descent;
};

DescentOptions options_of(StepRule rule, std::int64_t n_steps) {
    DescentOptions options;
    options.rule = rule;
    options.n_steps = n_steps;
    return options;
}

template <class T>
class DescentTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(DescentTest, Precisions);

TYPED_TEST(DescentTest, FixedStepsAreThoseOfTheFormula) {
    using T = TypeParam;
    DescentOptions options = options_of(StepRule::fixed, 5);
    options.settings.momentum = 0.75;
    options.rates = {0.02, 0.01, 0.0, 0.03, 0.01};
    Training<T> run(options, false, small_config(), {{PenaltyKind::l2, 0.5, 1}});
    EXPECT_EQ(run.advance(100), DescentStatus::steps);

    Problem<T> by_hand = run.problem;
    Arrays<T> velocity;
    for (const std::vector<T>& array : by_hand.parameters) velocity.emplace_back(array.size());
    for (std::size_t step = 0; step < 5; ++step) {
        GradientResult<T> result = by_hand.gradient(1, -1);
        double penalty = 0.0;
        for (std::size_t i = 0; i < by_hand.parameters[1].size(); ++i) {
            const T p = by_hand.parameters[1][i];
            penalty += 0.5 * p * p;
            result.bars[1][i] += p;
        }
        EXPECT_EQ(run.descent->records()[step].loss, result.loss) << step;
        EXPECT_DOUBLE_EQ(run.descent->records()[step].penalty, penalty) << step;
        double square = 0.0;
        for (const std::vector<T>& bar : result.bars) square += inner(bar, bar);
        square -= inner(result.bars[2], result.bars[2]);  // kept as it is
        EXPECT_NEAR(run.descent->records()[step].gradient_norm, std::sqrt(square),
                    1e-12 * std::sqrt(square));
        for (std::size_t a = 0; a < velocity.size(); ++a) {
            for (std::size_t i = 0; i < velocity[a].size(); ++i) {
                velocity[a][i] = T(0.75) * velocity[a][i] -
                                 static_cast<T>(run.options.rates[a]) * result.bars[a][i];
                by_hand.parameters[a][i] += velocity[a][i];
            }
        }
    }
    const Arrays<T> found = run.parameters();
    EXPECT_EQ(found[2], run.problem.parameters[2]) << "rate 0";
    for (std::size_t a = 0; a < found.size(); ++a) {
        for (std::size_t i = 0; i < found[a].size(); ++i) {
            EXPECT_NEAR(found[a][i], by_hand.parameters[a][i],
                        16 * std::numeric_limits<T>::epsilon());
        }
    }
}

TYPED_TEST(DescentTest, PausesDoNotChangeTheSteps) {
    using T = TypeParam;
    for (const StepRule rule : kStepRules) {
        if (rule == StepRule::external) continue;
        const std::int64_t batch_size = rule == StepRule::adam ? 3 : 0;
        Training<T> whole(options_of(rule, 12), false, small_config(), {}, batch_size);
        Training<T> pieces(options_of(rule, 12), false, small_config(), {}, batch_size);
        EXPECT_EQ(whole.advance(100), DescentStatus::steps);
        DescentStatus status = DescentStatus::running;
        std::int64_t n_records = 0;
        while (status == DescentStatus::running) {
            status = pieces.advance(1);
            n_records += static_cast<std::int64_t>(pieces.descent->records().size());
        }
        EXPECT_EQ(status, DescentStatus::steps);
        EXPECT_EQ(n_records, 12);
        EXPECT_EQ(whole.parameters(), pieces.parameters());
    }
}

TYPED_TEST(DescentTest, ArmijoNeverRises) {
    using T = TypeParam;
    DescentOptions options = options_of(StepRule::armijo, 40);
    options.rates.assign(5, 100.0);  // far too long: the search cuts it back
    Training<T> run(options);
    run.advance(100);
    const std::vector<StepRecord>& records = run.descent->records();
    ASSERT_GT(records.size(), 5u);
    for (std::size_t i = 1; i < records.size(); ++i) {
        EXPECT_LT(records[i].loss, records[i - 1].loss) << i;
    }
}

// One linear layer: the loss is a quadratic form of all parameters but omega.
TEST(Descent, BarzilaiBorweinSolvesAQuadraticFasterThanAFixedRate) {
    NetworkConfig config = small_config();
    config.dynamics = Explicit{1};
    config.activation = Activation::identity;
    std::int64_t n_steps[2];
    for (const StepRule rule : {StepRule::fixed, StepRule::barzilai_borwein}) {
        DescentOptions options = options_of(rule, 100000);
        options.tolerance = 1e-6;
        options.rates = {0.02, 0.02, 0.02, 0.02, 0.0};
        Training<double> run(options, false, config);
        EXPECT_EQ(run.advance(100000), DescentStatus::converged);
        n_steps[rule == StepRule::fixed ? 0 : 1] = run.descent->step();
    }
    EXPECT_LT(4 * n_steps[1], n_steps[0]);
}

TEST(Descent, EndsAtItsTolerance) {
    DescentOptions options = options_of(StepRule::barzilai_borwein, 10000);
    options.tolerance = 1e-3;
    Training<double> run(options);
    EXPECT_EQ(run.advance(10000), DescentStatus::converged);
    EXPECT_LT(run.descent->step(), 10000);
    const double first = run.descent->records().front().gradient_norm;
    const double last = run.descent->records().back().gradient_norm;
    EXPECT_GT(last, 1e-3 * first) << "the step before was already good enough";
    EXPECT_EQ(run.advance(10), DescentStatus::converged);
    EXPECT_TRUE(run.descent->records().empty());
}

// Validation samples that the training loss leads away from.
TEST(Descent, PatienceEndsItAndTheBestIsKept) {
    DescentOptions options = options_of(StepRule::fixed, 10000);
    options.patience = 7;
    Training<double> run(options, true);
    EXPECT_EQ(run.advance(10000), DescentStatus::patience);
    const std::vector<StepRecord>& records = run.descent->records();
    std::size_t best = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
        if (records[i].validation_loss < records[best].validation_loss) best = i;
    }
    EXPECT_EQ(records.size(), best + 7 + 1);
    Arrays<double> kept = run.problem.parameters;
    std::vector<double*> places;
    for (std::vector<double>& array : kept) places.push_back(array.data());
    run.descent->copy_best(places);
    Team team(1, {});
    SweepRequest request = run.problem.request(SweepKind::forward, 1);
    const double loss = make_sweep<double>(run.problem.config, request)
                            ->loss(Problem<double>::view(kept), run.setup.x_validation,
                                   run.setup.target_validation, team);
    EXPECT_EQ(loss, records[best].validation_loss);
}

TYPED_TEST(DescentTest, DivergenceIsSeenAndTheLastNumbersAreKept) {
    using T = TypeParam;
    DescentOptions options = options_of(StepRule::fixed, 1000);
    options.rates.assign(5, 1e30);
    Training<T> run(options);
    EXPECT_EQ(run.advance(1000), DescentStatus::diverged);
    Arrays<T> previous = run.problem.parameters;
    std::vector<T*> places;
    for (std::vector<T>& array : previous) places.push_back(array.data());
    run.descent->copy_previous(places);
    for (const std::vector<T>& array : previous) {
        for (const T value : array) EXPECT_TRUE(std::isfinite(value));
    }
}

TYPED_TEST(DescentTest, FactorsMultiplyTheRate) {
    using T = TypeParam;
    DescentOptions options = options_of(StepRule::fixed, 3);
    options.factors = {1.0, 0.5, 0.0};
    options.rates = {0.02, 0.01, 0.01, 0.01, 0.01};
    Training<T> run(options);
    run.advance(2);
    EXPECT_EQ(run.descent->records()[0].rate, 0.02);
    EXPECT_EQ(run.descent->records()[1].rate, 0.01);
    const Arrays<T> before = run.parameters();
    run.advance(1);
    EXPECT_EQ(run.descent->records()[0].rate, 0.0);
    EXPECT_EQ(run.parameters(), before);
}

TYPED_TEST(DescentTest, EveryRuleStaysWithinItsBounds) {
    using T = TypeParam;
    for (const StepRule rule : kStepRules) {
        if (rule == StepRule::external) continue;
        Training<T> run(options_of(rule, 100));
        run.bound();
        bool has_touched = false;
        while (run.advance(1) == DescentStatus::running) {
            const Arrays<T> found = run.parameters();
            for (std::size_t a = 0; a < found.size(); ++a) {
                for (std::size_t i = 0; i < found[a].size(); ++i) {
                    ASSERT_GE(found[a][i], run.low[a][i]);
                    has_touched = has_touched || found[a][i] == run.low[a][i];
                }
            }
        }
        EXPECT_TRUE(has_touched) << static_cast<int>(rule);
    }
}

// Not a divergence: there is nowhere to go.
TEST(Descent, ASearchThatCannotMoveHasConverged) {
    Training<double> run(options_of(StepRule::armijo, 10));
    for (const double* start : run.setup.start) run.setup.bounds.emplace_back(start, start);
    Descent<double> stuck(run.setup, run.options);
    Team team(1, {});
    EXPECT_EQ(stuck.advance(10, kNoLimit, team), DescentStatus::converged);
}

// One sample has a target that it meets: its batch alone has no gradient.
TEST(Descent, OneQuietBatchIsNotConvergence) {
    DescentOptions options = options_of(StepRule::fixed, 8);
    options.tolerance = 1e-6;
    options.rates.assign(5, 1e-9);
    Training<double> run(options, false, small_config(), {}, 1);
    const std::vector<double> met = run.problem.forward(false, 1);
    std::copy(met.begin(), met.begin() + 24, run.problem.y.begin());
    Descent<double> again(run.setup, run.options);
    Team team(1, {});
    EXPECT_EQ(again.advance(100, kNoLimit, team), DescentStatus::steps);
    std::int64_t n_quiet = 0;
    for (const StepRecord& record : again.records()) {
        if (record.gradient_norm < 1e-6 * again.records()[1].gradient_norm) ++n_quiet;
    }
    EXPECT_EQ(n_quiet, 2) << "once in each of two epochs";
}

TEST(Descent, ValidatesOncePerEpochAndAtTheEnd) {
    Training<double> run(options_of(StepRule::adam, 5), true, small_config(), {}, 2);
    EXPECT_EQ(run.advance(100), DescentStatus::steps);
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(std::isnan(run.descent->records()[i].validation_loss), i % 2 == 1) << i;
    }
}

// The caller's points: here those of a fixed rate.
TYPED_TEST(DescentTest, ExternalPointsAreRecordedLikeSteps) {
    using T = TypeParam;
    Training<T> fixed(options_of(StepRule::fixed, 3), true);
    Training<T> external(options_of(StepRule::external, 3), true);
    std::vector<StepRecord> records;
    Team team(1, {});
    std::vector<double> point, gradient;
    for (const std::vector<T>& array : external.problem.parameters) {
        point.insert(point.end(), array.begin(), array.end());
    }
    gradient.resize(point.size());
    EXPECT_EQ(external.descent->judge(team), DescentStatus::running);
    external.descent->evaluate(point.data(), gradient.data(), team);
    DescentStatus status = DescentStatus::running;
    while (status == DescentStatus::running) {
        const std::vector<double> from = point;
        for (std::size_t i = 0; i < point.size(); ++i) {
            point[i] = static_cast<T>(from[i]) - static_cast<T>(0.01) * static_cast<T>(gradient[i]);
        }
        external.descent->evaluate(point.data(), gradient.data(), team);
        external.descent->accept();
        ASSERT_EQ(external.descent->records().size(), 1u);
        records.push_back(external.descent->records()[0]);
        status = external.descent->judge(team);
    }
    EXPECT_EQ(status, DescentStatus::steps);
    EXPECT_EQ(fixed.advance(100), DescentStatus::steps);
    ASSERT_EQ(records.size(), 3u);
    const double tolerance = 64 * std::numeric_limits<T>::epsilon();
    for (std::size_t i = 0; i < 3; ++i) {
        const StepRecord& expected = fixed.descent->records()[i];
        EXPECT_NEAR(records[i].loss, expected.loss, tolerance * expected.loss);
        EXPECT_NEAR(records[i].validation_loss, expected.validation_loss, tolerance);
        EXPECT_NEAR(records[i].gradient_norm, expected.gradient_norm,
                    tolerance * expected.gradient_norm);
        EXPECT_NEAR(records[i].rate, 0.01, 0.01 * (sizeof(T) == 4 ? 1e-4 : 1e-12));
    }
}

// In the middle of a search: a trial that was not judged is not a step.
TEST(Descent, InterruptionLeavesTheLastStep) {
    for (std::int64_t limit = 0; limit < 60; limit += 7) {
        DescentOptions options = options_of(StepRule::armijo, 1000);
        options.rates.assign(5, 100.0);
        Training<double> run(options), until(options);
        std::int64_t left = limit;
        Team team(1, {[](void* count) { return --*static_cast<std::int64_t*>(count) < 0; }, &left});
        EXPECT_THROW(run.descent->advance(1000, kNoLimit, team), Interrupted);
        if (run.descent->step() > 0) until.advance(run.descent->step());
        EXPECT_EQ(run.parameters(), until.parameters()) << "after " << limit << " looks";
    }
}

// Stops at its nth question, between any two blocks of work.
struct Fuse {
    std::int64_t n_left;

    StopToken token() {
        return {[](void* context) { return static_cast<Fuse*>(context)->n_left-- <= 0; }, this};
    }
};

template <class T>
void resume_elsewhere(const Training<T>& from, Training<T>& to) {
    to.descent->resume(from.descent->progress());
    const std::vector<StateArray<T>> saved = from.descent->state_arrays();
    const std::vector<StateArray<T>> places = to.descent->state_arrays();
    ASSERT_EQ(saved.size(), places.size());
    for (std::size_t i = 0; i < saved.size(); ++i) {
        EXPECT_STREQ(saved[i].name, places[i].name);
        std::copy(saved[i].values, saved[i].values + from.descent->size(), places[i].values);
    }
}

TYPED_TEST(DescentTest, GoesOnElsewhereFromWhereverItWasStopped) {
    using T = TypeParam;
    for (const StepRule rule : kStepRules) {
        if (rule == StepRule::external) continue;
        const bool has_search = traits_of(rule).is_search;
        DescentOptions options = options_of(rule, 7);
        options.settings.momentum = 0.5;
        options.patience = 100;
        // The first trial of a search is much too long.
        options.rates.assign(5, has_search ? 50.0 : 0.01);
        const std::int64_t batch_size = has_search ? 0 : 3;
        const auto make = [&] {
            return std::make_unique<Training<T>>(options, true, small_config(),
                                                 std::vector<Penalty>{}, batch_size);
        };
        const auto whole = make();
        ASSERT_EQ(whole->advance(100), DescentStatus::steps);
        // Stopped after 1, 2, 3, ... questions, again and again.
        for (std::int64_t stride = 1; stride < 12; ++stride) {
            auto run = make();
            std::int64_t n_stops = 0;
            for (DescentStatus status = DescentStatus::running; status == DescentStatus::running;) {
                Fuse fuse{stride + n_stops};
                Team team(1, fuse.token());
                try {
                    status = run->descent->advance(100, kNoLimit, team);
                } catch (const Interrupted&) {
                    ++n_stops;
                    auto next = make();
                    resume_elsewhere(*run, *next);
                    run = std::move(next);
                }
            }
            EXPECT_GT(n_stops, 2);
            EXPECT_EQ(run->descent->step(), 7);
            EXPECT_EQ(run->parameters(), whole->parameters());
            EXPECT_EQ(run->descent->progress().best_validation,
                      whole->descent->progress().best_validation);
        }
    }
}

TYPED_TEST(DescentTest, ReplayedEvaluationsStandForNewOnes) {
    using T = TypeParam;
    Training<T> first(options_of(StepRule::external, 3), true);
    Training<T> second(options_of(StepRule::external, 3), true);
    Team team(1, {});
    first.descent->judge(team);
    second.descent->judge(team);
    const auto n = static_cast<std::size_t>(first.descent->size());
    std::vector<double> gradient(n), point(n, 0.125);
    first.descent->evaluate(point.data(), gradient.data(), team);
    const std::vector<T> slopes(gradient.begin(), gradient.end());
    second.descent->replay(point.data(), slopes.data(), first.descent->trial_value());
    first.descent->accept();
    second.descent->accept();
    first.descent->judge(team);
    second.descent->replay_validation(first.descent->validation_loss());
    second.descent->judge(team);
    EXPECT_EQ(first.parameters(), second.parameters());
    EXPECT_EQ(first.descent->progress().norm, second.descent->progress().norm);
    EXPECT_EQ(first.descent->validation_loss(), second.descent->validation_loss());
}

}  // namespace
}  // namespace relaxon
