// Coefficients to stencil weights and back, for every operator.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "grids.hpp"
#include "relaxon/operators/stencil/adr.hpp"
#include "relaxon/operators/stencil/banded.hpp"
#include "relaxon/operators/stencil/moments.hpp"

namespace relaxon {
namespace {

template <class T>
struct Named {
    std::string name;
    std::unique_ptr<StencilOperator<T>> op;
};

template <class T>
std::vector<Named<T>> operators() {
    std::vector<Named<T>> list;
    const std::pair<const char*, AdrScheme> schemes[] = {{"central", AdrScheme::central},
                                                         {"upwind", AdrScheme::upwind},
                                                         {"lax-wendroff", AdrScheme::lax_wendroff}};
    for (int ndim = 1; ndim <= 3; ++ndim) {
        for (const auto& [name, scheme] : schemes) {
            list.push_back(
                {std::string(name) + ' ' + std::to_string(ndim) + "-D", make_adr<T>(ndim, scheme)});
        }
    }
    for (int order = 1; order <= 8; ++order) {
        list.push_back({"moments " + std::to_string(order), make_moments<T>(order)});
    }
    for (int radius = 1; radius <= 4; ++radius) {
        list.push_back({"banded " + std::to_string(radius), make_banded<T>(radius)});
    }
    return list;
}

constexpr std::int64_t kCells = 7;

// Fields of kCells values with the pointers that the operators take.
template <class T>
struct Fields {
    explicit Fields(std::int64_t n_fields, unsigned seed = 0)
        : values(random_values<T>(n_fields * kCells, seed)) {
        for (std::int64_t i = 0; i < n_fields; ++i) {
            pointers.push_back(values.data() + i * kCells);
            read.push_back(pointers.back());
        }
    }
    Fields(const Fields&) = delete;
    Fields& operator=(const Fields&) = delete;

    CoefficientBlock<T> block() const { return {read.data(), 1}; }

    std::vector<T> values;
    std::vector<T*> pointers;
    std::vector<const T*> read;
};

template <class T>
class OperatorTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(OperatorTest, Precisions);

// Weights are at most of third degree in coefficients and omega, away from |u| = 0: two central
// differences, extrapolated, have no error but rounding. Taken in double for both precisions.
TYPED_TEST(OperatorTest, TangentIsTheDerivativeOfPrepare) {
    using T = TypeParam;
    const auto wide = operators<double>();
    const auto narrow = operators<T>();
    for (std::size_t which = 0; which < wide.size(); ++which) {
        const StencilOperator<double>& op = *wide[which].op;
        const auto n_arms = static_cast<std::int64_t>(op.arms().size());
        const Fields<T> c(op.n_components(), 1), c_dot(op.n_components(), 2);
        const Fields<T> omega(1, 3), omega_dot(1, 4);
        Fields<T> tangent(n_arms);
        narrow[which].op->prepare_tangent(c.block(), c_dot.block(), omega.read[0],
                                          omega_dot.read[0], 1, kCells, tangent.pointers.data());

        const auto weights = [&](double h) {
            Fields<double> moved(op.n_components()), moved_omega(1);
            for (std::size_t i = 0; i < c.values.size(); ++i) {
                moved.values[i] = c.values[i] + h * static_cast<double>(c_dot.values[i]);
            }
            for (std::size_t i = 0; i < omega.values.size(); ++i) {
                moved_omega.values[i] =
                    omega.values[i] + h * static_cast<double>(omega_dot.values[i]);
            }
            Fields<double> out(n_arms);
            op.prepare(moved.block(), moved_omega.read[0], 1, kCells, out.pointers.data());
            return out.values;
        };
        const double h = 1e-3;
        const std::vector<double> far_high = weights(2 * h), far_low = weights(-2 * h);
        const std::vector<double> high = weights(h), low = weights(-h);
        const double tolerance = std::is_same_v<T, float> ? 64e-7 : 1e-11;
        for (std::size_t i = 0; i < tangent.values.size(); ++i) {
            const double fine = (high[i] - low[i]) / (2 * h);
            const double coarse = (far_high[i] - far_low[i]) / (4 * h);
            EXPECT_NEAR(tangent.values[i], (4 * fine - coarse) / 3, tolerance)
                << wide[which].name << ", entry " << i;
        }
    }
}

TYPED_TEST(OperatorTest, PullbackIsTheTransposeOfTheTangent) {
    using T = TypeParam;
    for (const auto& [name, op] : operators<T>()) {
        const auto n_arms = static_cast<std::int64_t>(op->arms().size());
        const Fields<T> c(op->n_components(), 1), c_dot(op->n_components(), 2);
        const Fields<T> omega(1, 3), omega_dot(1, 4), weights_bar(n_arms, 5);
        Fields<T> weights_dot(n_arms), bar(op->n_components(), 6), omega_bar(1, 7);
        op->prepare_tangent(c.block(), c_dot.block(), omega.read[0], omega_dot.read[0], 1, kCells,
                            weights_dot.pointers.data());
        op->pullback(c.block(), omega.read[0], 1, weights_bar.read.data(), kCells,
                     bar.pointers.data(), omega_bar.pointers[0]);
        double forward = 0.0, reverse = 0.0, size = 0.0;
        for (std::size_t i = 0; i < weights_dot.values.size(); ++i) {
            forward += static_cast<double>(weights_bar.values[i]) * weights_dot.values[i];
            size += std::abs(static_cast<double>(weights_bar.values[i]) * weights_dot.values[i]);
        }
        for (std::size_t i = 0; i < bar.values.size(); ++i) {
            reverse += static_cast<double>(bar.values[i]) * c_dot.values[i];
            size += std::abs(static_cast<double>(bar.values[i]) * c_dot.values[i]);
        }
        for (std::size_t i = 0; i < omega_bar.values.size(); ++i) {
            reverse += static_cast<double>(omega_bar.values[i]) * omega_dot.values[i];
        }
        EXPECT_NEAR(forward, reverse, 8 * std::numeric_limits<T>::epsilon() * size) << name;
    }
}

// Step 0 repeats the homogeneous value.
TYPED_TEST(OperatorTest, HomogeneousCoefficientsAreLocalOnesThatAreEqual) {
    using T = TypeParam;
    for (const auto& [name, op] : operators<T>()) {
        const auto n_arms = static_cast<std::int64_t>(op->arms().size());
        Fields<T> c(op->n_components(), 1), omega(1, 3);
        Fields<T> repeated(n_arms), local(n_arms);
        op->prepare({c.read.data(), 0}, omega.read[0], 0, kCells, repeated.pointers.data());
        for (T* field : c.pointers) std::fill(field, field + kCells, *field);
        std::fill(omega.values.begin(), omega.values.end(), omega.values[0]);
        op->prepare(c.block(), omega.read[0], 1, kCells, local.pointers.data());
        EXPECT_EQ(repeated.values, local.values) << name;
    }
}

// Arms and weights of one cell with the given coefficients.
template <class Term>
double sum_over_arms(const StencilOperator<double>& op, const std::vector<double>& c, double omega,
                     const Term& term) {
    std::vector<const double*> data;
    for (const double& value : c) data.push_back(&value);
    std::vector<double> weights(op.arms().size());
    std::vector<double*> places;
    for (double& weight : weights) places.push_back(&weight);
    op.prepare({data.data(), 0}, &omega, 0, 1, places.data());
    double sum = 0.0;
    for (std::size_t k = 0; k < weights.size(); ++k) sum += weights[k] * term(op.arms()[k]);
    return sum;
}

// W_0 = 1 + R, W_1 = -U, W_2 = 2 D with the scheme's own diffusion on the diagonal.
TEST(Adr, LatticeMomentsAreThoseOfTheEquation) {
    const double omega = 0.375;
    for (const AdrScheme scheme :
         {AdrScheme::central, AdrScheme::upwind, AdrScheme::lax_wendroff}) {
        for (std::size_t ndim = 1; ndim <= 3; ++ndim) {
            const auto op = make_adr<double>(static_cast<int>(ndim), scheme);
            const std::vector<double> c = random_values<double>(op->n_components(), 9);
            EXPECT_NEAR(sum_over_arms(*op, c, omega, [](const Arm&) { return 1.0; }), 1.0 + c[0],
                        1e-14);
            std::size_t entry = 1 + ndim;
            for (std::size_t a = 0; a < ndim; ++a) {
                const double u = c[1 + a];
                EXPECT_NEAR(sum_over_arms(*op, c, omega, [&](const Arm& arm) { return arm[a]; }),
                            -u, 1e-14);
                for (std::size_t b = a; b < ndim; ++b, ++entry) {
                    double d = c[entry];
                    if (a == b && scheme == AdrScheme::upwind) d += std::abs(u) / 2;
                    if (a == b && scheme == AdrScheme::lax_wendroff) d += omega * u * u / 2;
                    EXPECT_NEAR(sum_over_arms(*op, c, omega,
                                              [&](const Arm& arm) { return arm[a] * arm[b]; }),
                                2.0 * d, 1e-14)
                        << ndim << "-D, entry " << a << ' ' << b;
                }
            }
        }
    }
}

TEST(Adr, UpwindDerivativeIsZeroWhereTheVelocityIs) {
    const auto op = make_adr<double>(1, AdrScheme::upwind);
    const double c[] = {0.0, 0.0, 0.25}, bar_of_arm[] = {1.0, 2.0, 5.0}, omega = 1.0;
    const double* data[] = {&c[0], &c[1], &c[2]};
    const double* weights_bar[] = {&bar_of_arm[0], &bar_of_arm[1], &bar_of_arm[2]};
    double bars[3], omega_bar;
    double* places[] = {&bars[0], &bars[1], &bars[2]};
    op->pullback({data, 1}, &omega, 0, weights_bar, 1, places, &omega_bar);
    EXPECT_EQ(bars[1], (1.0 - 5.0) / 2);
}

TEST(Moments, StencilHasTheGivenMoments) {
    for (int order = 1; order <= 8; ++order) {
        const auto op = make_moments<double>(order);
        EXPECT_EQ(op->radius(), (order + 1) / 2);
        const std::vector<double> c = random_values<double>(op->n_components(), 9);
        for (int k = 0; k <= 2 * op->radius(); ++k) {
            const double moment =
                sum_over_arms(*op, c, 1.0, [&](const Arm& arm) { return std::pow(arm[0], k); });
            // The top moment of an odd order's stencil is zero.
            EXPECT_NEAR(moment, k <= order ? c[static_cast<std::size_t>(k)] : 0.0, 1e-11)
                << "order " << order << ", moment " << k;
        }
    }
}

TEST(Banded, CoefficientsAreTheWeights) {
    for (int radius = 1; radius <= 4; ++radius) {
        const auto op = make_banded<double>(radius);
        const std::vector<double> c = random_values<double>(op->n_components(), 9);
        for (int j = -radius; j <= radius; ++j) {
            const double weight =
                sum_over_arms(*op, c, 1.0, [&](const Arm& arm) { return arm[0] == j ? 1.0 : 0.0; });
            EXPECT_EQ(weight, c[static_cast<std::size_t>(j + radius)]);
        }
    }
}

}  // namespace
}  // namespace relaxon
