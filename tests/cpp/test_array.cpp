#include "relaxon/base/array.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "relaxon/base/error.hpp"

namespace relaxon {
namespace {

TEST(RoundUp, GivesTheNextMultiple) {
    EXPECT_EQ(round_up(0, 64), 0);
    EXPECT_EQ(round_up(1, 64), 64);
    EXPECT_EQ(round_up(64, 64), 64);
    EXPECT_EQ(round_up(65, 64), 128);
}

template <class T>
void take_pieces(Arena& arena, std::vector<std::byte*>& pieces) {
    for (const std::int64_t n : {1, 16, 100, 0, 7}) {
        pieces.push_back(reinterpret_cast<std::byte*>(arena.take<T>(n)));
    }
}

TEST(Arena, CarvesWhatItMeasured) {
    std::vector<std::byte*> pieces;
    Arena measure;
    take_pieces<double>(measure, pieces);
    take_pieces<float>(measure, pieces);
    for (const std::byte* piece : pieces) EXPECT_EQ(piece, nullptr);
    EXPECT_TRUE(measure.is_measuring());

    pieces.clear();
    Block block(measure.used_bytes());
    Arena arena(block);
    take_pieces<double>(arena, pieces);
    take_pieces<float>(arena, pieces);
    EXPECT_FALSE(arena.is_measuring());
    EXPECT_EQ(arena.used_bytes(), measure.used_bytes());
    for (const std::byte* piece : pieces) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % kAlignment, 0u);
    }
    // Five lengths in doubles, then in floats, each followed by the next without an overlap.
    const std::int64_t bytes[] = {8, 128, 800, 0, 56, 4, 64, 400, 0, 28};
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
        EXPECT_EQ(pieces[i + 1] - pieces[i], round_up(bytes[i], kAlignment)) << i;
    }
}

TEST(Arena, ZeroesWhereAskedTo) {
    Block block(1024);
    std::fill(block.data(), block.data() + 1024, std::byte{0xff});
    Arena arena(block);
    const double* zeroed = arena.take_zeroed<double>(10);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(zeroed[i], 0.0);
    EXPECT_EQ(block.data()[80], std::byte{0xff});
}

TEST(Block, IsAlignedAndWritableToTheEnd) {
    for (const std::int64_t n : {0, 1, 63, 64, 65, 4097}) {
        Block block(n);
        ASSERT_NE(block.data(), nullptr);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.data()) % kAlignment, 0u);
        std::fill(block.data(), block.data() + n, std::byte{1});
    }
}

#ifdef __linux__
TEST(Block, SaysWhatTheMachineLacks) {
    EXPECT_THROW(Block(std::numeric_limits<std::int64_t>::max() / 2), MemoryShortage);
}
#endif

}  // namespace
}  // namespace relaxon
