// The states a reverse sweep holds, and the walk through a checkpoint schedule. Storing and
// restoring moves pointers, never states.
#pragma once

#include <cstdint>
#include <utility>

#include "relaxon/checkpoint/schedule.hpp"

namespace relaxon {

template <class T>
struct StatePool {
    T* scratch[3] = {};          // states that no slot holds
    T** slots = nullptr;         // snapshots
    const T* current = nullptr;  // the working state: in scratch, in a slot or the caller's
    // A reverse sweep keeps the state after the working one too, once it has come by it; with the
    // schedule's order of reversals it always has, but for the last layer of all.
    const T* later = nullptr;

    // Memory for the next state. The third scratch is needed by reverse sweeps only.
    T* free_scratch() const {
        for (T* memory : scratch) {
            if (memory != current && memory != later) return memory;
        }
        return nullptr;
    }

    // The slot takes over the memory that the working state lies in and gives its own.
    void keep(std::int64_t slot) {
        for (T*& memory : scratch) {
            if (memory == current) {
                std::swap(memory, slots[slot]);
                return;
            }
        }
    }

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
