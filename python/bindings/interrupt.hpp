// Ctrl-C inside long calls: the core polls, and at most every 50 ms Python is asked for signals.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>

#include "relaxon/parallel.hpp"

namespace relaxon::python {

class SignalWatch {
public:
    StopToken token() { return {&SignalWatch::look, this}; }

private:
    using Clock = std::chrono::steady_clock;

    static bool look(void* context) {
        auto* watch = static_cast<SignalWatch*>(context);
        const auto now = Clock::now();
        if (now - watch->last_ < std::chrono::milliseconds(50)) return false;
        watch->last_ = now;
        const pybind11::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0;
    }

    Clock::time_point last_ = Clock::now();
};

// Runs `work(team)` without the GIL; a signal handler's exception comes out as itself.
template <class Work>
auto run_released(int n_threads, const Work& work) {
    SignalWatch watch;
    try {
        const pybind11::gil_scoped_release release;
        Team team(n_threads, watch.token());
        return work(team);
    } catch (const Interrupted&) {
        throw pybind11::error_already_set();
    }
}

}  // namespace relaxon::python
