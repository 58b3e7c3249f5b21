#include "relaxon/checkpoint/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using relaxon::Action;
using relaxon::ActionKind;
using relaxon::minimal_advances;
using relaxon::repetition;
using relaxon::Schedule;

struct Counts {
    std::int64_t advanced = 0;
    std::int64_t stores = 0;
    std::int64_t actions = 0;
    std::int64_t most_slots = 0;
};

// A sweep without layers: states are step numbers, and every use of one that is not there, not the
// one claimed, or not within the limits is an error.
class ToyMachine {
public:
    ToyMachine(std::int64_t n_steps, std::int64_t n_snapshots)
        : adjoint_(n_steps), slots_(static_cast<std::size_t>(std::min(n_snapshots, n_steps))) {}

    // False once an action is wrong; error() then says how.
    bool perform(const Action& action) {
        ++counts_.actions;
        switch (action.kind) {
        case ActionKind::advance:
            return advance(action.step, action.end_or_slot);
        case ActionKind::store:
            return store(action.step, action.end_or_slot);
        case ActionKind::restore:
            return restore(action.step, action.end_or_slot);
        case ActionKind::reverse:
            return reverse(action.step, action.end_or_slot);
        case ActionKind::done:
            return finish();
        }
        return fail("unknown action", action.step, 0);
    }

    const Counts& counts() const { return counts_; }
    const std::string& error() const { return error_; }

private:
    static constexpr std::int64_t nothing = -1;

    struct Slot {
        std::int64_t step = nothing;
        bool was_restored = false;
    };

    bool advance(std::int64_t begin, std::int64_t end) {
        if (working_ != begin)
            return fail("advance from a state that is not there", begin, working_);
        if (end <= begin) return fail("advance that does not advance", begin, end);
        if (end >= adjoint_) return fail("advance past the adjoint", end, adjoint_);
        counts_.advanced += end - begin;
        working_ = end;
        return true;
    }

    bool store(std::int64_t step, std::int64_t slot) {
        if (working_ != step) return fail("store of a state that is not there", step, working_);
        if (slot < 0 || slot >= n_slots()) return fail("store outside the slots", slot, n_slots());
        Slot& target = slots_[static_cast<std::size_t>(slot)];
        if (target.step != nothing && target.step < adjoint_) {
            return fail("store over a snapshot still needed", slot, target.step);
        }
        if (target.step != nothing && !target.was_restored) {
            return fail("snapshot never used", slot, target.step);
        }
        target = Slot{step, false};
        ++counts_.stores;
        counts_.most_slots = std::max(counts_.most_slots, slot + 1);
        return true;
    }

    bool restore(std::int64_t step, std::int64_t slot) {
        if (slot == relaxon::input_slot) {
            if (step != 0) return fail("restore of another step than 0 from the input", step, slot);
        } else {
            if (slot < 0 || slot >= n_slots()) {
                return fail("restore outside the slots", slot, n_slots());
            }
            Slot& source = slots_[static_cast<std::size_t>(slot)];
            if (source.step != step) return fail("restore of another step", step, source.step);
            source.was_restored = true;
        }
        working_ = step;
        return true;
    }

    bool reverse(std::int64_t step, std::int64_t end) {
        if (step != adjoint_ - 1 || end != adjoint_) return fail("reverse", step, adjoint_);
        if (working_ != step) return fail("reverse without its state", step, working_);
        working_ = nothing;
        --adjoint_;
        return true;
    }

    bool finish() {
        if (adjoint_ != 0) return fail("done too early", adjoint_, 0);
        for (const Slot& slot : slots_) {
            if (slot.step != nothing && !slot.was_restored) {
                return fail("snapshot never used", slot.step, 0);
            }
        }
        return true;
    }

    std::int64_t n_slots() const { return static_cast<std::int64_t>(slots_.size()); }

    bool fail(const std::string& what, std::int64_t a, std::int64_t b) {
        error_ = what + " (" + std::to_string(a) + ", " + std::to_string(b) + ")";
        return false;
    }

    std::int64_t working_ = 0;
    std::int64_t adjoint_;
    std::vector<Slot> slots_;
    Counts counts_;
    std::string error_;
};

// The schedule's memory between two guards, so that a write outside it is seen without sanitizers.
class GuardedStorage {
public:
    explicit GuardedStorage(std::int64_t length)
        : memory_(static_cast<std::size_t>(length) + 2, guard) {}

    std::int64_t* data() { return memory_.data() + 1; }
    bool is_intact() const { return memory_.front() == guard && memory_.back() == guard; }

private:
    static constexpr std::int64_t guard = -0x5ca1ab1e;
    std::vector<std::int64_t> memory_;
};

Counts run(std::int64_t n_steps, std::int64_t n_snapshots) {
    SCOPED_TRACE("l = " + std::to_string(n_steps) + ", c = " + std::to_string(n_snapshots));
    GuardedStorage storage(Schedule::storage_length(n_steps, n_snapshots));
    Schedule schedule(n_steps, n_snapshots, storage.data());
    ToyMachine machine(n_steps, n_snapshots);
    // Each advance leads to a store or a reversal, each restore to an advance or a reversal.
    const std::int64_t most_actions = 6 * n_steps + 1;
    Action action{ActionKind::done, 0, 0};
    do {
        action = schedule.next();
        if (!machine.perform(action)) {
            ADD_FAILURE() << machine.error();
            break;
        }
    } while (action.kind != ActionKind::done && machine.counts().actions <= most_actions);
    EXPECT_EQ(action.kind, ActionKind::done);
    EXPECT_EQ(schedule.next().kind, ActionKind::done);
    EXPECT_TRUE(storage.is_intact());
    EXPECT_LE(machine.counts().most_slots, n_snapshots);
    return machine.counts();
}

// advances[c][l] and, among the schedules with that many, the fewest stores, by dynamic
// programming over every split point. A state whose layer is reversed at once needs no snapshot.
class Optimum {
public:
    Optimum(std::int64_t n_steps, std::int64_t n_snapshots)
        : table_(static_cast<std::size_t>(n_snapshots) + 1,
                 std::vector<Cost>(static_cast<std::size_t>(n_steps) + 1)) {
        for (std::size_t c = 0; c < table_.size(); ++c) {
            for (std::size_t l = 2; l < table_[c].size(); ++l) {
                table_[c][l] = best(l, c);
            }
        }
    }

    std::int64_t advances(std::int64_t l, std::int64_t c) const { return at(l, c).first; }
    std::int64_t stores(std::int64_t l, std::int64_t c) const { return at(l, c).second; }

private:
    using Cost = std::pair<std::int64_t, std::int64_t>;

    const Cost& at(std::int64_t l, std::int64_t c) const {
        return table_[static_cast<std::size_t>(c)][static_cast<std::size_t>(l)];
    }

    Cost best(std::size_t l, std::size_t c) const {
        const auto layers = static_cast<std::int64_t>(l);
        Cost least{layers - 1 + table_[c][l - 1].first, table_[c][l - 1].second};
        for (std::size_t s = 1; c > 0 && s + 1 < l; ++s) {
            const Cost& after = table_[c - 1][l - s];
            const Cost& before = table_[c][s];
            least = std::min(least, Cost{static_cast<std::int64_t>(s) + after.first + before.first,
                                         1 + after.second + before.second});
        }
        return least;
    }

    std::vector<std::vector<Cost>> table_;
};

TEST(MinimalAdvances, EqualsDynamicProgramming) {
    const Optimum optimum(64, 14);
    for (std::int64_t c = 0; c <= 14; ++c) {
        for (std::int64_t l = 1; l <= 64; ++l) {
            EXPECT_EQ(minimal_advances(l, c), optimum.advances(l, c)) << "l " << l << " c " << c;
        }
    }
}

TEST(MinimalAdvances, HasKnownValues) {
    EXPECT_EQ(minimal_advances(10, 3), 14);
    EXPECT_EQ(minimal_advances(1, 0), 0);
    EXPECT_EQ(minimal_advances(1, 7), 0);
    EXPECT_EQ(minimal_advances(100, 0), 4950);
    EXPECT_EQ(minimal_advances(100, 98), 99);
    EXPECT_EQ(minimal_advances(100, 97), 100);
    EXPECT_EQ(minimal_advances(100, 1000000), 99);
}

// Lengths C(m + r, m), the last with repetition r, where the closed form is short enough to write.
TEST(MinimalAdvances, IsExactForLongSchedules) {
    const std::int64_t billion = 1000000000;
    EXPECT_EQ(minimal_advances(billion, 0), billion * (billion - 1) / 2);
    EXPECT_EQ(minimal_advances(billion, billion - 2), billion - 1);
    // m = 2, r = 40000: l = (r + 1)(r + 2) / 2, t = r l - (r + 2)(r + 1) r / 6 = 2 r l / 3.
    const std::int64_t triangular = std::int64_t{40001} * 40002 / 2;
    EXPECT_EQ(repetition(triangular, 1), 40000);
    EXPECT_EQ(repetition(triangular + 1, 1), 40001);
    EXPECT_EQ(minimal_advances(triangular, 1), 2 * 40000 * triangular / 3);
    EXPECT_EQ(minimal_advances(triangular + 1, 1) - minimal_advances(triangular, 1), 40001);
    // m = 10^6 + 1: C(m + 1, m) = m + 1 steps in one repetition, beyond them two.
    EXPECT_EQ(repetition(1000002, 1000000), 1);
    EXPECT_EQ(repetition(1000003, 1000000), 2);
    EXPECT_EQ(repetition(billion, 1000000), 2);
    EXPECT_EQ(minimal_advances(billion, 1000000), 2 * billion - 1000003);
    const std::int64_t longest = relaxon::max_schedule_steps;
    EXPECT_EQ(minimal_advances(longest, longest), longest - 1);
    EXPECT_EQ(minimal_advances(longest, std::numeric_limits<std::int64_t>::max()), longest - 1);
    EXPECT_EQ(minimal_advances(longest, 0), longest * (longest - 1) / 2);
}

// One more step costs r more advances, r the repetition of the longer schedule; one more snapshot
// never costs any.
TEST(MinimalAdvances, GrowsByTheRepetition) {
    std::mt19937_64 random(20000101);
    for (int k = 0; k < 2000; ++k) {
        const auto l = static_cast<std::int64_t>(2 + random() % 1000000000);
        const auto c = static_cast<std::int64_t>(random() % (1u << (random() % 20)));
        EXPECT_EQ(minimal_advances(l, c) - minimal_advances(l - 1, c), repetition(l, c))
            << "l " << l << " c " << c;
        EXPECT_GE(minimal_advances(l, c), minimal_advances(l, c + 1)) << "l " << l << " c " << c;
        EXPECT_GE(minimal_advances(l, c), l - 1) << "l " << l << " c " << c;
    }
}

TEST(Schedule, ReversesWithTheFewestAdvancesAndStores) {
    const Optimum optimum(64, 14);
    for (std::int64_t c = 0; c <= 14; ++c) {
        for (std::int64_t l = 1; l <= 64; ++l) {
            const Counts counts = run(l, c);
            EXPECT_EQ(counts.advanced, minimal_advances(l, c)) << "l " << l << " c " << c;
            const std::int64_t stores = c >= l - 1 ? l - 1 : optimum.stores(l, c);
            EXPECT_EQ(counts.stores, stores) << "l " << l << " c " << c;
        }
    }
}

TEST(Schedule, ReversesLongNetworks) {
    const std::vector<std::pair<std::int64_t, std::int64_t>> sizes = {
        {100000, 1},     {100000, 3},     {100000, 20},     {100000, 700}, {100000, 99997},
        {100000, 99998}, {100000, 99999}, {100000, 200000}, {1000000, 50}, {3000, 0},
    };
    for (const auto& [l, c] : sizes) {
        EXPECT_EQ(run(l, c).advanced, minimal_advances(l, c)) << "l " << l << " c " << c;
    }
}

TEST(Schedule, ReversesRandomSizes) {
    std::mt19937_64 random(799);
    for (int k = 0; k < 200; ++k) {
        const auto l = static_cast<std::int64_t>(1 + random() % 5000);
        const auto c = static_cast<std::int64_t>(random() % (1u << (random() % 13)));
        EXPECT_EQ(run(l, c).advanced, minimal_advances(l, c)) << "l " << l << " c " << c;
    }
}

TEST(Schedule, RepeatsNoLayerMoreThanItsRepetition) {
    for (std::int64_t c = 0; c <= 8; ++c) {
        for (std::int64_t l = 1; l <= 64; ++l) {
            std::vector<std::int64_t> storage(
                static_cast<std::size_t>(Schedule::storage_length(l, c)));
            Schedule schedule(l, c, storage.data());
            std::vector<std::int64_t> n_advances(static_cast<std::size_t>(l), 0);
            for (Action a = schedule.next(); a.kind != ActionKind::done; a = schedule.next()) {
                for (auto k = a.step; a.kind == ActionKind::advance && k < a.end_or_slot; ++k) {
                    ++n_advances[static_cast<std::size_t>(k)];
                }
            }
            EXPECT_EQ(*std::max_element(n_advances.begin(), n_advances.end()), repetition(l, c))
                << "l " << l << " c " << c;
        }
    }
}

void expect_next(Schedule& schedule, ActionKind kind, std::int64_t step, std::int64_t end_or_slot) {
    const Action action = schedule.next();
    EXPECT_EQ(action.kind, kind) << "step " << step;
    EXPECT_EQ(action.step, step);
    EXPECT_EQ(action.end_or_slot, end_or_slot) << "step " << step;
}

TEST(Schedule, StoresEverythingWhereItFits) {
    const std::int64_t l = 12;
    for (const std::int64_t c : {l - 1, l, std::int64_t{1000000}}) {
        SCOPED_TRACE("c = " + std::to_string(c));
        Schedule schedule(l, c, nullptr);
        for (std::int64_t k = 0; k < l - 1; ++k) {
            expect_next(schedule, ActionKind::advance, k, k + 1);
            expect_next(schedule, ActionKind::store, k + 1, k);
        }
        for (std::int64_t k = l - 1; k >= 0; --k) {
            expect_next(schedule, ActionKind::restore, k, k - 1);
            expect_next(schedule, ActionKind::reverse, k, k + 1);
        }
        expect_next(schedule, ActionKind::done, 0, 0);
    }
}

TEST(Schedule, StartsAgainFromTheInputWithoutSnapshots) {
    Schedule schedule(3, 0, nullptr);
    expect_next(schedule, ActionKind::advance, 0, 2);
    expect_next(schedule, ActionKind::reverse, 2, 3);
    expect_next(schedule, ActionKind::restore, 0, relaxon::input_slot);
    expect_next(schedule, ActionKind::advance, 0, 1);
    expect_next(schedule, ActionKind::reverse, 1, 2);
    expect_next(schedule, ActionKind::restore, 0, relaxon::input_slot);
    expect_next(schedule, ActionKind::reverse, 0, 1);
    expect_next(schedule, ActionKind::done, 0, 0);
}

TEST(Schedule, ReversesOneLayerFromTheInput) {
    for (const std::int64_t c : {0, 1, 5}) {
        Schedule schedule(1, c, nullptr);
        expect_next(schedule, ActionKind::reverse, 0, 1);
        expect_next(schedule, ActionKind::done, 0, 0);
    }
}

TEST(Schedule, KeepsItsPlaceWhenMoved) {
    std::vector<std::int64_t> storage(2);
    Schedule first(4, 2, storage.data());
    expect_next(first, ActionKind::advance, 0, 1);
    Schedule second(std::move(first));
    expect_next(second, ActionKind::store, 1, 0);
}

TEST(Schedule, NeedsOneIntegerPerSnapshot) {
    EXPECT_EQ(Schedule::storage_length(100000, 0), 0);
    EXPECT_EQ(Schedule::storage_length(100000, 700), 700);
    EXPECT_EQ(Schedule::storage_length(100000, 99998), 99998);
    EXPECT_EQ(Schedule::storage_length(100000, 99999), 0);
    EXPECT_LE(sizeof(Schedule), 8 * sizeof(std::int64_t));
}

TEST(Schedule, RejectsSizesItCannotServe) {
    std::int64_t storage[1] = {0};
    const std::int64_t longest = relaxon::max_schedule_steps;
    const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
    for (const std::int64_t l : {std::int64_t{0}, std::int64_t{-1}, lowest, longest + 1}) {
        EXPECT_THROW(minimal_advances(l, 1), std::invalid_argument) << l;
        EXPECT_THROW(repetition(l, 1), std::invalid_argument) << l;
        EXPECT_THROW(Schedule::storage_length(l, 1), std::invalid_argument) << l;
        EXPECT_THROW(Schedule(l, 1, storage), std::invalid_argument) << l;
    }
    EXPECT_THROW(minimal_advances(5, -1), std::invalid_argument);
    EXPECT_THROW(repetition(5, -1), std::invalid_argument);
    EXPECT_THROW(Schedule::storage_length(5, -1), std::invalid_argument);
    EXPECT_THROW(Schedule(5, -1, storage), std::invalid_argument);
    EXPECT_THROW(Schedule(5, 1, nullptr), std::invalid_argument);
}

}  // namespace
