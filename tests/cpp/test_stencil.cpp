// Stencil passes on the padded layout against sums over `resolve`, and their transposes.
#include "relaxon/operators/stencil/kernels.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "grids.hpp"
#include "relaxon/base/error.hpp"
#include "relaxon/operators/stencil/adr.hpp"

namespace relaxon {
namespace {

// A padded field with the margins that every kernel may read.
template <class T>
class Field {
public:
    explicit Field(const StencilGeometry& geometry)
        : values_(static_cast<std::size_t>(geometry.wide_field_length())),
          margin_(geometry.wide_margin()) {}

    T* data() { return values_.data() + margin_; }

private:
    std::vector<T> values_;
    std::int64_t margin_;
};

struct Setting {
    std::shared_ptr<const Grid> grid;
    std::vector<Arm> arms;
    int radius;
    std::string what;
};

std::vector<Setting> settings() {
    std::vector<Setting> list;
    for (int ndim = 1; ndim <= 3; ++ndim) {
        const Shape shape = ndim == 1 ? Shape{700} : ndim == 2 ? Shape{6, 130} : Shape{4, 5, 40};
        const auto adr = make_adr<double>(ndim, AdrScheme::central);
        for (const std::vector<Sides>& sides : all_boundaries(ndim)) {
            for (const MaskKind mask : {MaskKind::none, MaskKind::neumann, MaskKind::dirichlet}) {
                const auto grid = make_grid(shape, sides, mask);
                list.push_back({grid, adr->arms(), 1, describe(*grid, mask) + ", ADR"});
                if (ndim > 1) continue;
                list.push_back({grid, line_arms(3), 3, describe(*grid, mask) + ", 7 points"});
            }
        }
    }
    return list;
}

// Everything that a test needs around one setting; values are multiples of 1 / 8, so sums of
// products are exact in double and nearly so in float.
template <class T>
struct Bench {
    Bench(const Setting& setting, bool is_local)
        : geometry(*setting.grid, setting.arms, setting.radius, setting.radius),
          layout(geometry.layout()), cells(coarse_values<T>(setting.grid->n_cells(), 1)),
          z(geometry), bias_field(geometry) {
        for (std::size_t k = 0; k < setting.arms.size(); ++k) {
            compact.push_back(
                coarse_values<T>(setting.grid->n_cells(), 20 + static_cast<unsigned>(k)));
            if (!is_local) std::fill(compact[k].begin(), compact[k].end(), compact[k][0]);
            padded.emplace_back(geometry);
            layout.pack({compact[k].data()}, padded[k].data(), 0, layout.n_rows());
            if (!is_local) padded[k].data()[0] = compact[k][0];
            pointers.push_back(padded[k].data());
        }
        weights = {pointers.data(), is_local};
        bias_cells = coarse_values<T>(setting.grid->n_cells(), 3);
        layout.pack({bias_cells.data()}, bias_field.data(), 0, layout.n_rows());
        layout.pack({cells.data()}, z.data(), 0, layout.n_rows());
        layout.fill_inner(z.data(), 0, layout.n_rows());
        layout.fill_rows(z.data(), 0);
        layout.fill_rows(z.data(), 1);
    }

    // f(flat, n) for the blocks of the rows.
    template <class F>
    void for_each_block(std::int64_t row_begin, std::int64_t row_end, const F& f) const {
        for (std::int64_t flat = layout.begin(row_begin); flat < layout.begin(row_end);
             flat += kBlock) {
            f(flat, std::min(kBlock, layout.begin(row_end) - flat));
        }
    }

    // A bias as local as the weights.
    Coefficient<T> bias() {
        return weights.is_local ? Coefficient<T>{bias_field.data(), true}
                                : Coefficient<T>{&bias_cells[0], false};
    }
    double bias_at(std::int64_t cell) const {
        return bias_cells[weights.is_local ? static_cast<std::size_t>(cell) : 0];
    }

    StencilGeometry geometry;
    const Layout& layout;
    std::vector<T> cells, bias_cells;
    Field<T> z, bias_field;
    std::vector<std::vector<T>> compact;  // weights in C order
    std::vector<Field<T>> padded;
    std::vector<const T*> pointers;
    StencilWeights<T> weights;
};

// What arm k of a cell sees.
template <class T>
double seen(const Grid& grid, const std::vector<T>& z, std::array<std::int64_t, 3> at,
            const Arm& arm, std::int64_t cell) {
    const GhostSource source = resolve(grid, {at[0] + arm[0], at[1] + arm[1], at[2] + arm[2]});
    if (!source.reads_cell()) return static_cast<T>(source.value);
    if (grid.exists(source.cell)) {
        return source.factor * z[static_cast<std::size_t>(source.cell)] + source.value;
    }
    if (grid.mask_condition().kind == BoundaryKind::neumann)
        return z[static_cast<std::size_t>(cell)];
    return static_cast<T>(grid.mask_condition().value);
}

template <class T>
class StencilTest : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(StencilTest, Precisions);

TYPED_TEST(StencilTest, ApplyIsTheSumOverWhatArmsSee) {
    using T = TypeParam;
    for (const Setting& setting : settings()) {
        for (const bool is_local : {false, true}) {
            Bench<T> bench(setting, is_local);
            const Grid& grid = *setting.grid;
            Field<T> out(bench.geometry);
            bench.for_each_block(0, bench.layout.n_rows(), [&](std::int64_t flat, std::int64_t n) {
                alignas(64) T pre[kBlock];
                apply_stencil(bench.geometry, bench.weights, bench.bias(), bench.z.data(), 1, pre,
                              flat, n);
                std::copy(pre, pre + n, out.data() + flat);
            });
            for_each_position(grid, bench.layout, 0, 0, [&](const auto& at, std::int64_t flat) {
                const std::int64_t cell = resolve(grid, at).cell;
                if (!grid.exists(cell)) return;
                double expected = -bench.bias_at(cell);
                for (std::size_t k = 0; k < setting.arms.size(); ++k) {
                    expected += bench.compact[k][static_cast<std::size_t>(cell)] *
                                seen(grid, bench.cells, at, setting.arms[k], cell);
                }
                ASSERT_EQ(out.data()[flat], static_cast<T>(expected))
                    << setting.what << ", cell " << cell << (is_local ? ", local" : "");
            });
        }
    }
}

TYPED_TEST(StencilTest, GatherFoldedIsTheTransposeOfApply) {
    using T = TypeParam;
    for (const Setting& given : settings()) {
        Setting setting = given;
        setting.grid = std::make_shared<const Grid>(given.grid->with_zero_values());
        for (const bool is_local : {false, true}) {
            Bench<T> bench(setting, is_local);
            const Layout& layout = bench.layout;
            const std::int64_t n_cells = setting.grid->n_cells();
            const std::vector<T> s_cells = coarse_values<T>(n_cells, 2);
            Field<T> s(bench.geometry), none(bench.geometry), pulled(bench.geometry);
            layout.pack({s_cells.data()}, s.data(), 0, layout.n_rows());
            double forward = 0.0, reverse = 0.0;
            bench.for_each_block(0, layout.n_rows(), [&](std::int64_t flat, std::int64_t n) {
                alignas(64) T pre[kBlock];
                apply_stencil(bench.geometry, bench.weights, {}, bench.z.data(), 1, pre, flat, n);
                for (std::int64_t i = 0; i < n; ++i) {
                    forward += static_cast<double>(pre[i]) * s.data()[flat + i];
                }
            });
            const std::int64_t r = setting.radius;
            bench.for_each_block(-r, layout.n_rows() + r, [&](std::int64_t flat, std::int64_t n) {
                const T omega = T(1);
                gather_stencil(bench.geometry, bench.weights, {&omega, false}, T(0), none.data(),
                               s.data(), 1, pulled.data(), flat, n);
            });
            layout.fold_inner(pulled.data(), -r, layout.n_rows() + r);
            layout.fold_rows(pulled.data(), 0);
            layout.fold_rows(pulled.data(), 1);
            layout.zero_masked(pulled.data(), 0, layout.n_rows());
            std::vector<T> back(static_cast<std::size_t>(n_cells));
            layout.unpack(pulled.data(), {back.data()}, 0, layout.n_rows());
            for (std::size_t i = 0; i < back.size(); ++i) {
                reverse += static_cast<double>(back[i]) * bench.cells[i];
            }
            ASSERT_EQ(forward, reverse) << setting.what << (is_local ? ", local" : "");
        }
    }
}

// bar_k(i) = s_i times what arm k of cell i sees; homogeneous weights have the sum over cells.
TYPED_TEST(StencilTest, AccumulateGivesTheGradientOfEveryWeight) {
    using T = TypeParam;
    for (const Setting& setting : settings()) {
        Bench<T> bench(setting, true);
        const Grid& grid = *setting.grid;
        const Layout& layout = bench.layout;
        const std::vector<T> s_cells = coarse_values<T>(grid.n_cells(), 2);
        Field<T> s(bench.geometry);
        layout.pack({s_cells.data()}, s.data(), 0, layout.n_rows());
        std::vector<Field<T>> bars(setting.arms.size(), Field<T>(bench.geometry));
        std::vector<T*> places;
        for (Field<T>& bar : bars) places.push_back(bar.data());
        Field<T> bias_bar(bench.geometry);
        std::vector<OrderedSum> sums(setting.arms.size());
        bench.for_each_block(0, layout.n_rows(), [&](std::int64_t flat, std::int64_t n) {
            const WeightFields<T> fields{places.data(), bias_bar.data()};
            accumulate_stencil(bench.geometry, s.data(), bench.z.data(), 1, fields, flat, n);
            accumulate_stencil<T>(bench.geometry, s.data(), bench.z.data(), 1, sums.data(), flat,
                                  n);
        });
        std::vector<double> totals(setting.arms.size());
        for_each_position(grid, layout, 0, 0, [&](const auto& at, std::int64_t flat) {
            const std::int64_t cell = resolve(grid, at).cell;
            if (!grid.exists(cell)) return;
            ASSERT_EQ(bias_bar.data()[flat], -s_cells[static_cast<std::size_t>(cell)]);
            for (std::size_t k = 0; k < setting.arms.size(); ++k) {
                const double expected = s_cells[static_cast<std::size_t>(cell)] *
                                        seen(grid, bench.cells, at, setting.arms[k], cell);
                ASSERT_EQ(bars[k].data()[flat], static_cast<T>(expected))
                    << setting.what << ", cell " << cell << ", arm " << k;
                totals[k] += expected;
            }
        });
        for (std::size_t k = 0; k < totals.size(); ++k) {
            ASSERT_EQ(sums[k].value(), totals[k]) << setting.what << ", arm " << k;
        }
    }
}

// Blocks are cut where tiles end: the bits of a cell do not follow from its place in a block.
TYPED_TEST(StencilTest, BitsDoNotDependOnTheCutIntoBlocks) {
    using T = TypeParam;
    const auto grid = make_grid({700}, {{kPeriodic, kPeriodic}}, MaskKind::neumann);
    const StencilGeometry geometry(*grid, line_arms(1), 1, 1);
    const Layout& layout = geometry.layout();
    Field<T> z(geometry);
    const std::vector<T> cells = random_values<T>(700, 3);
    layout.pack({cells.data()}, z.data(), 0, 700);
    layout.fill_rows(z.data(), 0);
    layout.fill_rows(z.data(), 1);
    const std::vector<T> values = random_values<T>(3, 4);
    const T* pointers[] = {&values[0], &values[1], &values[2]};
    const StencilWeights<T> weights{pointers, false};
    const auto run = [&](std::int64_t length) {
        std::vector<T> out;
        for (std::int64_t row = 0; row < 700; row += length) {
            const std::int64_t n = std::min(length, 700 - row);
            alignas(64) T pre[kBlock];
            apply_stencil(geometry, weights, {}, z.data(), 1, pre, layout.begin(row), n);
            out.insert(out.end(), pre, pre + n);
        }
        return out;
    };
    const std::vector<T> whole = run(kBlock);
    for (const std::int64_t length : {1, 3, 17, 64, 100, 255}) EXPECT_EQ(run(length), whole);
}

// A sample's values have the same bits alone and in a bundle of any size; sums over samples are
// those of the samples one after the other, but that cut arms follow behind the whole bundle.
TYPED_TEST(StencilTest, BitsOfASampleDoNotDependOnItsBundle) {
    using T = TypeParam;
    for (const Setting& setting : settings()) {
        for (const bool is_local : {false, true}) {
            Bench<T> bench(setting, is_local);
            const Layout& layout = bench.layout;
            const std::int64_t flat = layout.begin(0);
            const std::int64_t n = std::min<std::int64_t>(kBlock - 3, layout.row_length() * 4);
            const std::int64_t stride =
                round_up(bench.geometry.wide_field_length(), kAlignedEntries);
            const auto make_bundle = [&](unsigned seed) {
                std::vector<T> memory(static_cast<std::size_t>(kMaxBundle * stride));
                for (unsigned g = 0; g < kMaxBundle; ++g) {
                    const std::vector<T> values = random_values<T>(stride, seed + g);
                    std::copy(values.begin(), values.end(), memory.begin() + g * stride);
                }
                return memory;
            };
            const auto view = [&](std::vector<T>& memory) {
                return Fields<T>(memory.data() + bench.geometry.wide_margin(), stride);
            };
            std::vector<T> z = make_bundle(40), s = make_bundle(50), lambda = make_bundle(60);
            const T omega = T(0.5);
            struct Result {
                std::vector<T> pre, pulled;
                std::vector<Field<T>> bars;
                std::vector<double> sums;
            };
            // The samples in pieces of `size`.
            const auto run = [&](int size) {
                Result result;
                result.pre.resize(static_cast<std::size_t>(kMaxBundle * kBlock));
                result.pulled.resize(static_cast<std::size_t>(kMaxBundle * stride));
                result.bars.resize(setting.arms.size() + 1, Field<T>(bench.geometry));
                std::vector<T*> places;
                for (Field<T>& bar : result.bars) places.push_back(bar.data());
                std::vector<OrderedSum> sums(setting.arms.size());
                for (int g = 0; g < kMaxBundle; g += size) {
                    const int count = std::min(size, kMaxBundle - g);
                    apply_stencil(bench.geometry, bench.weights, bench.bias(), view(z).from(g),
                                  count, result.pre.data() + g * block_stride<T>(n), flat, n);
                    gather_stencil(bench.geometry, bench.weights, {&omega, false}, T(0.25),
                                   view(lambda).from(g), view(s).from(g), count,
                                   view(result.pulled).from(g), flat, n);
                    const WeightFields<T> fields{places.data(), places.back()};
                    accumulate_stencil(bench.geometry, view(s).from(g), view(z).from(g), count,
                                       fields, flat, n);
                    accumulate_stencil<T>(bench.geometry, view(s).from(g), view(z).from(g), count,
                                          sums.data(), flat, n);
                }
                for (const OrderedSum& sum : sums) result.sums.push_back(sum.value());
                return result;
            };
            Result alone = run(1);
            for (const int size : {2, 3, 4}) {
                Result bundled = run(size);
                for (int g = 0; g < kMaxBundle; ++g) {
                    const auto begin = static_cast<std::ptrdiff_t>(g * block_stride<T>(n));
                    EXPECT_TRUE(std::equal(alone.pre.begin() + begin, alone.pre.begin() + begin + n,
                                           bundled.pre.begin() + begin))
                        << setting.what << ", sample " << g << " of " << size;
                }
                EXPECT_EQ(bundled.pulled, alone.pulled) << setting.what << ", " << size;
                EXPECT_EQ(bundled.sums, alone.sums) << setting.what << ", " << size;
                for (std::size_t k = 0; k < alone.bars.size(); ++k) {
                    const double bound =
                        setting.grid->has_mask() ? 16 * std::numeric_limits<T>::epsilon() : 0.0;
                    for (std::int64_t i = flat; i < flat + n; ++i) {
                        ASSERT_NEAR(bundled.bars[k].data()[i], alone.bars[k].data()[i], bound)
                            << setting.what << ", array " << k;
                    }
                }
            }
        }
    }
}

TEST(StencilGeometry, RefusesANeumannAxisShorterThanTheRadius) {
    const auto grid = make_grid({2}, {{kNeumann, kNeumann}});
    EXPECT_THROW(StencilGeometry(*grid, line_arms(3), 3, 3), ArgumentError);
    EXPECT_NO_THROW(StencilGeometry(*grid, line_arms(2), 2, 2));
}

}  // namespace
}  // namespace relaxon
