// SPDX-License-Identifier: Apache-2.0
//
// Authenticated encryption of small texts that others keep for us: AES-256-GCM (NIST
// SP 800-38D) with a random 96-bit nonce each time. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/secret.h"

namespace kubiya::crypto {

class Sealer {
 public:
  // The key is derived from `secret`, for `purpose` alone.
  Sealer(const Secret& secret, std::string_view purpose);
  // nonce ‖ ciphertext ‖ tag. `context` is authenticated and not contained.
  std::string seal(std::string_view text, std::string_view context) const;
  // Nothing when the bytes, the context or the key are not the ones that were sealed with.
  std::optional<std::string> open(std::string_view sealed, std::string_view context) const;

 private:
  Secret key_;
};

}  // namespace kubiya::crypto
