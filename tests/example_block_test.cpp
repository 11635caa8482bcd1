// The block of docs/add-a-block.md passes what every mixer must.
#include <gtest/gtest.h>

#include "tests/examples/gated_average.h"
#include "tests/support/mixer_testing.h"

namespace vigor {
namespace {

TEST(GatedAverage, HasRightGradients) {
  example::GatedAverage mixer(3);
  testing::expect_module_gradients(mixer);
}

TEST(GatedAverage, PiecesEqualTheWholeSequence) {
  example::GatedAverage mixer(3);
  testing::expect_pieces_equal_whole(mixer);
}

}  // namespace
}  // namespace vigor
