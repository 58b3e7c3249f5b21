#include "relaxon/base/workers.hpp"

#include <new>

#ifdef RELAXON_HAS_FORK
#include <pthread.h>
#include <signal.h>
#else
#include <exception>
#include <thread>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace relaxon {

namespace {

using Clock = std::chrono::steady_clock;

struct IdleWorkers {
    std::mutex mutex;
    Worker* first = nullptr;
};

// Made when the library is loaded and never destroyed: threads outlive what is destroyed at exit.
// In a child of fork() it is made anew, as another thread may have held the lock.
alignas(IdleWorkers) unsigned char idle_memory[sizeof(IdleWorkers)];
std::atomic<int> fork_count{0};

IdleWorkers& idle_workers() { return *std::launder(reinterpret_cast<IdleWorkers*>(idle_memory)); }

bool prepare() {
    new (idle_memory) IdleWorkers;
#ifdef RELAXON_HAS_FORK
    const auto begin_child = [] {
        new (idle_memory) IdleWorkers;
        ++fork_count;
    };
    return pthread_atfork(nullptr, nullptr, begin_child) == 0;
#else
    return true;
#endif
}

// Before any worker is made, and not at the first call, which a fork may come across.
const bool is_prepared = prepare();

void pause_core() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Whether `state` becomes another one soon; beyond that it is cheaper to sleep. 50 layers of 200
// dense cells, eight samples, two threads (AMD EPYC of two cores, GCC 12, v3, 28 November
// 2026): 4.9 ms without waiting awake, 2.9 ms with 5, 20 or 50 us of it; at a load of
// 12 5.8, 6.2, 7.5 and 8.3 ms, and 5.4, 5.9, 7.1 and 8.0 ms of the processors' time, for 0, 5, 20
// and 50 us.
bool leaves_soon(const std::atomic<std::uint32_t>& state, std::uint32_t value) {
    const auto end = Clock::now() + std::chrono::microseconds(10);
    do {
        for (int i = 0; i < 16; ++i) {
            if (state != value) return true;
            pause_core();
        }
    } while (Clock::now() < end);
    return false;
}

}  // namespace

Worker* Worker::make() {
    auto* worker = new (std::nothrow) Worker;
    if (worker && worker->launch()) return worker;
    delete worker;
    return nullptr;
}

#ifdef RELAXON_HAS_FORK
bool Worker::launch() {
    // What macOS gives a thread. Kernels take less than 32 KiB; 8 MiB, the default elsewhere, would
    // soon fill a limited address space.
    constexpr std::size_t stack_bytes = 512 * 1024;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    // Signals are for the program's own threads, but for those that a thread's faults send to it.
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (const int fault : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP}) {
        sigdelset(&blocked, fault);
    }
    const auto serve = [](void* worker) -> void* {
        static_cast<Worker*>(worker)->serve();
        return nullptr;
    };
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const bool is_made = pthread_create(&thread, &attributes, serve, this) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return is_made;
}
#else
bool Worker::launch() {
    try {
        std::thread([this] { serve(); }).detach();
        return true;
    } catch (const std::exception&) {
        return false;
    }
}
#endif

void Worker::start(const Job& job) {
    job_ = job;
    if (state_.exchange(posted) != asleep) return;
    { const std::lock_guard<std::mutex> lock(mutex_); }  // it holds the lock until it waits
    changed_.notify_one();
}

bool Worker::finish(std::chrono::milliseconds limit) {
    std::uint32_t state = posted;
    if (state_.compare_exchange_strong(state, idle)) return true;
    if (state == running && leaves_soon(state_, running)) return true;
    std::unique_lock<std::mutex> lock(mutex_);
    state = running;
    state_.compare_exchange_strong(state, awaited);
    return changed_.wait_for(lock, limit, [this] { return state_ != awaited; });
}

void Worker::serve() {
    while (true) {
        if (!leaves_soon(state_, idle)) sleep();
        std::uint32_t state = posted;
        if (!state_.compare_exchange_strong(state, running)) continue;  // it was taken back
        job_.run(job_.context, job_.number);
        if (state_.exchange(idle) != awaited) continue;
        { const std::lock_guard<std::mutex> lock(mutex_); }
        changed_.notify_one();
    }
}

void Worker::sleep() {
    std::unique_lock<std::mutex> lock(mutex_);
    std::uint32_t state = idle;
    if (!state_.compare_exchange_strong(state, asleep)) return;
    changed_.wait(lock, [this] { return state_ != asleep; });
}

Worker* borrow_worker() {
    if (!is_prepared) return nullptr;
    IdleWorkers& workers = idle_workers();
    {
        const std::lock_guard<std::mutex> lock(workers.mutex);
        if (Worker* first = workers.first) {
            workers.first = first->next;
            return first;
        }
    }
    return Worker::make();
}

void give_back(Worker* first) {
    if (!first) return;
    Worker* last = first;
    while (last->next) last = last->next;
    IdleWorkers& workers = idle_workers();
    const std::lock_guard<std::mutex> lock(workers.mutex);
    last->next = workers.first;
    workers.first = first;
}

int n_forks() { return fork_count; }

}  // namespace relaxon
