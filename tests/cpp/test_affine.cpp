// Products with a full matrix against plain sums, at sizes around those of the tiles.
#include "relaxon/operators/affine.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "grids.hpp"

namespace relaxon {
namespace {

template <class T>
class AffineTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(AffineTest, Precisions);

struct Sizes {
    std::int64_t n_out, n_in, n_samples;
};

const Sizes kSizes[] = {{1, 1, 1}, {3, 5, 2}, {4, 64, 4}, {5, 33, 7}, {9, 131, 5}, {70, 17, 9}};

template <class T>
class Setup {
public:
    explicit Setup(const Sizes& sizes)
        : n_out(sizes.n_out), n_in(sizes.n_in), n(sizes.n_samples), x_stride(n_in + 3),
          out_stride(n_out + 2), matrix(random_values<T>(n_out * n_in, 1)),
          shift(random_values<T>(n_out, 2)), x(random_values<T>(n * x_stride, 3)),
          s(random_values<T>(n * out_stride, 4)) {}

    AffineMap<T> map() const { return {matrix.data(), shift.data(), n_out, n_in}; }

    // sum_k of n terms, its rounding error for numbers below 1 in size.
    template <class Term>
    static void expect_sum(T found, std::int64_t n_terms, const Term& term) {
        long double sum = 0, size = 0;
        for (std::int64_t k = 0; k < n_terms; ++k) {
            sum += static_cast<long double>(term(k));
            size += std::fabs(static_cast<long double>(term(k)));
        }
        const double bound = 4 * std::numeric_limits<T>::epsilon();
        EXPECT_NEAR(found, static_cast<double>(sum),
                    bound * std::sqrt(static_cast<double>(n_terms)) * static_cast<double>(size));
    }

    std::int64_t n_out, n_in, n, x_stride, out_stride;
    std::vector<T> matrix, shift, x, s;
};

TYPED_TEST(AffineTest, AppliesTheMatrixAndItsTranspose) {
    using T = TypeParam;
    for (const Sizes& sizes : kSizes) {
        const Setup<T> setup(sizes);
        std::vector<T> out(static_cast<std::size_t>(setup.n * setup.out_stride), T(7));
        std::vector<T> back(static_cast<std::size_t>(setup.n * setup.x_stride), T(7));
        // In two parts that do not fall on tiles.
        for (const auto& [begin, end] : {std::pair{std::int64_t{0}, setup.n_out / 3},
                                         std::pair{setup.n_out / 3, setup.n_out}}) {
            apply(setup.map(), {setup.x.data(), setup.x_stride}, setup.n, begin, end,
                  Rectangle<T>{out.data(), setup.out_stride}, false);
        }
        for (const auto& [begin, end] :
             {std::pair{std::int64_t{0}, setup.n_in / 3}, std::pair{setup.n_in / 3, setup.n_in}}) {
            apply_transpose(setup.map(), {setup.s.data(), setup.out_stride}, setup.n, begin, end,
                            Rectangle<T>{back.data(), setup.x_stride});
        }
        const auto a = [&](std::int64_t i, std::int64_t k) {
            return setup.matrix[static_cast<std::size_t>(i * setup.n_in + k)];
        };
        for (std::int64_t sample = 0; sample < setup.n; ++sample) {
            const T* x = setup.x.data() + sample * setup.x_stride;
            const T* s = setup.s.data() + sample * setup.out_stride;
            const T* y = out.data() + sample * setup.out_stride;
            const T* x_bar = back.data() + sample * setup.x_stride;
            for (std::int64_t i = 0; i < setup.n_out; ++i) {
                setup.expect_sum(y[i], setup.n_in + 1, [&](std::int64_t k) {
                    return k < setup.n_in ? static_cast<long double>(a(i, k)) * x[k]
                                          : setup.shift[static_cast<std::size_t>(i)];
                });
            }
            for (std::int64_t k = 0; k < setup.n_in; ++k) {
                setup.expect_sum(x_bar[k], setup.n_out, [&](std::int64_t i) {
                    return static_cast<long double>(a(i, k)) * s[i];
                });
            }
            // What lies between samples is nobody's.
            EXPECT_EQ(y[setup.n_out], T(7));
            EXPECT_EQ(x_bar[setup.n_in], T(7));
        }
    }
}

TYPED_TEST(AffineTest, AddsToWhatIsThere) {
    using T = TypeParam;
    const Setup<T> setup(kSizes[3]);
    std::vector<T> once(static_cast<std::size_t>(setup.n * setup.n_out)), twice(once.size(), T(2));
    AffineMap<T> linear = setup.map();
    linear.shift = nullptr;
    const Rectangle<const T> x{setup.x.data(), setup.x_stride};
    apply(linear, x, setup.n, 0, setup.n_out, Rectangle<T>{once.data(), setup.n_out}, false);
    apply(linear, x, setup.n, 0, setup.n_out, Rectangle<T>{twice.data(), setup.n_out}, true);
    for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(twice[i], T(2) + once[i]);
}

TYPED_TEST(AffineTest, GradientIsTheSumOfOuterProducts) {
    using T = TypeParam;
    for (const Sizes& sizes : kSizes) {
        const Setup<T> setup(sizes);
        std::vector<T> matrix_bar(setup.matrix.size(), T(7)), shift_bar(setup.shift.size(), T(7));
        for (const auto& [begin, end] : {std::pair{std::int64_t{0}, setup.n_out / 2},
                                         std::pair{setup.n_out / 2, setup.n_out}}) {
            affine_gradient(setup.n_in, {setup.s.data(), setup.out_stride},
                            {setup.x.data(), setup.x_stride}, setup.n, begin, end,
                            matrix_bar.data(), shift_bar.data());
        }
        for (std::int64_t i = 0; i < setup.n_out; ++i) {
            const auto s = [&](std::int64_t sample) {
                return setup.s[static_cast<std::size_t>(sample * setup.out_stride + i)];
            };
            setup.expect_sum(shift_bar[static_cast<std::size_t>(i)], setup.n, s);
            for (std::int64_t k = 0; k < setup.n_in; ++k) {
                setup.expect_sum(matrix_bar[static_cast<std::size_t>(i * setup.n_in + k)], setup.n,
                                 [&](std::int64_t sample) {
                                     const auto at = sample * setup.x_stride + k;
                                     return static_cast<long double>(s(sample)) *
                                            setup.x[static_cast<std::size_t>(at)];
                                 });
            }
        }
    }
}

}  // namespace
}  // namespace relaxon
