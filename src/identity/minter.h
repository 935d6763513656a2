// SPDX-License-Identifier: Apache-2.0
//
// The only way to make a Principal. Included by the authenticator, the CLI's local
// administrator and tests; nowhere else (tests/tidy checks it).
#pragma once

#include <memory>

#include "base/principal.h"

namespace kubiya::identity {

class Minter {
 public:
  static PrincipalPtr mint(PrincipalFacts&& facts) {
    return PrincipalPtr(new Principal(std::move(facts)));
  }
};

}  // namespace kubiya::identity
