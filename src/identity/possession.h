// SPDX-License-Identifier: Apache-2.0
//
// Holds a request against what its token is bound to: a key (DPoP, RFC 9449) or a client
// certificate (RFC 8705). The token may be remembered; this is asked with every request.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "identity/authenticator.h"
#include "identity/confirmation.h"
#include "identity/credential.h"
#include "identity/dpop.h"
#include "identity/replay.h"

namespace kubiya::identity {

// What a request shows besides its token. Views into it.
struct Possession {
  bool dpop_scheme = false;  // `Authorization: DPoP`
  bool look_only = false;    // these two as in Presented
  bool proof_taken = false;
  std::size_t proofs = 0;  // DPoP headers
  std::string_view proof;  // the first one's value
  std::string_view method;
  std::string_view path;
  std::string_view certificate;  // the client's of this connection, DER; empty: none
};

Possession possession_of(const Presented& presented, const Credential& credential);

// The same for a request that has to wait, without views into it.
struct KeptPossession {
  explicit KeptPossession(const Possession& shown);
  Possession view() const;

 private:
  Possession shown_;
  std::string proof_, method_, path_, certificate_;
};

// Any thread.
class PossessionJudge {
 public:
  PossessionJudge(DpopOptions options, std::size_t issuers, const Clock& clock);
  // `bound` is null for a token that is bound to nothing, which must not come under the scheme of
  // the others (RFC 9449 §7.1). `issuer`: the place of the token's, each of which has its own
  // memory of proofs.
  Checked<void> check(const Confirmation* bound, std::string_view token, const Possession& shown,
                      std::size_t issuer);
  // What the next proof should hold; empty: none is asked for.
  std::string nonce() const;

 private:
  Checked<void> check_key(const Confirmation& bound, std::string_view token,
                          const Possession& shown, ReplayGuard& served);

  const DpopOptions options_;
  const Clock& clock_;
  const ProofNonces nonces_;
  std::deque<ReplayGuard> served_;  // by issuer
};

}  // namespace kubiya::identity
