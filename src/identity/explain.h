// SPDX-License-Identifier: Apache-2.0
//
// The verdict on one credential together with how it came about: the judge's own, for people
// who ask why. Waits for issuers; not for event loops.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "identity/authenticator.h"
#include "identity/trail.h"

namespace kubiya::identity {

struct Explanation {
  Verdict verdict;
  Trail trail;
};

// What the authenticator would say of it, unless an issuer does not answer within `patience`:
// then it is keys_unavailable or introspection_unavailable. All references outlive the call.
Explanation explain(const Presented& presented, const AuthenticatorOptions& options,
                    const std::vector<std::unique_ptr<Issuer>>& issuers, const KeyBook& keys,
                    const PersonBook& people, const Clock& clock,
                    std::chrono::milliseconds patience);

}  // namespace kubiya::identity
