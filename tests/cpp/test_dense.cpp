// Products with a free matrix against plain sums; values are multiples of 1 / 8, so they are exact.
#include "relaxon/operators/dense.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "grids.hpp"

namespace relaxon {
namespace {

template <class T>
struct Bench {
    explicit Bench(std::int64_t cells, std::int64_t samples)
        : n(cells), n_samples(samples), w(coarse_values<T>(n * n, 1)),
          z(coarse_values<T>(n * samples, 2)), s(coarse_values<T>(n * samples, 3)), block(bytes()),
          arena(block), workspace(arena) {}

    static std::int64_t bytes() {
        Arena measure;
        PanelWorkspace<T> panels(measure);
        return measure.used_bytes();
    }

    T at(const std::vector<T>& matrix, std::int64_t i, std::int64_t j) const {
        return matrix[static_cast<std::size_t>(i * n + j)];
    }

    // f(begin, end) for uneven blocks of rows.
    template <class F>
    void for_each_block(const F& f) const {
        for (std::int64_t begin = 0; begin < n; begin += 100) f(begin, std::min(begin + 100, n));
    }

    std::int64_t n, n_samples;
    std::vector<T> w, z, s;
    Block block;
    Arena arena;
    PanelWorkspace<T> workspace;
};

template <class T>
class DenseTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(DenseTest, Precisions);

constexpr std::int64_t kCells[] = {1, 7, 130, 301};
constexpr std::int64_t kSamples[] = {1, 2, 13};

TYPED_TEST(DenseTest, MultiplyIsTheProduct) {
    using T = TypeParam;
    for (const std::int64_t n : kCells) {
        for (const std::int64_t samples : kSamples) {
            const Bench<T> bench(n, samples);
            std::vector<T> out(bench.z.size(), T(99));
            bench.for_each_block([&](std::int64_t begin, std::int64_t end) {
                multiply(bench.w.data(), n, begin, end, bench.z.data(), out.data(), samples,
                         bench.workspace);
            });
            for (std::int64_t sample = 0; sample < samples; ++sample) {
                for (std::int64_t i = 0; i < n; ++i) {
                    double expected = 0.0;
                    for (std::int64_t j = 0; j < n; ++j) {
                        expected += bench.at(bench.w, i, j) * bench.at(bench.z, sample, j);
                    }
                    ASSERT_EQ(bench.at(out, sample, i), static_cast<T>(expected))
                        << n << " cells, " << samples << " samples, row " << i;
                }
            }
        }
    }
}

TYPED_TEST(DenseTest, TransposedProductIsAdded) {
    using T = TypeParam;
    for (const std::int64_t n : kCells) {
        for (const std::int64_t samples : kSamples) {
            const Bench<T> bench(n, samples);
            std::vector<T> out = bench.z;
            bench.for_each_block([&](std::int64_t begin, std::int64_t end) {
                add_transposed_product(bench.w.data(), n, begin, end, bench.s.data(), out.data(),
                                       samples, bench.workspace);
            });
            for (std::int64_t sample = 0; sample < samples; ++sample) {
                for (std::int64_t i = 0; i < n; ++i) {
                    double expected = bench.at(bench.z, sample, i);
                    for (std::int64_t j = 0; j < n; ++j) {
                        expected += bench.at(bench.w, j, i) * bench.at(bench.s, sample, j);
                    }
                    ASSERT_EQ(bench.at(out, sample, i), static_cast<T>(expected))
                        << n << " cells, " << samples << " samples, row " << i;
                }
            }
        }
    }
}

TYPED_TEST(DenseTest, OuterProductsAreAdded) {
    using T = TypeParam;
    for (const std::int64_t n : kCells) {
        for (const std::int64_t samples : kSamples) {
            const Bench<T> bench(n, samples);
            std::vector<T> out = bench.w;
            bench.for_each_block([&](std::int64_t begin, std::int64_t end) {
                add_outer_product(out.data(), n, begin, end, bench.s.data(), bench.z.data(),
                                  samples, bench.workspace);
            });
            for (std::int64_t i = 0; i < n; ++i) {
                for (std::int64_t j = 0; j < n; ++j) {
                    double expected = bench.at(bench.w, i, j);
                    for (std::int64_t sample = 0; sample < samples; ++sample) {
                        expected += bench.at(bench.s, sample, i) * bench.at(bench.z, sample, j);
                    }
                    ASSERT_EQ(bench.at(out, i, j), static_cast<T>(expected))
                        << n << " cells, " << samples << " samples, entry " << i << ' ' << j;
                }
            }
        }
    }
}

}  // namespace
}  // namespace relaxon
