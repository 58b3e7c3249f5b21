// The states a reverse sweep holds, and the walk through a checkpoint schedule. Storing and
// restoring moves pointers, never states.
#pragma once

#include <cstdint>
#include <utility>

#include "relaxon/schedule.hpp"

namespace relaxon {

template <class T>
struct StatePool {
    T* scratch[2] = {};          // states that no slot holds
    T** slots = nullptr;         // snapshots
    const T* current = nullptr;  // the working state: in scratch, in a slot or the caller's

    // Memory for the next state.
    T* free_scratch() const { return scratch[current == scratch[0] ? 1 : 0]; }

    // The slot takes over the memory that the working state lies in and gives its own.
    void keep(std::int64_t slot) { std::swap(scratch[current == scratch[0] ? 0 : 1], slots[slot]); }

    void restore(std::int64_t slot) { current = slots[slot]; }
};

// Stepper: advance(step) from step to step + 1, keep(slot), restore(slot), restore_input(),
// reverse(step).
template <class Stepper>
void run_schedule(Schedule& schedule, Stepper& stepper) {
    while (true) {
        const Action action = schedule.next();
        switch (action.kind) {
        case ActionKind::done:
            return;
        case ActionKind::advance:
            for (std::int64_t i = action.step; i < action.end_or_slot; ++i) stepper.advance(i);
            break;
        case ActionKind::store:
            stepper.keep(action.end_or_slot);
            break;
        case ActionKind::restore:
            if (action.end_or_slot == input_slot) {
                stepper.restore_input();
            } else {
                stepper.restore(action.end_or_slot);
            }
            break;
        case ActionKind::reverse:
            stepper.reverse(action.step);
            break;
        }
    }
}

}  // namespace relaxon
