#include "relaxon/base/parallel.hpp"

#include <gtest/gtest.h>

#include <cfenv>
#include <limits>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#ifdef RELAXON_HAS_FORK
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#endif

namespace relaxon {
namespace {

void expect_each_task_once(Team& team, int n_threads) {
    for (const std::int64_t n_tasks : {0, 1, 2, 3, 100}) {
        std::vector<std::atomic<int>> done(static_cast<std::size_t>(n_tasks));
        std::atomic<bool> knows_workers{true};
        team.parallel_for(n_tasks, [&](std::int64_t index, int worker) {
            ++done[static_cast<std::size_t>(index)];
            if (worker < 0 || worker >= n_threads) knows_workers = false;
        });
        for (const auto& count : done) EXPECT_EQ(count, 1);
        EXPECT_TRUE(knows_workers);
    }
}

TEST(Team, RunsEachTaskOnce) {
    for (const int n_threads : {1, 2, 3, 7}) {
        Team team(n_threads, {});
        expect_each_task_once(team, n_threads);
    }
}

TEST(Team, KeepsToItsLimitOfWorkers) {
    Team team(4, {});
    std::atomic<int> largest{0};
    team.parallel_for(200, 2, [&](std::int64_t, int worker) {
        int seen = largest;
        while (worker > seen && !largest.compare_exchange_weak(seen, worker)) continue;
    });
    EXPECT_LT(largest, 2);
}

// For ThreadSanitizer: between loops nothing needs an atomic.
TEST(Team, WhatTasksWroteIsThereAfterTheLoop) {
    Team team(2, {});
    std::vector<std::int64_t> squares(64), sums(64);
    const auto with_help = [&](const auto& task) {
        std::atomic<bool> is_helped{false};
        team.parallel_for(64, [&](std::int64_t i, int worker) {
            if (worker > 0) is_helped.store(true, std::memory_order_relaxed);
            while (!is_helped.load(std::memory_order_relaxed)) std::this_thread::yield();
            task(i, static_cast<std::size_t>(i));
        });
    };
    for (std::int64_t round = 0; round < 50; ++round) {
        with_help([&](std::int64_t i, std::size_t at) { squares[at] = (i + round) * (i + round); });
        with_help([&](std::int64_t, std::size_t at) { sums[at] = squares[at] + squares[63 - at]; });
        for (std::int64_t i = 0; i < 64; ++i) {
            const std::int64_t left = i + round, right = 63 - i + round;
            ASSERT_EQ(sums[static_cast<std::size_t>(i)], left * left + right * right);
        }
    }
}

TEST(Team, CarriesExceptionsOutAndGoesOn) {
    for (const int n_threads : {1, 2, 3}) {
        Team team(n_threads, {});
        for (const std::int64_t failing : {0, 7, 999}) {
            EXPECT_THROW(team.parallel_for(1000,
                                           [&](std::int64_t index, int) {
                                               if (index == failing) throw std::bad_alloc();
                                           }),
                         std::bad_alloc);
        }
        // All fail, one is reported.
        EXPECT_THROW(
            team.parallel_for(100, [](std::int64_t, int) { throw std::runtime_error("task"); }),
            std::runtime_error);
        expect_each_task_once(team, n_threads);
    }
}

TEST(Team, TakesNoNewTasksAfterAFailure) {
    Team team(2, {});
    std::atomic<int> n_run{0};
    EXPECT_THROW(team.parallel_for(1000000,
                                   [&](std::int64_t, int) {
                                       ++n_run;
                                       throw std::bad_alloc();
                                   }),
                 std::bad_alloc);
    EXPECT_LE(n_run, 2);
}

TEST(Team, StopTokenInterruptsFromTheCallingThreadOnly) {
    struct Context {
        std::thread::id caller = std::this_thread::get_id();
        int asked = 0;
        bool was_elsewhere = false;
    };
    for (const int n_threads : {1, 2, 3}) {
        Context context;
        const StopToken token{[](void* pointer) {
                                  auto* c = static_cast<Context*>(pointer);
                                  if (std::this_thread::get_id() != c->caller)
                                      c->was_elsewhere = true;
                                  return ++c->asked >= 3;
                              },
                              &context};
        Team team(n_threads, token);
        EXPECT_THROW(
            team.parallel_for(std::numeric_limits<std::int64_t>::max(), [](std::int64_t, int) {}),
            Interrupted);
        EXPECT_EQ(context.asked, 3);
        EXPECT_FALSE(context.was_elsewhere);
    }
}

// Tasks that poll learn of a stop without ending first.
TEST(Team, PollReachesTheOtherWorkers) {
    std::atomic<bool> is_asked{false};
    const StopToken token{
        [](void* pointer) { return static_cast<std::atomic<bool>*>(pointer)->load(); }, &is_asked};
    Team team(2, token);
    EXPECT_THROW(team.parallel_for(2,
                                   [&](std::int64_t index, int worker) {
                                       if (index == 1) is_asked = true;
                                       while (true) {
                                           team.poll(worker == 0);
                                           std::this_thread::yield();
                                       }
                                   }),
                 Interrupted);
}

// Meanwhile the calling thread asks for a stop, which ends a long task of another one.
TEST(Team, PollsWhileItWaits) {
    std::atomic<bool> is_asked{false};
    const StopToken token{
        [](void* pointer) { return static_cast<std::atomic<bool>*>(pointer)->load(); }, &is_asked};
    Team team(2, token);
    std::atomic<int> n_begun{0};
    EXPECT_THROW(team.parallel_for(2,
                                   [&](std::int64_t, int worker) {
                                       ++n_begun;
                                       while (n_begun < 2) std::this_thread::yield();
                                       if (worker == 0) return;
                                       is_asked = true;
                                       while (true) team.poll(false);
                                   }),
                 Interrupted);
}

TEST(Team, SeveralThreadsHaveTheirOwnTeams) {
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 6; ++caller) {
        callers.emplace_back([] {
            for (int call = 0; call < 50; ++call) {
                Team team(3, {});
                expect_each_task_once(team, 3);
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
}

// Threads of earlier calls keep nothing of the mode in which they were made.
TEST(Team, WorkersRoundAsTheirCaller) {
    std::fesetround(FE_UPWARD);
    Team upward(4, {});
    expect_each_task_once(upward, 4);
    const auto count_upward = [](Team& team) {
        std::atomic<int> count{0};
        team.parallel_for(200, [&](std::int64_t, int) {
            const volatile double one = 1.0, tiny = 1e-30;
            if (one + tiny > 1.0) ++count;
        });
        return count.load();
    };
    EXPECT_EQ(count_upward(upward), 200);
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(count_upward(upward), 0);
}

struct Counter {
    static void increment(void* counter, int by) { static_cast<Counter*>(counter)->count += by; }
    std::atomic<int> count{0};
};

void finish(Worker* worker) {
    while (!worker->finish(std::chrono::milliseconds(1000))) continue;
}

TEST(Worker, RunsEachJobOnceUnlessItIsTakenBack) {
    Worker* worker = borrow_worker();
    ASSERT_TRUE(worker);
    Counter counter;
    int n_asked = 0;
    for (int round = 0; round < 2000; ++round) {
        const int before = counter.count;
        worker->start({Counter::increment, &counter, 1});
        if (round % 2 == 0) {
            while (counter.count == before) std::this_thread::yield();
            ++n_asked;
        }
        finish(worker);
        ASSERT_LE(counter.count - before, 1);
    }
    EXPECT_GE(counter.count, n_asked);
    worker->next = nullptr;
    give_back(worker);
}

TEST(Worker, SleepsAndWakes) {
    Worker* worker = borrow_worker();
    ASSERT_TRUE(worker);
    Counter counter;
    for (int round = 0; round < 20; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        worker->start({Counter::increment, &counter, 1});
        while (counter.count <= round) std::this_thread::yield();
        finish(worker);
    }
    EXPECT_EQ(counter.count, 20);
    worker->next = nullptr;
    give_back(worker);
}

TEST(Worker, IsWaitedForInParts) {
    Worker* worker = borrow_worker();
    ASSERT_TRUE(worker);
    struct Gate {
        std::atomic<bool> is_entered{false}, is_open{false};
    } gate;
    worker->start({[](void* pointer, int) {
                       auto* g = static_cast<Gate*>(pointer);
                       g->is_entered = true;
                       while (!g->is_open) std::this_thread::yield();
                   },
                   &gate, 1});
    while (!gate.is_entered) std::this_thread::yield();
    EXPECT_FALSE(worker->finish(std::chrono::milliseconds(1)));
    EXPECT_FALSE(worker->finish(std::chrono::milliseconds(1)));
    gate.is_open = true;
    finish(worker);
    worker->next = nullptr;
    give_back(worker);
}

TEST(FlushToZero, HoldsInsideAndEndsOutside) {
    const double tiny = std::numeric_limits<double>::min();
    const auto half_of = [](double value) {
        const volatile double number = value;
        return number * 0.5;
    };
    EXPECT_GT(half_of(tiny), 0.0);
    {
        const FlushToZero flush;
        EXPECT_EQ(half_of(tiny), 0.0);
        const FlushToZero again;
        EXPECT_EQ(half_of(tiny), 0.0);
    }
    EXPECT_GT(half_of(tiny), 0.0);
    Team team(2, {});
    std::atomic<bool> all_flushed{true};
    team.parallel_for(50, [&](std::int64_t, int) {
        if (half_of(tiny) != 0.0) all_flushed = false;
    });
    EXPECT_TRUE(all_flushed);
    EXPECT_GT(half_of(tiny), 0.0);
}

#ifdef RELAXON_HAS_FORK
// Signals are delivered to the threads of the program.
TEST(Team, WorkersBlockSignals) {
    Team team(2, {});
    std::atomic<int> n_begun{0};
    sigset_t mask;
    team.parallel_for(2, [&](std::int64_t, int worker) {
        ++n_begun;
        while (n_begun < 2) std::this_thread::yield();
        if (worker == 1) pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    });
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1}) {
        EXPECT_TRUE(sigismember(&mask, signal)) << signal;
    }
    EXPECT_FALSE(sigismember(&mask, SIGSEGV));
}

// What a child of fork() does, and what it ends with; its alarm ends it where it hangs.
template <class Body>
int status_of_child(const Body& body) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(body());
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// 0 where a team of that size counts right and, if it should, has help of a thread.
int check_team(int n_threads, bool has_help) {
    Team team(n_threads, {});
    std::atomic<std::int64_t> sum{0};
    std::atomic<bool> is_helped{!has_help};
    team.parallel_for(100, [&](std::int64_t index, int worker) {
        sum += index;
        if (worker > 0) is_helped = true;
        while (!is_helped) std::this_thread::yield();
    });
    return sum == 4950 ? 0 : 1;
}

TEST(Team, WorksInAChildAfterFork) {
    Team parent(2, {});
    expect_each_task_once(parent, 2);
    EXPECT_EQ(status_of_child([] { return check_team(3, true); }), 0);
    EXPECT_EQ(status_of_child([] {
                  check_team(2, true);
                  return status_of_child([] { return check_team(2, true); });
              }),
              0);
    // A team that lived through the fork finds other workers.
    EXPECT_EQ(status_of_child([&] {
                  std::atomic<int> count{0};
                  parent.parallel_for(100, [&](std::int64_t, int worker) {
                      if (worker > 0) count = 100;
                      while (count < 100) std::this_thread::yield();
                  });
                  return count == 100 ? 0 : 1;
              }),
              0);
    expect_each_task_once(parent, 2);
}

TEST(Team, WorksInAChildForkedBesideRunningLoops) {
    std::atomic<bool> is_over{false};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 2; ++caller) {
        callers.emplace_back([&] {
            while (!is_over) {
                Team team(2, {});
                expect_each_task_once(team, 2);
            }
        });
    }
    for (int round = 0; round < 20; ++round) {
        EXPECT_EQ(status_of_child([] { return check_team(2, true); }), 0);
    }
    is_over = true;
    for (std::thread& caller : callers) caller.join();
}

// As a signal's handler may. The child has lost what the other thread was at.
TEST(Team, EndsACallThatForked) {
    struct Fork {
        std::atomic<int> n_begun{0};
        std::atomic<bool> has_happened{false};
        pid_t child = -1;
    } once;
    const StopToken token{[](void* pointer) {
                              auto* fork_once = static_cast<Fork*>(pointer);
                              if (fork_once->n_begun < 2 || fork_once->has_happened) return false;
                              fork_once->child = fork();
                              if (fork_once->child == 0) alarm(60);
                              fork_once->has_happened = true;
                              return false;
                          },
                          &once};
    int result = 1;
    try {
        Team team(2, token);
        team.parallel_for(2, [&](std::int64_t, int worker) {
            ++once.n_begun;
            while (once.n_begun < 2 || (worker > 0 && !once.has_happened)) {
                std::this_thread::yield();
            }
        });
        result = 0;
    } catch (const std::runtime_error&) {
        result = 2;
    }
    if (once.child == 0) _exit(result == 2 ? check_team(2, true) : 3);
    EXPECT_EQ(result, 0);
    int status = -1;
    ASSERT_EQ(waitpid(once.child, &status, 0), once.child);
    ASSERT_TRUE(WIFEXITED(status)) << "the child was ended by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

// The superuser may make as many threads as it likes.
TEST(Team, DoesAloneWhatNoThreadCanBeMadeFor) {
    constexpr int unable = 77;
    const int status = status_of_child([] {
        if (geteuid() == 0 && setuid(65534) != 0) return unable;
        const rlimit none{0, 0};
        if (setrlimit(RLIMIT_NPROC, &none) != 0 || borrow_worker()) return unable;
        return check_team(4, false);
    });
    if (status == unable) GTEST_SKIP() << "this system makes threads all the same";
    EXPECT_EQ(status, 0);
}
#endif

}  // namespace
}  // namespace relaxon
