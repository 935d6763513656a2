// SPDX-License-Identifier: Apache-2.0
//
// A verified caller. Only identity makes one (through identity::Minter), so
// holding a Principal is proof that a credential was checked.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/scopes.h"
#include "base/secret.h"

namespace kubiya {

namespace identity {
class Minter;
}

enum class CredentialKind {
  token,         // of a person
  client_token,  // of a client that acts for itself (RFC 6749 §4.4): it is the principal
  api_key,
  shared_key,
};
std::string_view to_string(CredentialKind kind);

struct PrincipalFacts {
  std::string tenant = "default";
  std::string issuer;               // `iss`, or "urn:kubiya:api-key" for API keys
  std::string subject;              // `sub`, or the owner of the API key
  std::string display_name;         // for people only; never decides anything
  std::string email;                // likewise
  std::string client;               // `client_id` or `azp`; empty when unknown
  Scopes scopes;                    // effective: token ∩ key
  Scopes token_scopes;              // as presented, after mapping
  Scopes required_scopes;           // what every request of this issuer's callers needs
  std::vector<std::string> groups;  // and roles: the names in the issuer's `role_claims`
  CredentialKind kind = CredentialKind::token;
  std::optional<Secret> api_key;  // the caller's own Kubiya key, when found
  std::string api_key_source;     // "claim:kubiya_api_key", "header", … ; empty when none
  std::string key_fingerprint;    // 8 hex digits, or empty
  std::optional<Secret> token;    // as presented, where the issuer exchanges tokens (RFC 8693)
  Wall expires_at = Wall::max();
  // Until when it may be held longer than a request: its credential has ended then, leeway
  // included, or must be shown again, because only its issuer knows whether it is still good.
  Wall trusted_until = Wall::max();
};

class Principal {
 public:
  const PrincipalFacts& facts() const { return facts_; }
  const PrincipalFacts* operator->() const { return &facts_; }
  // Two principals are the same person iff tenant, issuer and subject are equal.
  // The fields are length-prefixed, so no two triples share a key: "4:acme,5:https,3:ada".
  const std::string& owner() const { return owner_; }

 private:
  friend class identity::Minter;
  explicit Principal(PrincipalFacts&& facts);
  PrincipalFacts facts_;
  std::string owner_;
};

using PrincipalPtr = std::shared_ptr<const Principal>;

}  // namespace kubiya
