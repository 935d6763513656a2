// SPDX-License-Identifier: Apache-2.0
#include "mcp/places.h"

#include <gtest/gtest.h>

#include "mcp/test_support.h"

namespace kubiya::mcp {
namespace {

TEST(Places, NeitherOneCallerNorOneTenantCanHoldThemAll) {
  Places places({.all = 4, .of_tenant = 3, .of_caller = 2});
  const auto ada = somebody("ada");
  auto first = places.take(*ada);
  auto second = places.take(*ada);
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(places.take(*ada));
  auto bobs = places.take(*somebody("bob"));
  EXPECT_TRUE(bobs);
  EXPECT_FALSE(places.take(*somebody("cleo"))) << "the tenant's fourth";
  auto elsewhere = places.take(*somebody("ada", "other"));
  EXPECT_TRUE(elsewhere) << "a namesake in another tenant is another caller";
  EXPECT_FALSE(places.take(*somebody("eve", "third"))) << "all are taken";
  first.reset();
  EXPECT_TRUE(places.take(*ada)) << "given back with the last copy";
}

TEST(Places, KeepSomeForOthersWhereNothingIsSaid) {
  Places places({.all = 8});
  std::vector<std::shared_ptr<void>> held;
  while (auto place = places.take(*somebody("ada"))) held.push_back(std::move(place));
  EXPECT_EQ(held.size(), 6U);
  while (auto place = places.take(*somebody("bob"))) held.push_back(std::move(place));
  EXPECT_EQ(held.size(), 7U);
  EXPECT_TRUE(places.take(*somebody("eve", "other")));
}

TEST(Places, APlaceMayOutliveTheTable) {
  std::shared_ptr<void> kept;
  {
    Places places({.all = 1, .of_tenant = 1, .of_caller = 1});
    kept = places.take(*somebody("ada"));
  }
  EXPECT_TRUE(kept);
}

}  // namespace
}  // namespace kubiya::mcp
