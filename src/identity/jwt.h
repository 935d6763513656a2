// SPDX-License-Identifier: Apache-2.0
//
// Compact JWS (RFC 7515) as an access token. Pure: text in, an unverified token out;
// nothing of it may be believed before verify_signature() and check_claims() agree.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/monotonic_resource.hpp>

#include "base/clock.h"
#include "base/json.h"
#include "base/scopes.h"
#include "base/secret.h"
#include "crypto/signature.h"
#include "identity/confirmation.h"
#include "identity/reason.h"
#include "identity/rules.h"
#include "identity/trail.h"

namespace kubiya::identity {

struct Failure {
  Reason reason;
  std::string detail;  // for log and audit; never holds the token or a key
};
template <class T>
using Checked = tl::expected<T, Failure>;

}  // namespace kubiya::identity

namespace kubiya {

// So that TRY works on a Checked<T> as on a Result<T>.
[[nodiscard]] inline tl::unexpected<identity::Failure> fail(identity::Failure failure) {
  return tl::unexpected<identity::Failure>(std::move(failure));
}
[[nodiscard]] inline tl::unexpected<identity::Failure> fail(identity::Reason reason,
                                                            std::string detail = {}) {
  return fail(identity::Failure{reason, std::move(detail)});
}

}  // namespace kubiya

namespace kubiya::identity {

struct TokenLimits {
  std::size_t token_bytes = 8 * 1024;
  std::size_t header_bytes = 1024;  // decoded
  std::size_t claims = 64;
  std::size_t kid_bytes = 128;
  std::size_t json_depth = 8;
};

// What an accepted header says.
struct TokenHeader {
  crypto::Algorithm algorithm{};
  std::optional<std::string> kid;
  std::optional<std::string> type;  // `typ`, as written
};

// The headers that came last, by their exact text: the tokens of one issuer's key share theirs.
// For one set of limits. One thread at a time.
class HeaderMemo {
 public:
  // Valid until put().
  const TokenHeader* find(std::string_view encoded) const;
  void put(std::string_view encoded, const TokenHeader& header);

 private:
  static constexpr std::size_t kEntries = 8;
  std::vector<std::pair<std::string, TokenHeader>> entries_;
  std::size_t oldest_ = 0;
};

// Ordinary claims fit into the buffer, and the whole into a block that the allocator is quick with.
struct ClaimsMemory {
  unsigned char buffer[896];
  json::monotonic_resource resource{buffer, sizeof buffer};
};

struct UnverifiedToken : TokenHeader {
  UnverifiedToken() = default;
  UnverifiedToken(UnverifiedToken&&) = default;
  // Would free the memory under the claims that are assigned to.
  UnverifiedToken& operator=(UnverifiedToken&&) = delete;

  std::string_view signing_input;  // into the caller's text
  std::string signature;
  // Of the claims: read, looked at and thrown away as a whole.
  std::unique_ptr<ClaimsMemory> memory = std::make_unique_for_overwrite<ClaimsMemory>();
  json::object claims{&memory->resource};
};

// The JWS alone: `token.claims` stays empty and the payload is whatever bytes were signed.
struct Envelope {
  UnverifiedToken token;
  std::string payload;
};
// Accepted headers: `alg` of our list; `typ` absent, JWT, at+jwt or application/at+jwt (any case);
// `kid` absent or 1 to kid_bytes bytes of visible text. `crit`, `b64`, `zip` and `cty` are
// refused. `jwk`, `jku`, `x5u`, `x5c`, `x5t` are ignored: keys come from the issuer's set only.
// With `memo`, a header that is accepted is remembered and not read again.
Checked<Envelope> parse_envelope(std::string_view text, const TokenLimits& limits = {},
                                 HeaderMemo* memo = nullptr);

Checked<UnverifiedToken> parse_token(std::string_view text, const TokenLimits& limits = {},
                                     HeaderMemo* memo = nullptr);

// What a verified token says. `display_name`, `email` and `client` are for people: cut,
// escaped, and empty rather than a reason to refuse.
struct TokenFacts {
  std::string tenant, issuer, subject, display_name, email, client;
  Scopes scopes;                    // as presented, and what roles and the issuer's rules add
  std::vector<std::string> groups;  // names in `role_claims`
  Wall expires_at;
  std::optional<Wall> issued_at;
  std::optional<Secret> api_key;
  std::string api_key_source;  // "claim:kubiya_api_key"; empty when none
  std::string key_reference;   // the name of a key in the vault; empty when none
  ConfirmationPtr confirmation;
  bool of_client = false;  // of a client that acts for itself, not for a person
};

// Claims against the rules, `now` as a parameter. Cheap checks: meant to run before the
// signature is verified, and believed only after.
Checked<TokenFacts> check_claims(const UnverifiedToken& token, const TokenRules& rules, Wall now,
                                 Trail* trail = nullptr);

// The same for the members of an introspection answer (RFC 7662 §2.2), where `iss`, `exp` and,
// when `allow_missing_audience`, `aud` may be absent. No `exp`: Wall::max().
Checked<TokenFacts> check_introspected(const json::object& members, const TokenRules& rules,
                                       bool allow_missing_audience, Wall now,
                                       Trail* trail = nullptr);

// Only for log and audit of a refusal: escaped, cut, believed by nobody.
struct Claimed {
  std::string issuer, subject;
};
Claimed claimed_by(const UnverifiedToken& token);

}  // namespace kubiya::identity
