// Parallel loops: a Team runs numbered tasks on threads that it borrows. Which worker takes which
// task is left open, so tasks must not share sums, and how many take part as well: none waits for
// another, and where no threads can be had, or they are late, the caller runs all tasks itself.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

#include "relaxon/base/error.hpp"
#include "relaxon/base/workers.hpp"

namespace relaxon {

// Asked by the calling thread between blocks of work; true ends the call with Interrupted.
struct StopToken {
    bool (*stop)(void*) = nullptr;
    void* context = nullptr;

    bool asked() const { return stop && stop(context); }
};

// Subnormal numbers count as zero inside sweeps: decaying signals would otherwise slow the
// floating-point units by two orders of magnitude. Restored on leaving. A worker takes over the
// caller's mode, rounding included, whoever's mode its thread was made with.
class FlushToZero {
public:
#if defined(__x86_64__) || defined(_M_X64)
    using Mode = unsigned;
    static Mode mode() { return _mm_getcsr() | 0x8040u; }

private:
    static Mode exchange(Mode mode) {
        const Mode before = _mm_getcsr();
        _mm_setcsr(mode);
        return before;
    }
#elif defined(__aarch64__)
    using Mode = unsigned long long;
    static Mode mode() { return read() | (1ull << 24); }

private:
    static Mode read() {
        Mode mode;
        asm volatile("mrs %0, fpcr" : "=r"(mode));
        return mode;
    }
    static Mode exchange(Mode mode) {
        const Mode before = read();
        asm volatile("msr fpcr, %0" : : "r"(mode));
        return before;
    }
#else
    using Mode = int;
    static Mode mode() { return 0; }

private:
    static Mode exchange(Mode mode) { return mode; }
#endif

public:
    explicit FlushToZero(Mode wanted = mode()) : saved_(exchange(wanted)) {}
    ~FlushToZero() { exchange(saved_); }
    FlushToZero(const FlushToZero&) = delete;
    FlushToZero& operator=(const FlushToZero&) = delete;

private:
    Mode saved_;
};

class Team {
public:
    Team(int n_threads, StopToken stop)
        : n_threads_(n_threads), stop_(stop), n_forks_(relaxon::n_forks()) {}

    ~Team() {
        if (!is_orphan()) give_back(workers_);
    }

    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int n_threads() const { return n_threads_; }

    // Between blocks of work: the calling thread asks whether to stop, the others whether one of
    // them has.
    void poll(bool is_calling_thread) const {
        if (!is_calling_thread) {
            if (stopped_) throw Interrupted();
            return;
        }
        if (stop_.asked()) throw Interrupted();
        // Whoever was asked may have forked. The tasks of the other threads are lost in the child.
        if (n_started_ > 0 && is_orphan()) throw std::runtime_error(kOrphan);
    }

    // task(index, worker) for index = 0..n_tasks-1, on at most `limit` workers. The first exception
    // is carried out of the loop and thrown again; the calling thread polls between its tasks and
    // while it waits. Not to be called from a task.
    template <class Task>
    void parallel_for(std::int64_t n_tasks, int limit, const Task& task) {
        Loop<Task> loop{*this, task, n_tasks};
        stopped_ = false;
        const std::int64_t most = std::min<std::int64_t>(std::min(limit, n_threads_), n_tasks);
        start(static_cast<int>(most) - 1, {Loop<Task>::run, &loop});
        Loop<Task>::run(&loop, 0);
        wait(loop);
        if (loop.failure) std::rethrow_exception(loop.failure);
    }

    template <class Task>
    void parallel_for(std::int64_t n_tasks, const Task& task) {
        parallel_for(n_tasks, n_threads_, task);
    }

private:
    static constexpr const char* kOrphan =
        "this process was forked out of a running call, which only its parent can end";

    struct AnyLoop {
        explicit AnyLoop(Team& owner) : team(owner) {}

        // Of the exceptions that tasks throw, the first.
        void fail() {
            // A fork may have come between the two lines in a thread that does not exist any more.
            if (!has_failed.exchange(true) || team.is_orphan()) failure = std::current_exception();
            team.stopped_ = true;
        }

        Team& team;
        std::atomic<bool> has_failed{false};
        std::exception_ptr failure;
    };

    template <class Task>
    struct Loop : AnyLoop {
        Loop(Team& owner, const Task& body, std::int64_t n)
            : AnyLoop(owner), task(body), n_tasks(n) {}

        static void run(void* loop, int worker) { static_cast<Loop*>(loop)->work(worker); }

        void work(int worker) {
            const FlushToZero flush(mode);
            try {
                while (!this->team.stopped_) {
                    if (worker == 0) this->team.poll(true);
                    const std::int64_t index = n_taken.fetch_add(1);
                    if (index >= n_tasks) break;
                    task(index, worker);
                }
            } catch (...) {
                this->fail();
            }
        }

        const Task& task;
        const std::int64_t n_tasks;
        const FlushToZero::Mode mode = FlushToZero::mode();
        std::atomic<std::int64_t> n_taken{0};
    };

    bool is_orphan() const { return relaxon::n_forks() != n_forks_; }

    void start(int n, Job job);
    void wait(AnyLoop& loop);

    int n_threads_;
    StopToken stop_;
    std::atomic<bool> stopped_{false};
    int n_forks_;
    Worker* workers_ = nullptr;
    int n_workers_ = 0, n_started_ = 0;
};

}  // namespace relaxon
