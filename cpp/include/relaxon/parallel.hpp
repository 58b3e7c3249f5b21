// Threads: the only file that knows OpenMP. A Team runs numbered tasks; which worker takes which
// task is left open, so tasks must not share sums. Two back ends: OpenMP, and std::thread, which
// also serves a child after fork(), where OpenMP runtimes have lost their threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#ifdef RELAXON_USE_OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define RELAXON_HAS_FORK 1
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

#include "relaxon/error.hpp"

namespace relaxon {

// Asked by the calling thread between blocks of work; true ends the call with Interrupted.
struct StopToken {
    bool (*stop)(void*) = nullptr;
    void* context = nullptr;

    bool asked() const { return stop && stop(context); }
};

// Subnormal numbers count as zero inside sweeps: decaying signals would otherwise slow the
// floating-point units by two orders of magnitude. Restored on leaving.
class FlushToZero {
public:
#if defined(__x86_64__) || defined(_M_X64)
    FlushToZero() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
    ~FlushToZero() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#elif defined(__aarch64__)
    FlushToZero() {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        asm volatile("msr fpcr, %0" : : "r"(saved_ | (1ull << 24)));
    }
    ~FlushToZero() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

private:
    unsigned long long saved_;
#else
    FlushToZero() {}
#endif
public:
    FlushToZero(const FlushToZero&) = delete;
    FlushToZero& operator=(const FlushToZero&) = delete;
};

namespace detail {

// Workers that live as long as one call into the core and sleep between its parallel loops.
class ThreadPool {
public:
    explicit ThreadPool(int n_threads) {
        for (int worker = 1; worker < n_threads; ++worker) {
            threads_.emplace_back([this, worker] { serve(worker); });
        }
    }

    ~ThreadPool() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            closing_ = true;
        }
        wake_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }

    // body(worker) once on every worker; returns when all are done.
    void run(const std::function<void(int)>& body) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            body_ = &body;
            n_running_ = static_cast<int>(threads_.size());
            ++round_;
        }
        wake_.notify_all();
        body(0);
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return n_running_ == 0; });
    }

private:
    void serve(int worker) {
        std::int64_t seen = 0;
        while (true) {
            const std::function<void(int)>* body = nullptr;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return closing_ || round_ != seen; });
                if (closing_) return;
                seen = round_;
                body = body_;
            }
            (*body)(worker);
            const std::lock_guard<std::mutex> lock(mutex_);
            if (--n_running_ == 0) done_.notify_one();
        }
    }

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int)>* body_ = nullptr;
    std::int64_t round_ = 0;
    int n_running_ = 0;
    bool closing_ = false;
};

// True in a process that came out of fork(): set by a handler, read at the start of a call.
inline bool is_forked_child() {
#ifdef RELAXON_HAS_FORK
    static std::atomic<bool> forked{false};
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
    (void)registered;
    return forked;
#else
    return false;
#endif
}

}  // namespace detail

class Team {
public:
    Team(int n_threads, StopToken stop) : n_threads_(n_threads), stop_(stop) {
#ifdef RELAXON_USE_OPENMP
        use_pool_ = detail::is_forked_child();
#endif
    }

    int n_threads() const { return n_threads_; }

    // Between blocks of work: the calling thread asks whether to stop, the others whether one of
    // them has.
    void poll(bool is_calling_thread) const {
        if (is_calling_thread ? stop_.asked() : stopped_.load()) throw Interrupted();
    }

    // task(index, worker) for index = 0..n_tasks-1, on at most `limit` workers. The first exception
    // is carried out of the loop and thrown again; the calling thread polls between its tasks.
    template <class Task>
    void parallel_for(std::int64_t n_tasks, int limit, const Task& task) {
        std::atomic<std::int64_t> next{0};
        stopped_ = false;
        std::exception_ptr failure;
        std::mutex failure_mutex;
        const auto work = [&](int worker) {
            const FlushToZero flush;
            try {
                while (!stopped_) {
                    if (worker == 0) poll(true);
                    const std::int64_t index = next.fetch_add(1);
                    if (index >= n_tasks) break;
                    task(index, worker);
                }
            } catch (...) {
                {
                    const std::lock_guard<std::mutex> lock(failure_mutex);
                    if (!failure) failure = std::current_exception();
                }
                stopped_ = true;
            }
        };
        run_workers(n_workers(n_tasks, limit), work);
        if (failure) std::rethrow_exception(failure);
    }

    template <class Task>
    void parallel_for(std::int64_t n_tasks, const Task& task) {
        parallel_for(n_tasks, n_threads_, task);
    }

private:
    int n_workers(std::int64_t n_tasks, int limit) const {
        const std::int64_t most = limit < n_threads_ ? limit : n_threads_;
        return static_cast<int>(n_tasks < most ? n_tasks : most);
    }

    template <class Work>
    void run_workers(int n, const Work& work) {
        if (n <= 1) {
            work(0);
            return;
        }
        if (use_pool_) {
            if (!pool_) pool_ = std::make_unique<detail::ThreadPool>(n_threads_);
            pool_->run([&](int worker) {
                if (worker < n) work(worker);
            });
            return;
        }
#ifdef RELAXON_USE_OPENMP
#pragma omp parallel num_threads(n)
        work(omp_get_thread_num());
#endif
    }

    int n_threads_;
    StopToken stop_;
    std::atomic<bool> stopped_{false};
    bool use_pool_ = true;
    std::unique_ptr<detail::ThreadPool> pool_;
};

}  // namespace relaxon
