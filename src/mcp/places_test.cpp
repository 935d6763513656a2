// SPDX-License-Identifier: Apache-2.0
#include "mcp/places.h"

#include <gtest/gtest.h>

namespace kubiya::mcp {
namespace {

TEST(Places, OneOwnerCannotHoldThemAll) {
  Places places(3, 2);
  auto first = places.take("ada");
  auto second = places.take("ada");
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(places.take("ada"));
  auto other = places.take("bob");
  EXPECT_TRUE(other);
  EXPECT_FALSE(places.take("eve")) << "all are taken";
  first.reset();
  EXPECT_TRUE(places.take("ada")) << "given back with the last copy";
}

TEST(Places, APlaceMayOutliveTheTable) {
  std::shared_ptr<void> kept;
  {
    Places places(1, 1);
    kept = places.take("ada");
  }
  EXPECT_TRUE(kept);
}

}  // namespace
}  // namespace kubiya::mcp
