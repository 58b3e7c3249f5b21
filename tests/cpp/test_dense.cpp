// Products with a free matrix against plain sums; values are multiples of 1 / 8, so they are exact.
#include "relaxon/operators/dense/products.hpp"

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

    // f(begin, end) for blocks of rows, the last one uneven.
    template <class F>
    void for_each_block(const F& f) const {
        for (std::int64_t begin = 0; begin < n; begin += kProductRows) {
            f(begin, std::min(begin + kProductRows, n));
        }
    }

    // W as it is, or packed ahead.
    Matrix<T> matrix(bool is_packed) {
        Matrix<T> view{w.data(), n};
        if (!is_packed) return view;
        for (std::vector<T>* packed : {&packed_rows, &packed_columns}) {
            packed->assign(static_cast<std::size_t>(packed_matrix_length(n)), T(99));
        }
        for_each_block([&](std::int64_t begin, std::int64_t end) {
            pack_rows(w.data(), n, begin, end, packed_rows.data());
            pack_columns(w.data(), n, begin, end, packed_columns.data());
        });
        view.packed_rows = packed_rows.data();
        view.packed_columns = packed_columns.data();
        return view;
    }

    States<T> states(const std::vector<T>& values) {
        packed_states.assign(static_cast<std::size_t>(packed_states_length(n, n_samples)), T(99));
        for (std::int64_t slice = 0; slice < n_state_slices(n, n_samples); ++slice) {
            pack_states(values.data(), n, n_samples, slice, packed_states.data());
        }
        return {values.data(), packed_states.data(), n_samples};
    }

    std::int64_t n, n_samples;
    std::vector<T> w, z, s, packed_rows, packed_columns, packed_states;
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
            Bench<T> bench(n, samples);
            std::vector<T> out(bench.z.size(), T(99)), ahead = out;
            const States<T> states = bench.states(bench.z);
            bench.for_each_block([&](std::int64_t begin, std::int64_t end) {
                multiply(bench.matrix(false), begin, end, states, out.data(), bench.workspace);
                multiply(bench.matrix(true), begin, end, states, ahead.data(), bench.workspace);
            });
            EXPECT_EQ(ahead, out) << n << " cells, " << samples << " samples, packed ahead";
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
            Bench<T> bench(n, samples);
            std::vector<T> out = bench.z, ahead = out;
            const States<T> states = bench.states(bench.s);
            bench.for_each_block([&](std::int64_t begin, std::int64_t end) {
                add_transposed_product(bench.matrix(false), begin, end, states, out.data(),
                                       bench.workspace);
                add_transposed_product(bench.matrix(true), begin, end, states, ahead.data(),
                                       bench.workspace);
            });
            EXPECT_EQ(ahead, out) << n << " cells, " << samples << " samples, packed ahead";
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

// More samples than a slice holds, too, as when the products of many layers are collected.
TYPED_TEST(DenseTest, OuterProductsAreSetOrAdded) {
    using T = TypeParam;
    for (const std::int64_t n : kCells) {
        for (const std::int64_t samples : {1, 13, 300}) {
            const Bench<T> bench(n, samples);
            const auto length = static_cast<std::size_t>(packed_outer_length(n, samples));
            std::vector<T> sources(length, T(99)), states(length, T(99));
            bench.for_each_block([&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t sample = 0; sample < samples; ++sample) {
                    pack_outer_source(bench.s.data() + sample * n, n, begin, end, sample,
                                      sources.data());
                    pack_outer_state(bench.z.data() + sample * n, n, begin, end, sample,
                                     states.data());
                }
            });
            for (const bool adds : {false, true}) {
                std::vector<T> out = bench.w;
                bench.for_each_block([&](std::int64_t begin, std::int64_t end) {
                    outer_product(out.data(), n, begin, end, sources.data(), states.data(), samples,
                                  adds);
                });
                for (std::int64_t i = 0; i < n; ++i) {
                    for (std::int64_t j = 0; j < n; ++j) {
                        double expected = adds ? bench.at(bench.w, i, j) : 0.0;
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
}

}  // namespace
}  // namespace relaxon
