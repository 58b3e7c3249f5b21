// Checkpoint schedules: which states of z_{k+1} = layer_k(z_k), k = 0..l-1, a reverse sweep keeps
// and which it computes again, as data: a sequence of actions over integers.
//
// With c snapshots besides the input z_0, and m = c + 1, no schedule needs fewer advances than
//
//     t(l, c) = r l - C(m + r, m + 1),   r least with C(m + r, m) >= l     (c = 0: l (l - 1) / 2)
//
// and none here needs more. r is the repetition: no layer is advanced over more than r times.
// From a state with l layers ahead and m - 1 free snapshots, all split points s with
//
//     C(m+r-2, m) <= s <= C(m+r-1, m)   and   C(m+r-2, m-1) <= l - s <= C(m+r-1, m-1)
//
// reach t. The one taken is the s nearest to l - C(m+r-2, m-1) - C(m+r-3, m-2) in the first
// interval: among the schedules with t advances it also copies the fewest states into snapshots.
//
// A. Griewank and A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000) 19-45.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace relaxon {

enum class ActionKind { advance, store, restore, reverse, done };

// One thing to do; the working state is the one state a sweep computes in, at first z_0.
//
//   kind     step  end_or_slot   meaning
//   advance  a     b             the working state goes from z_a to z_b, b > a
//   store    k     slot          the working state, z_k, is copied into the slot
//   restore  k     slot          the working state becomes z_k, read from the slot
//   reverse  k     k + 1         the adjoint goes from k + 1 to k; the working state is z_k
//   done     0     0             every layer is reversed
//
// reverse consumes the working state: the action after it is a restore, or done, so the caller
// may overwrite that memory while it reverses. A slot keeps its state over restores until it is
// stored into again.
struct Action {
    ActionKind kind;
    std::int64_t step;
    std::int64_t end_or_slot;
};

// The slot of the input, which every restore of step 0 names; it is never stored into.
inline constexpr std::int64_t input_slot = -1;

// Up to this length every product below fits in 63 bits.
inline constexpr std::int64_t max_schedule_steps = 2147483647;

namespace detail {

inline void check_schedule(std::int64_t n_steps, std::int64_t n_snapshots) {
    if (n_steps < 1 || n_steps > max_schedule_steps) {
        throw std::invalid_argument("n_steps must lie in 1.." + std::to_string(max_schedule_steps) +
                                    ", got " + std::to_string(n_steps));
    }
    if (n_snapshots < 0) {
        throw std::invalid_argument("n_snapshots must not be negative, got " +
                                    std::to_string(n_snapshots));
    }
}

// r, least with C(m + r, m) >= n_steps, and C(m + r - 1, m), the most steps that r - 1 repetitions
// reverse (0 if r = 0).
struct Repetition {
    std::int64_t count;
    std::int64_t n_steps_below;
};

// O(r), with r <= sqrt(2 n_steps) since 2 <= m <= n_steps. The division is exact, and the product
// fits because its first factor is below n_steps and its second below 2 max_schedule_steps.
inline Repetition find_repetition(std::int64_t n_steps, std::int64_t m) noexcept {
    Repetition r{0, 0};
    for (std::int64_t reached = 1; reached < n_steps;) {
        ++r.count;
        r.n_steps_below = reached;
        reached = reached * (m + r.count) / r.count;
    }
    return r;
}

}  // namespace detail

// r of the formula above: how often the most repeated layer is advanced over. O(r) if
// n_snapshots > 0, else O(1).
inline std::int64_t repetition(std::int64_t n_steps, std::int64_t n_snapshots) {
    detail::check_schedule(n_steps, n_snapshots);
    if (n_snapshots == 0 || n_steps == 1) {
        return n_steps - 1;
    }
    return detail::find_repetition(n_steps, std::min(n_snapshots, n_steps - 1) + 1).count;
}

// t of the formula above: the steps advanced over by a whole schedule. The evaluation of a layer
// inside its reversal is not an advance. Cost as repetition.
inline std::int64_t minimal_advances(std::int64_t n_steps, std::int64_t n_snapshots) {
    detail::check_schedule(n_steps, n_snapshots);
    if (n_snapshots == 0 || n_steps == 1) {
        return n_steps * (n_steps - 1) / 2;
    }
    const std::int64_t m = std::min(n_snapshots, n_steps - 1) + 1;
    const detail::Repetition r = detail::find_repetition(n_steps, m);
    // C(m + r, m + 1), from C(m + r - 1, m).
    const std::int64_t saved = r.n_steps_below * (m + r.count) / (m + 1);
    return r.count * n_steps - saved;
}

// Generates the actions that reverse n_steps layers with n_snapshots slots, numbered from 0.
//
// From n_snapshots >= n_steps - 1 on it stores everything: z_1..z_{n_steps-1} go to slots
// 0..n_steps-2 during one forward pass by single steps, and every reversal restores first. The last
// of these states is stored too, though the first reversal could take it from the working state:
// so a caller can compute each state in its slot and copy none.
//
// Slots are filled and freed as a stack, so the steps they hold are all the state there is; it
// lies in memory of the caller, and no member function allocates.
class Schedule {
public:
    // The integers a schedule needs: never more than n_snapshots.
    static std::int64_t storage_length(std::int64_t n_steps, std::int64_t n_snapshots) {
        detail::check_schedule(n_steps, n_snapshots);
        return n_snapshots < n_steps - 1 ? n_snapshots : 0;
    }

    // storage: storage_length(n_steps, n_snapshots) integers that outlive the schedule and belong
    // to it alone; it may be null if that length is 0, and its content does not matter.
    Schedule(std::int64_t n_steps, std::int64_t n_snapshots, std::int64_t* storage)
        : slot_steps_(storage), n_snapshots_(n_snapshots), end_(n_steps) {
        if (storage_length(n_steps, n_snapshots) > 0 && storage == nullptr) {
            throw std::invalid_argument("storage must not be null where storage_length > 0");
        }
        stores_all_ = n_snapshots >= n_steps - 1;
    }

    // Two schedules on one storage would overwrite each other's stack.
    Schedule(const Schedule&) = delete;
    Schedule& operator=(const Schedule&) = delete;
    Schedule(Schedule&&) noexcept = default;
    Schedule& operator=(Schedule&&) noexcept = default;

    // The next action; `done` for ever once all layers are reversed. O(1), but O(repetition) where
    // a split point is chosen, which is at most once per layer.
    Action next() noexcept {
        if (end_ == 0) {
            return {ActionKind::done, 0, 0};
        }
        if (is_filling()) {
            return fill();
        }
        const std::int64_t top = top_step();
        if (position_ == consumed) {
            position_ = top;
            return {ActionKind::restore, top, n_stored_ - 1};
        }
        if (position_ == end_ - 1) {
            return reverse();
        }
        if (position_ > top) {
            slot_steps_[n_stored_] = position_;
            return {ActionKind::store, position_, n_stored_++};
        }
        position_ = split(top);
        return {ActionKind::advance, top, position_};
    }

private:
    static constexpr std::int64_t consumed = -1;

    // The forward pass of a schedule that stores everything, where slot k holds step k + 1.
    bool is_filling() const noexcept { return stores_all_ && end_ > n_stored_ + 1; }

    Action fill() noexcept {
        if (position_ == n_stored_) {
            ++position_;
            return {ActionKind::advance, n_stored_, position_};
        }
        const Action action{ActionKind::store, position_, n_stored_++};
        if (!is_filling()) {
            position_ = consumed;
        }
        return action;
    }

    // The last step with a snapshot; as slots are a stack, the nearest one before any reversal.
    std::int64_t top_step() const noexcept {
        if (n_stored_ == 0) {
            return 0;
        }
        return stores_all_ ? n_stored_ : slot_steps_[n_stored_ - 1];
    }

    Action reverse() noexcept {
        --end_;
        position_ = consumed;
        if (top_step() == end_ && n_stored_ > 0) {
            --n_stored_;
        }
        return {ActionKind::reverse, end_, end_ + 1};
    }

    // Where to leave the next snapshot when reversing top..end_, with the working state at top.
    std::int64_t split(std::int64_t top) const noexcept {
        const std::int64_t n_steps = end_ - top;
        // A snapshot beyond one per state ahead serves nothing; so bounded, products fit.
        const std::int64_t n_free = std::min(n_snapshots_ - n_stored_, n_steps - 1);
        if (n_free == 0) {
            return end_ - 1;
        }
        const std::int64_t m = n_free + 1;
        const detail::Repetition r = detail::find_repetition(n_steps, m);
        const std::int64_t most = r.n_steps_below;
        // C(m + r - 2, m - 1) and C(m + r - 3, m - 2); by Pascal's rule C(m + r - 2, m) is the
        // difference of the first two.
        const std::int64_t ahead = most * m / (m + r.count - 1);
        const std::int64_t ahead_next = ahead * (m - 1) / (m + r.count - 2);
        const std::int64_t least = std::max<std::int64_t>(1, most - ahead);
        return top + std::clamp(n_steps - ahead - ahead_next, least, most);
    }

    std::int64_t* slot_steps_;   // step held by each filled slot; unused if stores_all_
    std::int64_t n_snapshots_;   // c
    std::int64_t n_stored_ = 0;  // slots filled
    std::int64_t position_ = 0;  // step of the working state, or consumed
    std::int64_t end_;           // steps 0..end_-1 are still to be reversed
    bool stores_all_ = false;
};

}  // namespace relaxon
