// Long calls without the GIL. Ctrl-C inside them: the core polls, and at most every 50 ms Python is
// asked for signals. Where the interpreter ends beside them (daemon threads), they never return.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <exception>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include "relaxon/base/parallel.hpp"

namespace relaxon::python {

inline bool is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

// Made with the GIL, which its thread is without until restore().
class Released {
public:
    // The GIL again. In threads that outlive the interpreter, Python before 3.14 ends the thread
    // that asks for it: its stack would be unwound, or vanish under the workers. Instead it waits
    // for the end of the process, as from 3.14 on.
    void restore() const {
        if (is_finalizing() && !is_part_of_the_end_) wait_for_the_end();
#ifdef __GLIBCXX__
        try {
            PyEval_RestoreThread(state_);
        } catch (abi::__forced_unwind&) {
            wait_for_the_end();
        }
#else
        PyEval_RestoreThread(state_);
#endif
    }

    // Whether a signal's handler has raised something.
    bool has_signal() const {
        restore();
        const bool found = PyErr_CheckSignals() != 0;
        PyEval_SaveThread();
        return found;
    }

private:
    [[noreturn]] static void wait_for_the_end() {
        while (true) std::this_thread::sleep_for(std::chrono::hours(1));
    }

    const bool is_part_of_the_end_ = is_finalizing();  // a call by the thread that ends Python
    PyThreadState* const state_ = PyEval_SaveThread();
};

class SignalWatch {
public:
    explicit SignalWatch(const Released& released) : released_(released) {}

    StopToken token() { return {&SignalWatch::look, this}; }

private:
    using Clock = std::chrono::steady_clock;

    static bool look(void* context) {
        auto* watch = static_cast<SignalWatch*>(context);
        const auto now = Clock::now();
        if (now - watch->last_ < std::chrono::milliseconds(50)) return false;
        watch->last_ = now;
        return watch->released_.has_signal();
    }

    const Released& released_;
    Clock::time_point last_ = Clock::now();
};

// Runs `work(team)` without the GIL; a signal handler's exception comes out as itself.
template <class Work>
auto run_released(int n_threads, const Work& work) {
    using Result = decltype(work(std::declval<Team&>()));
    if constexpr (std::is_void_v<Result>) {
        run_released(n_threads, [&](Team& team) {
            work(team);
            return true;
        });
    } else {
        std::optional<Result> result;
        std::exception_ptr failure;
        Released released;
        try {
            SignalWatch watch(released);
            Team team(n_threads, watch.token());
            result.emplace(work(team));
        } catch (...) {
            failure = std::current_exception();
        }
        released.restore();
        try {
            if (failure) std::rethrow_exception(failure);
        } catch (const Interrupted&) {
            throw pybind11::error_already_set();
        }
        return *std::move(result);
    }
}

}  // namespace relaxon::python
