// SPDX-License-Identifier: Apache-2.0
#include "crypto/seal.h"

#include <gtest/gtest.h>

namespace kubiya::crypto {
namespace {

TEST(Seal, GivesBackWhatWasSealedAndNothingElse) {
  const Sealer sealer(Secret("secret"), "test");
  for (const std::string text : {"", "x", "a longer text that fills more than one block"}) {
    const std::string sealed = sealer.seal(text, "context");
    EXPECT_EQ(sealer.open(sealed, "context"), text);
    EXPECT_NE(sealer.seal(text, "context"), sealed) << "a nonce is used once";
    EXPECT_FALSE(sealer.open(sealed, "other context"));
    EXPECT_FALSE(sealer.open(sealed + "x", "context"));
    EXPECT_FALSE(sealer.open(sealed.substr(0, sealed.size() - 1), "context"));
    EXPECT_FALSE(Sealer(Secret("secret"), "other").open(sealed, "context"));
    EXPECT_FALSE(Sealer(Secret("other"), "test").open(sealed, "context"));
    for (std::size_t i = 0; i < sealed.size(); ++i) {
      std::string flipped = sealed;
      flipped[i] = static_cast<char>(flipped[i] ^ 1);
      EXPECT_FALSE(sealer.open(flipped, "context")) << i;
    }
  }
}

TEST(Seal, RefusesWhatIsTooShortToBeSealed) {
  const Sealer sealer(Secret("secret"), "test");
  EXPECT_FALSE(sealer.open("", ""));
  EXPECT_FALSE(sealer.open(std::string(27, 'x'), ""));
}

}  // namespace
}  // namespace kubiya::crypto
