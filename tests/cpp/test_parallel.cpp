#include "relaxon/parallel.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <new>
#include <stdexcept>
#include <vector>

#ifdef RELAXON_HAS_FORK
#include <sys/wait.h>
#include <unistd.h>
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

TEST(ThreadPool, RunsEveryWorkerInEveryRound) {
    for (const int n_threads : {1, 2, 4}) {
        detail::ThreadPool pool(n_threads);
        std::vector<std::atomic<int>> rounds(static_cast<std::size_t>(n_threads));
        for (int round = 1; round <= 200; ++round) {
            pool.run([&](int worker) { ++rounds[static_cast<std::size_t>(worker)]; });
            for (const auto& count : rounds) EXPECT_EQ(count, round);
        }
    }
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
// The child's alarm ends it where a loop hangs.
TEST(Team, WorksInAChildAfterFork) {
    EXPECT_FALSE(detail::is_forked_child());
    Team parent(2, {});
    expect_each_task_once(parent, 2);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        alarm(60);
        std::atomic<std::int64_t> sum{0};
        Team team(3, {});
        team.parallel_for(100, [&](std::int64_t index, int) { sum += index; });
        _exit(detail::is_forked_child() && sum == 4950 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "the child was ended by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    expect_each_task_once(parent, 2);
}
#endif

}  // namespace
}  // namespace relaxon
