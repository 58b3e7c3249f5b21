// One layer on the padded layout: its formula, and its transpose against its tangent.
#include "relaxon/sweeps/stencil/layer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "grids.hpp"
#include "relaxon/operators/stencil/weights.hpp"

namespace relaxon {
namespace {

// A line of 700 cells, so that blocks end inside it, with a mask and Neumann sides.
template <class T>
class Line {
public:
    Line()
        : grid(make_grid({kCells}, {{kNeumann, kNeumann}}, MaskKind::neumann)),
          geometry(*grid, line_arms(1), 1, 1), layout(geometry.layout()) {}

    std::vector<T> field() const {
        return std::vector<T>(static_cast<std::size_t>(geometry.wide_field_length()));
    }
    T* origin(std::vector<T>& field) const { return field.data() + geometry.wide_margin(); }

    std::vector<T> pack(const std::vector<T>& cells) const {
        std::vector<T> padded = field();
        layout.pack({cells.data()}, origin(padded), 0, kCells);
        return padded;
    }
    std::vector<T> state(unsigned seed) const {
        std::vector<T> padded = pack(random_values<T>(kCells, seed));
        for (const int side : {0, 1}) layout.fill_rows(origin(padded), side);
        return padded;
    }
    ReverseFields<T> reverse_fields(std::vector<T>& z, std::vector<T>& lambda, std::vector<T>& s,
                                    std::vector<T>& out) const {
        ReverseFields<T> fields;
        fields.z = origin(z);
        fields.lambda = origin(lambda);
        fields.s = origin(s);
        fields.out = origin(out);
        return fields;
    }
    double inner(std::vector<T>& a, std::vector<T>& b) const {
        return inner_product(layout, origin(a), origin(b), Rows{0, kCells}).value();
    }

    static constexpr std::int64_t kCells = 700;
    std::shared_ptr<const Grid> grid;
    StencilGeometry geometry;
    const Layout& layout;
};

// Coefficients of a layer, all local or all homogeneous, and the memory behind them.
template <class T>
struct Coefficients {
    Coefficients(const Line<T>& line, bool is_local, unsigned seed, double omega_centre) {
        for (unsigned k = 0; k < 5; ++k) {
            const double centre = k == 4 ? omega_centre : 0.0;
            fields.push_back(line.pack(random_values<T>(Line<T>::kCells, seed + k, centre, 0.3)));
        }
        for (std::size_t k = 0; k < 5; ++k) {
            T* start = line.origin(fields[k]);
            if (!is_local) *start = static_cast<T>((k == 4 ? omega_centre : 0.0) + 0.1 * (k + 1.0));
            pointers[k] = start;
        }
        layer.weights = {pointers, is_local};
        layer.bias = {pointers[3], is_local};
        layer.omega = {pointers[4], is_local};
    }
    Coefficients(const Coefficients&) = delete;
    Coefficients& operator=(const Coefficients&) = delete;

    std::vector<std::vector<T>> fields;
    const T* pointers[5];
    Layer<T> layer;
};

template <class T>
class LayerTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(LayerTest, Precisions);

TYPED_TEST(LayerTest, RelaxIsItsFormula) {
    using T = TypeParam;
    const Line<T> line;
    const double growth = 0.0625;
    for (const bool is_local : {false, true}) {
        const Coefficients<T> c(line, is_local, 10, 0.5);
        std::vector<T> z = line.state(1), out = line.field();
        relax(line.geometry, c.layer, Activation::tanh, static_cast<T>(growth), line.origin(z), 1,
              line.origin(out), {0, Line<T>::kCells});
        for (std::int64_t cell = 0; cell < Line<T>::kCells; ++cell) {
            const std::int64_t flat = line.layout.begin(cell);
            const std::int64_t entry = is_local ? flat : 0;
            double expected = 0.0;
            if (line.grid->exists(cell)) {
                const double own = line.origin(z)[flat];
                double pre = -static_cast<double>(c.layer.bias.data[entry]);
                for (int arm = 0; arm < 3; ++arm) {
                    const GhostSource source = resolve(*line.grid, {cell + arm - 1, 0, 0});
                    const bool is_cut = !line.grid->exists(source.cell);
                    const double target = line.origin(z)[line.layout.begin(source.cell)];
                    pre += static_cast<double>(c.pointers[arm][entry]) * (is_cut ? own : target);
                }
                const double omega = c.layer.omega.data[entry];
                expected = (1.0 - omega - growth) * own + omega * std::tanh(pre);
            }
            EXPECT_NEAR(line.origin(out)[flat], expected, 8 * std::numeric_limits<T>::epsilon())
                << "cell " << cell;
        }
    }
}

TYPED_TEST(LayerTest, ReversePassIsTheTransposeOfTheTangent) {
    using T = TypeParam;
    const Line<T> line;
    const Rows all{0, Line<T>::kCells};
    const Rows with_ghosts{-1, Line<T>::kCells + 1};
    const T growth = T(0.0625);
    for (const bool is_local : {false, true}) {
        const Coefficients<T> c(line, is_local, 10, 0.5), c_dot(line, is_local, 30, 0.0);
        std::vector<T> z = line.state(1), z_dot = line.state(2), out_dot = line.field();
        std::vector<T> lambda = line.pack(random_values<T>(Line<T>::kCells, 3));
        std::vector<T> s = line.field(), z_bar = line.field();
        relax_tangent(line.geometry, line.geometry, c.layer, c_dot.layer, Activation::tanh, growth,
                      T(0), line.origin(z), line.origin(z_dot), line.origin(out_dot), all);

        std::vector<std::vector<T>> bars(5, line.field());
        T* fields[3];
        for (std::size_t k = 0; k < 3; ++k) fields[k] = line.origin(bars[k]);
        OrderedSum sums[5];
        LayerGradient<T> gradient;
        if (is_local) {
            gradient.weights_field = fields;
            gradient.bias_field = line.origin(bars[3]);
            gradient.omega_field = line.origin(bars[4]);
        } else {
            gradient.weights_sum = sums;
            gradient.bias_sum = &sums[3];
            gradient.omega_sum = &sums[4];
        }
        pull_back(line.geometry, c.layer, Activation::tanh, growth,
                  line.reverse_fields(z, lambda, s, z_bar), {all, all, with_ghosts}, gradient);
        for (const int side : {0, 1}) line.layout.fold_rows(line.origin(z_bar), side);

        const double forward = line.inner(lambda, out_dot);
        double reverse = line.inner(z_bar, z_dot);
        for (std::size_t k = 0; k < 5; ++k) {
            std::vector<T> dot = c_dot.fields[k];
            reverse += is_local ? line.inner(bars[k], dot) : sums[k].value() * *c_dot.pointers[k];
        }
        EXPECT_NEAR(forward, reverse, 256 * std::numeric_limits<T>::epsilon()) << is_local;
        EXPECT_GT(std::abs(forward), 0.1) << "nothing was compared";
    }
}

// With z' at hand, f comes from z + (z' - z) / omega: to eps / omega, where omega is not small.
TYPED_TEST(LayerTest, ActivationIsRecoveredFromTheNextState) {
    using T = TypeParam;
    const Line<T> line;
    const Rows all{0, Line<T>::kCells};
    for (const Activation activation : {Activation::tanh, Activation::logistic}) {
        const Coefficients<T> c(line, false, 10, 0.5);
        ASSERT_TRUE(recovers_activation(activation, c.layer.omega, false));
        std::vector<T> z = line.state(1), z_next = line.field();
        std::vector<T> lambda = line.pack(random_values<T>(Line<T>::kCells, 3));
        std::vector<T> evaluated = line.field(), recovered = line.field(), z_bar = line.field();
        relax(line.geometry, c.layer, activation, T(0), line.origin(z), 1, line.origin(z_next),
              all);
        ReverseFields<T> fields = line.reverse_fields(z, lambda, evaluated, z_bar);
        pull_back(line.geometry, c.layer, activation, T(0), fields, {all, {0, 0}, all}, {});
        fields = line.reverse_fields(z, lambda, recovered, z_bar);
        fields.z_next = line.origin(z_next);
        pull_back(line.geometry, c.layer, activation, T(0), fields, {all, {0, 0}, all}, {});
        const double bound = 16 * std::numeric_limits<T>::epsilon() / c.layer.omega.data[0];
        for (std::int64_t cell = 0; cell < Line<T>::kCells; ++cell) {
            const std::int64_t flat = line.layout.begin(cell);
            EXPECT_NEAR(line.origin(evaluated)[flat], line.origin(recovered)[flat], bound) << cell;
        }
    }
}

TYPED_TEST(LayerTest, ActivationIsRecoveredOnlyWhereTheErrorIsBounded) {
    using T = TypeParam;
    const T fast = T(0.5), slow = T(0.05);
    EXPECT_TRUE(recovers_activation<T>(Activation::logistic, {&fast, false}, false));
    EXPECT_FALSE(recovers_activation<T>(Activation::logistic, {&slow, false}, false));
    EXPECT_FALSE(recovers_activation<T>(Activation::logistic, {&fast, true}, false));
    EXPECT_FALSE(recovers_activation<T>(Activation::logistic, {&fast, false}, true));
    EXPECT_FALSE(recovers_activation<T>(Activation::silu, {&fast, false}, false));
}

// Ghosts and masked cells may hold anything where the cotangent is zero, infinities included.
TYPED_TEST(LayerTest, SourceIsZeroWhereTheCotangentIs) {
    using T = TypeParam;
    const Line<T> line;
    const Coefficients<T> c(line, false, 10, 0.5);
    std::vector<T> z = line.state(1), lambda = line.field(), s = line.field(), z_bar = line.field();
    const std::int64_t flat = line.layout.begin(5);
    line.origin(z)[flat] = std::numeric_limits<T>::infinity();
    std::fill(s.begin(), s.end(), T(3));
    const Rows all{0, Line<T>::kCells};
    pull_back(line.geometry, c.layer, Activation::square, T(0),
              line.reverse_fields(z, lambda, s, z_bar), {all, {0, 0}, all}, {});
    for (std::int64_t cell = 0; cell < Line<T>::kCells; ++cell) {
        EXPECT_EQ(line.origin(s)[line.layout.begin(cell)], T(0)) << cell;
    }
}

// A range of rows ends inside a pack; the entry behind it belongs to another tile.
TYPED_TEST(LayerTest, WritesItsRowsOnly) {
    using T = TypeParam;
    const Line<T> line;
    const Coefficients<T> c(line, true, 10, 0.5);
    std::vector<T> z = line.state(1), whole = line.field();
    relax(line.geometry, c.layer, Activation::tanh, T(0), line.origin(z), 1, line.origin(whole),
          {0, Line<T>::kCells});
    for (const Rows rows : {Rows{0, 1}, Rows{3, 40}, Rows{64, 577}, Rows{690, 700}}) {
        std::vector<T> out = line.field();
        std::fill(out.begin(), out.end(), T(99));
        relax(line.geometry, c.layer, Activation::tanh, T(0), line.origin(z), 1, line.origin(out),
              rows);
        for (std::int64_t cell = -1; cell <= Line<T>::kCells; ++cell) {
            const std::int64_t flat = line.layout.begin(cell);
            const bool is_own = cell >= rows.begin && cell < rows.end;
            EXPECT_EQ(line.origin(out)[flat], is_own ? line.origin(whole)[flat] : T(99)) << cell;
        }
    }
}

}  // namespace
}  // namespace relaxon
