#include "relaxon/solvers/bordered_blocks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace relaxon {
namespace {

using Numbers = std::vector<double>;

int triangle(int a, int b) { return a * (a + 1) / 2 + b; }

// Sums of outer products, as those of samples are: positive definite with a ridge.
struct Problem {
    Problem(int n_local, int n_shared, std::int64_t n_cells)
        : blocks(static_cast<std::size_t>(triangle(n_local, 0) * n_cells)),
          coupling(static_cast<std::size_t>(n_shared * n_local * n_cells)),
          border(static_cast<std::size_t>(triangle(n_shared, 0))),
          local(static_cast<std::size_t>(n_local * n_cells)),
          shared(static_cast<std::size_t>(n_shared)) {
        std::mt19937_64 generator(7);
        std::normal_distribution<double> draw;
        for (std::int64_t cell = 0; cell < n_cells; ++cell) {
            for (int sample = 0; sample < 3; ++sample) {
                Numbers c(static_cast<std::size_t>(n_local + n_shared));
                for (double& entry : c) entry = draw(generator);
                const auto at = [&](int i) { return c[static_cast<std::size_t>(i)]; };
                for (int a = 0; a < n_local; ++a) {
                    for (int b = 0; b <= a; ++b) {
                        blocks[static_cast<std::size_t>(triangle(a, b) * n_cells + cell)] +=
                            at(a) * at(b);
                    }
                }
                for (int a = 0; a < n_shared; ++a) {
                    for (int b = 0; b < n_local; ++b) {
                        coupling[static_cast<std::size_t>((a * n_local + b) * n_cells + cell)] +=
                            at(n_local + a) * at(b);
                    }
                    for (int b = 0; b <= a; ++b) {
                        border[static_cast<std::size_t>(triangle(a, b))] +=
                            at(n_local + a) * at(n_local + b);
                    }
                }
            }
        }
        for (double& entry : local) entry = draw(generator);
        for (double& entry : shared) entry = draw(generator);
        system = {n_local,         n_shared,      n_cells, blocks.data(),
                  coupling.data(), border.data(), 0.1,     0.3};
    }

    Numbers blocks, coupling, border, local, shared;
    BorderedBlocks system;
};

TEST(BorderedBlocks, SolutionsSolve) {
    for (const auto& [n_local, n_shared] : {std::pair{3, 0}, {0, 4}, {3, 2}, {11, 1}, {1, 10}}) {
        for (const std::int64_t n_cells : {1, 5, 40, 1500}) {
            Problem problem(n_local, n_shared, n_cells);
            Numbers local = problem.local, shared = problem.shared;
            Team team(1, {});
            solve(problem.system, local.data(), shared.data(), team);
            Numbers local_out(local.size()), shared_out(shared.size());
            apply(problem.system, local.data(), shared.data(), local_out.data(), shared_out.data(),
                  team);
            for (std::size_t i = 0; i < local.size(); ++i) {
                EXPECT_NEAR(local_out[i], problem.local[i], 1e-9);
            }
            for (std::size_t i = 0; i < shared.size(); ++i) {
                EXPECT_NEAR(shared_out[i], problem.shared[i], 1e-9);
            }
        }
    }
}

TEST(BorderedBlocks, BitsDoNotDependOnThreads) {
    Numbers first;
    for (const int n_threads : {1, 3}) {
        Problem problem(3, 2, 5000);
        Team team(n_threads, {});
        solve(problem.system, problem.local.data(), problem.shared.data(), team);
        problem.local.insert(problem.local.end(), problem.shared.begin(), problem.shared.end());
        if (first.empty()) first = problem.local;
        EXPECT_EQ(first, problem.local);
    }
}

TEST(BorderedBlocks, WhatNothingDependsOnStays) {
    Problem problem(3, 0, 6);
    problem.system.local_ridge = 0.0;
    for (int b = 0; b <= 2; ++b) {
        for (std::size_t i = 0; i < 6; ++i) {
            problem.blocks[static_cast<std::size_t>(triangle(2, b)) * 6 + i] = 0.0;
        }
    }
    Team team(1, {});
    solve(problem.system, problem.local.data(), nullptr, team);
    for (std::size_t i = 0; i < 18; ++i) {
        EXPECT_TRUE(std::isfinite(problem.local[i]));
        if (i < 12) continue;
        EXPECT_EQ(problem.local[i], 0.0);
    }
}

}  // namespace
}  // namespace relaxon
