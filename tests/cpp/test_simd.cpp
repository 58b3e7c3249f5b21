// Packs against plain loops over their lanes.
#include "relaxon/base/simd.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace relaxon {
namespace {

template <class T>
class SimdTest : public testing::Test {};

using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(SimdTest, Precisions);

template <class T>
Pack<T> counting() {
    std::vector<T> values(kPackWidth<T>);
    std::iota(values.begin(), values.end(), T(1));
    return load(values.data());
}

TYPED_TEST(SimdTest, PackIsAsWideAsItSays) {
    using T = TypeParam;
    static_assert(sizeof(Pack<T>) == kPackWidth<T> * sizeof(T));
    static_assert(sizeof(Mask<T>) == sizeof(Pack<T>) && sizeof(BitPack<T>) == sizeof(Pack<T>));
    static_assert((kPackWidth<T> & (kPackWidth<T> - 1)) == 0);
}

TYPED_TEST(SimdTest, LoadsAndStoresAtAnyAddress) {
    using T = TypeParam;
    constexpr std::size_t width = kPackWidth<T>;
    for (std::size_t offset = 0; offset < width; ++offset) {
        std::vector<T> from(width + offset);
        std::iota(from.begin(), from.end(), T(1));
        const Pack<T> pack = load(from.data() + offset);
        std::vector<T> to(width + offset, T(-1));
        store(to.data() + offset, pack);
        for (std::size_t i = 0; i < to.size(); ++i) {
            EXPECT_EQ(to[i], i < offset ? T(-1) : from[i]);
        }
    }
}

// As a load one entry before or after would have given.
TYPED_TEST(SimdTest, PacksSlideOverTwoThatFollowEachOther) {
    using T = TypeParam;
    constexpr std::size_t width = kPackWidth<T>;
    std::vector<T> line(2 * width);
    std::iota(line.begin(), line.end(), T(1));
    const Pack<T> low = load(line.data()), high = load(line.data() + width);
    const Pack<T> before = pack_before<T>(low, high), after = pack_after<T>(low, high);
    for (std::size_t i = 0; i < width; ++i) {
        EXPECT_EQ(before[i], line[width - 1 + i]);
        EXPECT_EQ(after[i], line[1 + i]);
    }
}

TYPED_TEST(SimdTest, PartOrWholeFollowsFromWhatIsLeft) {
    using T = TypeParam;
    constexpr std::size_t width = kPackWidth<T>;
    for (std::size_t n = 1; n <= width; ++n) {
        std::vector<T> from(n, T(2)), to(n, T(0));
        store_up_to(to.data(), load_up_to(from.data(), static_cast<std::int64_t>(n)),
                    static_cast<std::int64_t>(n));
        EXPECT_EQ(to, from);
    }
    std::vector<T> from(width + 3, T(2)), to(width + 3, T(0));
    store_up_to(to.data(), load_up_to(from.data(), width + 3), width + 3);
    for (std::size_t i = 0; i < to.size(); ++i) EXPECT_EQ(to[i], i < width ? T(2) : T(0));
}

// Arrays as short as the part: the address sanitizer sees any access beyond.
TYPED_TEST(SimdTest, PartialAccessTouchesItsPartOnly) {
    using T = TypeParam;
    constexpr std::size_t width = kPackWidth<T>;
    for (std::size_t n = 1; n <= width; ++n) {
        std::vector<T> from(n);
        std::iota(from.begin(), from.end(), T(1));
        const Pack<T> pack = load_partial(from.data(), n);
        for (std::size_t lane = 0; lane < width; ++lane) {
            EXPECT_EQ(pack[lane], lane < n ? T(lane + 1) : T(0));
        }
        std::vector<T> exact(n);
        store_partial(exact.data(), counting<T>(), n);
        EXPECT_EQ(exact, from);
        std::vector<T> longer(width + 1, T(-1));
        store_partial(longer.data(), counting<T>(), n);
        for (std::size_t i = n; i < longer.size(); ++i) EXPECT_EQ(longer[i], T(-1));
    }
}

TYPED_TEST(SimdTest, BroadcastKeepsEveryBit) {
    using T = TypeParam;
    const T inf = std::numeric_limits<T>::infinity();
    for (const T value : {T(1.5), T(0), -T(0), inf, -inf, std::numeric_limits<T>::denorm_min()}) {
        const Pack<T> pack = broadcast(value);
        for (std::size_t lane = 0; lane < kPackWidth<T>; ++lane) {
            EXPECT_EQ(pack[lane], value);
            EXPECT_EQ(std::signbit(pack[lane]), std::signbit(value));
        }
    }
    EXPECT_TRUE(std::isnan(broadcast(std::numeric_limits<T>::quiet_NaN())[0]));
}

TYPED_TEST(SimdTest, SelectsLaneByLane) {
    using T = TypeParam;
    const Pack<T> a = counting<T>();
    const Pack<T> chosen = select(a <= T(2), a, -a);
    for (std::size_t lane = 0; lane < kPackWidth<T>; ++lane) {
        EXPECT_EQ(chosen[lane], lane < 2 ? T(lane + 1) : -T(lane + 1));
    }
}

TYPED_TEST(SimdTest, MinAndMaxTakeTheSecondOfUnorderedOperands) {
    using T = TypeParam;
    const Pack<T> one = broadcast(T(1));
    const Pack<T> two = broadcast(T(2));
    const Pack<T> nan = broadcast(std::numeric_limits<T>::quiet_NaN());
    EXPECT_EQ(min(one, two)[0], T(1));
    EXPECT_EQ(min(two, one)[0], T(1));
    EXPECT_EQ(max(one, two)[0], T(2));
    EXPECT_EQ(max(two, one)[0], T(2));
    EXPECT_TRUE(std::isnan(min(one, nan)[0]));
    EXPECT_TRUE(std::isnan(max(one, nan)[0]));
    EXPECT_EQ(min(nan, one)[0], T(1));
    EXPECT_EQ(max(nan, one)[0], T(1));
}

TYPED_TEST(SimdTest, AbsClearsTheSignAlone) {
    using T = TypeParam;
    const T values[] = {T(-2), T(2), -T(0), -std::numeric_limits<T>::infinity(),
                        -std::numeric_limits<T>::denorm_min()};
    for (const T value : values) {
        const T result = abs(broadcast(value))[0];
        EXPECT_EQ(result, std::abs(value));
        EXPECT_FALSE(std::signbit(result));
    }
    EXPECT_TRUE(std::isnan(abs(broadcast(std::numeric_limits<T>::quiet_NaN()))[0]));
}

TYPED_TEST(SimdTest, BitCastKeepsTheBits) {
    using T = TypeParam;
    const Pack<T> pack = counting<T>();
    const BitPack<T> bits = bit_cast<BitPack<T>>(pack);
    EXPECT_EQ(std::uint64_t(bits[0]),
              sizeof(T) == 4 ? std::uint64_t(0x3f800000) : std::uint64_t(0x3ff0000000000000));
    const Pack<T> back = bit_cast<Pack<T>>(bits);
    for (std::size_t lane = 0; lane < kPackWidth<T>; ++lane) EXPECT_EQ(back[lane], pack[lane]);
}

// Terms whose sum depends on the order: halves folded, which the plain loop below restates.
TYPED_TEST(SimdTest, HorizontalSumFoldsHalves) {
    using T = TypeParam;
    std::vector<T> lanes(kPackWidth<T>);
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        lanes[i] = (i % 2 == 0 ? T(1) : T(-1)) * std::pow(T(3.7), T(i)) + T(0.1);
    }
    const T sum = horizontal_sum(load(lanes.data()));
    for (std::size_t n = lanes.size(); n > 1; n /= 2) {
        for (std::size_t i = 0; i < n / 2; ++i) lanes[i] += lanes[i + n / 2];
    }
    EXPECT_EQ(sum, lanes[0]);
}

TYPED_TEST(SimdTest, ForEachPackCoversARangeOnce) {
    using T = TypeParam;
    for (std::size_t n = 0; n <= 3 * kPackWidth<T> + 1; ++n) {
        std::size_t next = 0;
        for_each_pack<T>(n, [&](std::size_t offset, std::size_t count) {
            EXPECT_EQ(offset, next);
            EXPECT_GT(count, std::size_t(0));
            next += count;
            EXPECT_TRUE(count == kPackWidth<T> || next == n);
        });
        EXPECT_EQ(next, n);
    }
}

}  // namespace
}  // namespace relaxon
