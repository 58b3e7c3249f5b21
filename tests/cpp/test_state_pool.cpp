// The walk through a schedule with states that are numbers: state k of a chain x -> 3 x + k.
#include "relaxon/checkpoint/state_pool.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace relaxon {
namespace {

class Chain {
public:
    Chain(std::int64_t n_steps, std::int64_t n_slots)
        : n_steps_(n_steps), memory_(static_cast<std::size_t>(n_slots) + 3) {
        for (std::size_t i = 0; i < 3; ++i) pool_.scratch[i] = &memory_[i];
        for (std::int64_t slot = 0; slot < n_slots; ++slot) {
            slots_.push_back(&memory_[static_cast<std::size_t>(slot) + 3]);
        }
        pool_.slots = slots_.data();
        restore_input();
        next_ = n_steps;
    }

    void advance(std::int64_t step) {
        double* out = pool_.free_scratch();
        EXPECT_NE(out, pool_.current) << "a layer may not overwrite its input";
        *out = 3.0 * *pool_.current + static_cast<double>(step);
        pool_.current = out;
    }
    void keep(std::int64_t slot) { pool_.keep(slot); }
    void restore(std::int64_t slot) { pool_.restore(slot); }
    void restore_input() {
        double* out = pool_.free_scratch();
        *out = 0.5;
        pool_.current = out;
    }
    void reverse(std::int64_t step) {
        EXPECT_EQ(step, next_ - 1) << "layers are reversed from the last to the first";
        next_ = step;
        EXPECT_EQ(*pool_.current, state(step)) << "state of layer " << step << " of " << n_steps_;
        if (pool_.later) {
            EXPECT_EQ(*pool_.later, state(step + 1)) << "state after layer " << step;
        } else {
            EXPECT_EQ(step + 1, n_steps_) << "only the last layer has no later state yet";
        }
        // The reversal may use the memory that nothing holds.
        *pool_.free_scratch() = -1.0;
        pool_.later = pool_.current;
    }

    std::int64_t next() const { return next_; }

private:
    static double state(std::int64_t step) {
        double value = 0.5;
        for (std::int64_t i = 0; i < step; ++i) value = 3.0 * value + static_cast<double>(i);
        return value;
    }

    std::int64_t n_steps_;
    std::vector<double> memory_;
    std::vector<double*> slots_;
    StatePool<double> pool_;
    std::int64_t next_ = 0;
};

TEST(StatePool, HoldsTheRightStateAtEveryReversal) {
    for (const std::int64_t n_steps : {1, 2, 3, 7, 20, 33}) {
        for (const std::int64_t n_slots : {0, 1, 2, 3, 5, 12, 40}) {
            std::vector<std::int64_t> storage(
                static_cast<std::size_t>(Schedule::storage_length(n_steps, n_slots)));
            Schedule schedule(n_steps, n_slots, storage.data());
            Chain chain(n_steps, n_slots);
            run_schedule(schedule, chain);
            EXPECT_EQ(chain.next(), 0) << n_steps << " steps, " << n_slots << " slots";
        }
    }
}

}  // namespace
}  // namespace relaxon
