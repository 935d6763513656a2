// SPDX-License-Identifier: Apache-2.0
#include "identity/link_token.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/digest.h"

namespace kubiya::identity {

std::string new_link_token() {
  std::array<char, 32> bytes{};
  random_bytes(bytes.data(), bytes.size());
  return base64url({bytes.data(), bytes.size()});
}

// The few values beyond the last whole hundred million are drawn again, so that all are as likely.
std::string new_link_code() {
  constexpr std::uint32_t kCodes = 100'000'000;
  constexpr std::uint32_t kFair = UINT32_MAX / kCodes * kCodes;
  std::uint32_t drawn = kFair;
  while (drawn >= kFair) random_bytes(&drawn, sizeof drawn);
  return fmt::format("{:08}", drawn % kCodes);
}

std::string link_place(std::string_view token) {
  return std::string(crypto::view(crypto::sha256(token)));
}

}  // namespace kubiya::identity
