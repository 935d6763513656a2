// SPDX-License-Identifier: Apache-2.0
//
// DPoP proofs (RFC 9449): the client shows with each request that it holds the key a token is bound
// to. One proof against one request; whether it came before is for replay.h. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "crypto/digest.h"
#include "identity/jwt.h"

namespace kubiya::identity {

struct DpopOptions {
  std::string origin;  // of this server as clients know it, "https://mcp.example.com"
  // Empty: no proofs are taken, and tokens that need one are refused.
  std::vector<crypto::Algorithm> algorithms{crypto::Algorithm::es256, crypto::Algorithm::es384,
                                            crypto::Algorithm::eddsa, crypto::Algorithm::ps256,
                                            crypto::Algorithm::rs256};
  std::chrono::seconds window{60};  // how far `iat` may be from our clock, either way
  std::size_t proofs = 1'000'000;   // of an issuer's tokens, so that none serves twice; beyond: 503
  bool nonces = false;              // each proof must hold one of ours (§9)
};

struct ProofContext {
  std::string_view method;  // of the request
  std::string_view target;  // its absolute URL, without query
  std::string_view token;   // the access token, as presented
  std::string_view key;     // the token's `jkt`, 32 bytes
};

struct ProofMarks {
  crypto::Digest id;  // by which the proof can be known again
  std::string nonce;  // as the client says it; empty: none
};
// §4.3 but for replay and nonce. Refused with bad_proof, proof_of_another_request, proof_outdated
// or proof_of_another_key.
Checked<ProofMarks> check_proof(std::string_view proof, const DpopOptions& options,
                                const ProofContext& request, Wall now);

// The nonces of one process (§8, §9): each is good for five to ten minutes, and nothing is kept of
// it. Any thread.
class ProofNonces {
 public:
  ProofNonces();
  std::string current(Wall now) const;
  bool accepts(std::string_view nonce, Wall now) const;

 private:
  std::string of_period(std::int64_t period) const;
  Secret key_;
};

// RFC 7638: SHA-256 of the key's required members.
crypto::Digest thumbprint(const crypto::PublicKey& key);

// An http or https URL without query and fragment in one spelling (RFC 3986 §6.2.2 and §6.2.3;
// dot segments stay). Nothing for anything else, or with user information.
std::optional<std::string> normal_target(std::string_view url);

// "ES256 PS256", for challenges (§7.1).
std::string algorithm_list(const std::vector<crypto::Algorithm>& algorithms);

}  // namespace kubiya::identity
