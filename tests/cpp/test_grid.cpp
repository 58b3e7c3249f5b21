#include "relaxon/domain/grid.hpp"

#include <gtest/gtest.h>

#include "grids.hpp"
#include "relaxon/base/error.hpp"

namespace relaxon {
namespace {

TEST(Grid, RefusesWhatIsNoGrid) {
    const std::vector<Sides> one{{kPeriodic, kPeriodic}};
    EXPECT_THROW(Grid({}, {}, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({0}, one, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({3, 3}, one, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({3}, one, {1, 1}, kNeumann, 1.0), ArgumentError);
    EXPECT_THROW(Grid({std::int64_t{1} << 41}, one, {}, kNeumann, 1.0), ArgumentError);
    EXPECT_NO_THROW(Grid({3}, one, {1, 0, 1}, kNeumann, 1.0));
}

}  // namespace
}  // namespace relaxon
