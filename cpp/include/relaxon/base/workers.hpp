// Threads of the process that wait for work: with its source, the only file that knows threads and
// fork(). Whoever computes borrows some for the length of one call and gives them back. Threads are
// made when none is idle, and wait until the process ends, which does not wait for them.
//
// Where the system makes no more threads, borrowers get fewer. A child of fork() has none of its
// parent's threads: it begins without workers, and touches no lock that its parent made.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#if defined(__unix__) || defined(__APPLE__)
#define RELAXON_HAS_FORK 1
#endif

namespace relaxon {

// What a worker does: run(context, number), which throws nothing.
struct Job {
    void (*run)(void* context, int number) = nullptr;
    void* context = nullptr;
    int number = 0;
};

// A thread that waits, and the place where its borrower leaves jobs for it.
class alignas(64) Worker {
public:
    // Null where the system makes no more threads.
    static Worker* make();

    // The thread begins with the job as soon as the system runs it.
    void start(const Job& job);

    // True once the job has ended or, not begun yet, is taken back; false after `limit`.
    bool finish(std::chrono::milliseconds limit);

    Worker* next = nullptr;  // in the list of whoever holds it

private:
    enum State : std::uint32_t {
        idle,     // no job; the thread is awake
        asleep,   // no job
        posted,   // a job that the thread has not begun
        running,  // one that it has
        awaited,  // and the borrower sleeps until it has ended
    };

    void serve();
    void sleep();
    bool launch();

    std::atomic<std::uint32_t> state_{idle};
    Job job_;
    std::mutex mutex_;
    std::condition_variable changed_;  // one of the two waits at a time
};

// An idle worker, or a new one; null where there is neither.
Worker* borrow_worker();

// A list of workers without jobs.
void give_back(Worker* first);

// Generations of fork() that led to this process since the library was loaded. Workers borrowed in
// another one do not exist.
int n_forks();

}  // namespace relaxon
