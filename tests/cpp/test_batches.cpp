// The order of samples, which is the same everywhere, and what a batch gathers.
#include "relaxon/training/batches.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "grids.hpp"
#include "relaxon/operators/stencil/adr.hpp"

namespace relaxon {
namespace {

using Indices = std::vector<std::int64_t>;

// The standard's own check of the generator, and an order worked out by hand from its numbers.
TEST(SampleOrder, IsFixedByTheStandardsGenerator) {
    std::mt19937_64 standard;
    standard.discard(9999);
    EXPECT_EQ(standard(), 9981545732273789042ULL);

    SampleOrder order(5, 42);
    order.shuffle();
    Indices expected = {0, 1, 2, 3, 4};
    std::mt19937_64 numbers(42);
    for (std::size_t i = 4; i > 0; --i) std::swap(expected[i], expected[numbers() % (i + 1)]);
    EXPECT_EQ(order.indices(), expected);
}

TEST(SampleOrder, EveryShuffleIsAPermutationAndNoneIsLikelier) {
    SampleOrder order(3, 0);
    std::vector<int> counts(27, 0);
    const int n = 6000;
    for (int i = 0; i < n; ++i) {
        order.shuffle();
        Indices sorted = order.indices();
        counts[static_cast<std::size_t>(9 * sorted[0] + 3 * sorted[1] + sorted[2])] += 1;
        std::sort(sorted.begin(), sorted.end());
        ASSERT_EQ(sorted, (Indices{0, 1, 2}));
    }
    int n_seen = 0;
    for (const int count : counts) {
        if (count == 0) continue;
        n_seen += 1;
        EXPECT_NEAR(count, n / 6, 150) << "five standard deviations";
    }
    EXPECT_EQ(n_seen, 6);
}

TEST(SampleOrder, SeedsDiffer) {
    SampleOrder first(100, 1), second(100, 2), again(100, 1);
    for (SampleOrder* order : {&first, &second, &again}) order->shuffle();
    EXPECT_EQ(first.indices(), again.indices());
    EXPECT_NE(first.indices(), second.indices());
}

// Numbers that tell where they come from: sample, then position.
struct Data {
    explicit Data(std::int64_t n_samples, std::int64_t length) {
        for (std::int64_t sample = 0; sample < n_samples; ++sample) {
            for (std::int64_t i = 0; i < length; ++i) {
                values.push_back(static_cast<double>(100 * sample + i));
            }
        }
    }
    std::vector<double> values;
};

NetworkConfig line_of(std::int64_t n) {
    NetworkConfig config;
    config.grid = make_grid({n}, {{kPeriodic, kPeriodic}});
    config.op = adr(AdrScheme::central, false, false);
    return config;
}

TEST(Batches, RowsStayTogetherAndEachIsSeenOncePerEpoch) {
    const std::int64_t n_samples = 10, n = 4, n_at = 2;
    const Data x(n_samples, n), y(n_samples, n_at * n), weights(n_samples, n_at * n);
    Target<double> target;
    target.y = y.values.data();
    target.weights = weights.values.data();
    target.weights_are_shared = false;
    Batches<double> batches(line_of(n), n_at, n_samples, x.values.data(), target, 3, 7);
    std::vector<Indices> epochs;
    for (int epoch = 0; epoch < 3; ++epoch) {
        Indices seen;
        for (const std::int64_t size : {3, 3, 3, 1}) {
            batches.next();
            ASSERT_EQ(batches.size(), size);
            for (std::int64_t row = 0; row < size; ++row) {
                const double sample = batches.x()[row * n] / 100.0;
                seen.push_back(static_cast<std::int64_t>(sample));
                for (std::int64_t i = 0; i < n; ++i) {
                    EXPECT_EQ(batches.x()[row * n + i], 100.0 * sample + i);
                }
                for (std::int64_t i = 0; i < n_at * n; ++i) {
                    EXPECT_EQ(batches.target().y[row * n_at * n + i], 100.0 * sample + i);
                    EXPECT_EQ(batches.target().weights[row * n_at * n + i], 100.0 * sample + i);
                }
            }
        }
        epochs.push_back(seen);
        std::sort(seen.begin(), seen.end());
        Indices all(n_samples);
        std::iota(all.begin(), all.end(), 0);
        EXPECT_EQ(seen, all);
    }
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(epochs[1], epochs[2]);
}

TEST(Batches, SharedWeightsAreNotGathered) {
    const Data x(5, 4), weights(1, 4);
    Target<double> target;
    target.y = x.values.data();
    target.weights = weights.values.data();
    Batches<double> batches(line_of(4), 1, 5, x.values.data(), target, 2, 0);
    batches.next();
    EXPECT_EQ(batches.target().weights, weights.values.data());
    EXPECT_TRUE(batches.target().weights_are_shared);
}

TEST(Batches, LabelsAndInputsHaveTheLengthOfTheEnds) {
    NetworkConfig config = line_of(4);
    config.lift.width = 2;
    config.readout.width = 3;
    const Data x(6, 2);
    const Indices labels = {0, 1, 2, 3, 4, 5};
    const std::vector<double> weights = {0, 1, 2, 3, 4, 5};
    Target<double> target;
    target.loss.kind = LossKind::cross_entropy;
    target.labels = labels.data();
    target.weights = weights.data();
    target.weights_are_shared = false;
    Batches<double> batches(config, 1, 6, x.values.data(), target, 4, 3);
    batches.next();
    for (std::int64_t row = 0; row < 4; ++row) {
        const std::int64_t label = batches.target().labels[row];
        EXPECT_EQ(batches.x()[2 * row + 1], 100.0 * static_cast<double>(label) + 1.0);
        EXPECT_EQ(batches.target().weights[row], static_cast<double>(label));
    }
}

}  // namespace
}  // namespace relaxon
