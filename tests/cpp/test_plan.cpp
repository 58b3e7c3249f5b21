#include "relaxon/checkpoint/plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "relaxon/base/error.hpp"
#include "relaxon/checkpoint/schedule.hpp"

namespace relaxon {
namespace {

TEST(SegmentMap, CoversAllLayersAndStopsAtEveryTarget) {
    const std::vector<std::vector<std::int64_t>> all_at{{1},       {12},   {5, 12},   {12, 5},
                                                        {3, 1, 2}, {0, 7}, {4, 8, 9}, {1, 30, 29}};
    for (const std::vector<std::int64_t>& at : all_at) {
        for (const std::int64_t length : {1, 2, 4, 32}) {
            const SegmentMap segments(at, length);
            const std::int64_t last = *std::max_element(at.begin(), at.end());
            EXPECT_EQ(segments.n_layers(), last);
            EXPECT_EQ(segments.begin(0), 0);
            EXPECT_EQ(segments.begin(segments.n_segments()), last);
            std::vector<std::int64_t> ends{0};
            for (std::int64_t i = 0; i < segments.n_segments(); ++i) {
                const std::int64_t n = segments.begin(i + 1) - segments.begin(i);
                EXPECT_GE(n, 1);
                EXPECT_LE(n, length);
                ends.push_back(segments.begin(i + 1));
            }
            for (const std::int64_t layer : at) {
                EXPECT_NE(std::find(ends.begin(), ends.end(), layer), ends.end())
                    << "layer " << layer << " lies inside a segment";
            }
        }
    }
}

TEST(SegmentMap, TargetOfTheInputAloneHasNoLayers) {
    const SegmentMap segments({0}, 4);
    EXPECT_EQ(segments.n_layers(), 0);
    EXPECT_EQ(segments.n_segments(), 0);
    EXPECT_EQ(segments.begin(0), 0);
}

PlanInput input_of(std::int64_t depth, std::int64_t segment, std::int64_t max_blocks) {
    PlanInput input;
    input.segments = SegmentMap({depth}, segment);
    input.max_blocks = max_blocks;
    input.fixed_bytes = 1000;
    input.block_bytes = 300;
    input.state_bytes = 100;
    input.slot_bytes = 16;
    input.has_gradient = true;
    input.has_output = true;
    return input;
}

TEST(MakePlan, WithoutABudgetStoresEverything) {
    const Plan plan = make_plan(input_of(20, 1, 4));
    EXPECT_TRUE(plan.store_all);
    EXPECT_EQ(plan.n_snapshots, 19);
    EXPECT_EQ(plan.blocks_in_flight, 4);
    EXPECT_EQ(plan.evaluations.advances, 19);
    EXPECT_EQ(plan.evaluations.reversals, 20);
    EXPECT_EQ(plan.evaluations.outputs, 1);
    EXPECT_EQ(plan.total_bytes, 1000 + 4 * (300 + 19 * 116));
}

TEST(MakePlan, RefusesLessThanTheMinimumAndStatesIt) {
    PlanInput input = input_of(20, 1, 4);
    input.memory_bytes = 1299;
    try {
        make_plan(input);
        FAIL() << "a budget that cannot hold the sweep was accepted";
    } catch (const BudgetError& error) {
        EXPECT_EQ(error.minimum_bytes(), 1300);
        EXPECT_NE(std::string(error.what()).find("1300"), std::string::npos) << error.what();
    }
    input.memory_bytes = 1300;
    const Plan plan = make_plan(input);
    EXPECT_EQ(plan.n_snapshots, 0);
    EXPECT_EQ(plan.blocks_in_flight, 1);
    EXPECT_EQ(plan.evaluations.advances, 20 * 19 / 2);
}

TEST(MakePlan, KeepsToEveryBudgetAndCountsByTheClosedForm) {
    for (const std::int64_t depth : {1, 2, 10, 33}) {
        std::int64_t before = -1;
        for (std::int64_t budget = 1300; budget < 9000; budget += 58) {
            PlanInput input = input_of(depth, 1, 1);
            input.memory_bytes = budget;
            const Plan plan = make_plan(input);
            EXPECT_LE(plan.total_bytes, budget);
            EXPECT_EQ(plan.evaluations.advances, minimal_advances(depth, plan.n_snapshots));
            EXPECT_EQ(plan.n_snapshots, std::min(depth - 1, (budget - 1300) / 116));
            EXPECT_EQ(plan.store_all, plan.n_snapshots == depth - 1);
            if (before >= 0) {
                EXPECT_LE(plan.evaluations.total(), before);
            }
            before = plan.evaluations.total();
        }
    }
}

// Of all numbers of blocks in flight, none does fewer evaluations per block and worker.
TEST(MakePlan, SharesTheBudgetAmongBlocksAsWellAsPossible) {
    for (std::int64_t budget = 1300; budget < 20000; budget += 171) {
        PlanInput input = input_of(24, 1, 6);
        input.memory_bytes = budget;
        const Plan plan = make_plan(input);
        EXPECT_LE(plan.total_bytes, budget);
        for (std::int64_t blocks = 1; blocks <= 6; ++blocks) {
            const std::int64_t room = (budget - 1000) / blocks - 300;
            if (room < 0) continue;
            const std::int64_t snapshots = std::min<std::int64_t>(23, room / 116);
            const std::int64_t total = minimal_advances(24, snapshots) + 24 + 1;
            EXPECT_LE(plan.evaluations.total() * blocks, total * plan.blocks_in_flight)
                << budget << " bytes: " << blocks << " blocks would do better";
        }
    }
}

// A reversal of a segment first goes over all its layers but the last.
TEST(CountEvaluations, OfSegmentsWithEverythingStored) {
    const PlanInput input = input_of(22, 5, 1);
    const Evaluations count = count_evaluations(input, 4);
    // Segments end at 5, 10, 15, 20, 22: four are advanced over once, 17 layers within.
    EXPECT_EQ(count.advances, 20 + (22 - 5));
    EXPECT_EQ(count.reversals, 22);
    EXPECT_EQ(count.outputs, 1);
}

TEST(CountEvaluations, OfAForwardSweepAreNone) {
    PlanInput input = input_of(22, 5, 1);
    input.has_gradient = false;
    EXPECT_EQ(count_evaluations(input, 4).total(), 0);
    EXPECT_EQ(make_plan(input).n_snapshots, 0);
}

}  // namespace
}  // namespace relaxon
