// SPDX-License-Identifier: Apache-2.0
#include "identity/link_token.h"

#include <array>

#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/digest.h"

namespace kubiya::identity {

std::string new_link_token() {
  std::array<char, 32> bytes{};
  random_bytes(bytes.data(), bytes.size());
  return base64url({bytes.data(), bytes.size()});
}

std::string link_place(std::string_view token) {
  return std::string(crypto::view(crypto::sha256(token)));
}

}  // namespace kubiya::identity
