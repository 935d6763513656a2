// SPDX-License-Identifier: Apache-2.0
//
// What a PublicKey holds. Private to crypto/.
#pragma once

#include <array>

#include "crypto/openssl.h"

namespace kubiya::crypto {

// The key and, for each algorithm that fits it, a context that is ready to verify. Setting one
// up costs a sixth of an RS256 verification, copying it does not; the originals are never
// written after construction, so any number of threads may copy them.
struct PublicKey::Material {
  KeyPtr key;
  std::array<KeyContext, 10> ready;
};

}  // namespace kubiya::crypto
