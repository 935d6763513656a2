// SPDX-License-Identifier: Apache-2.0
//
// One identity provider: finds its documents, keeps its keys fresh, and survives its
// outages. A bad document never replaces a good one; an unknown key name causes at
// most one refetch per interval.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/scopes.h"
#include "http/client.h"
#include "identity/introspection.h"
#include "identity/jwt.h"
#include "identity/key_set.h"
#include "identity/token_exchange.h"

namespace kubiya::identity {

enum class DiscoveryForm { oidc, oauth };
enum class TokenKind {
  jwt,
  opaque,  // whatever it looks like, the issuer is asked about it
};

// Where the callers' tenant comes from; the configuration settles it into TokenRules.
enum class TenantRule { automatic, fixed, claim, issuer };

struct IssuerOptions {
  std::string name;             // for people and tenant rules; empty: none
  std::string url;              // as configured
  std::string document_issuer;  // what the document's `issuer` must be; empty: url
  std::string client_id;        // this server's application at the provider; for presets
  std::string scope_prefix;     // in front of scopes that a client asks this issuer for
  Scopes sign_in_scopes;        // what it asks for instead of ours; empty: ours
  TokenKind tokens = TokenKind::jwt;
  IntrospectionOptions introspection;
  ExchangeOptions exchange;
  DiscoveryForm form = DiscoveryForm::oidc;
  TenantRule tenant_rule = TenantRule::automatic;
  TokenRules rules;
  std::string jwks_uri;               // overrides the document's; "file:/path" for air-gapped use
  std::chrono::seconds refresh{300};  // bounds: Cache-Control between 60 s and this ×12
  std::chrono::seconds refetch_min{30};    // between refetches for an unknown kid
  std::chrono::seconds stale_max{3600};    // keys live this long without a successful refresh
  std::string cache_file;                  // last good documents, for a fast start; empty: none
  std::vector<std::string> allow_private;  // hosts that may be at private addresses
};

// The URLs to try, in order, for a configured issuer URL.
// oidc: issuer + /.well-known/openid-configuration.
// oauth: /.well-known/oauth-authorization-server before the path, then the oidc form.
Result<std::vector<std::string>> discovery_urls(std::string_view issuer, DiscoveryForm form);
// https, or http on loopback; no userinfo, query or fragment.
Result<> check_issuer_url(std::string_view url);
// For IssuerOptions::jwks_uri: "file:/absolute/path", https, or http on loopback.
Result<> check_jwks_uri(std::string_view uri);
// https, or http on loopback: of endpoints that are configured.
Result<> check_endpoint_url(std::string_view url);

class Issuer {
 public:
  // Loads the cache file and starts the first fetch; waits for nothing. Options that the checks
  // above refuse leave an issuer that is never ready and says why.
  static std::unique_ptr<Issuer> open(IssuerOptions options, http::Client& client,
                                      const Clock& clock);
  virtual ~Issuer() = default;

  virtual const IssuerOptions& options() const = 0;
  // The current keys, or null before the first success and after stale_max; an empty set where
  // tokens are opaque. Any thread, no lock held.
  virtual std::shared_ptr<const KeySet> keys() const = 0;
  // Grows whenever the set changes; caches of verified tokens are dropped then.
  virtual std::uint64_t epoch() const = 0;
  // Asks for fresh keys because of an unknown kid or because there are none. `done(true)` after a
  // successful fetch, `done(false)` at once when the interval has not passed or too many wait.
  // `done` runs on the client's thread, on tick()'s, or inside the call; never after the issuer
  // is destroyed, unless it was already running.
  virtual void refetch(std::function<void(bool)> done) = 0;
  // The authorization server's metadata as published (JSON text), for republication.
  virtual std::shared_ptr<const std::string> metadata() const = 0;
  // Where tokens are asked about: as configured, or as in the metadata; empty while unknown.
  virtual std::string introspection_url() const = 0;
  // Asks the issuer about a token that only it can read. `done` and `trail` as in
  // Introspector::ask.
  virtual void introspect(std::string_view token, Introspector::Done done,
                          Trail* trail = nullptr) = 0;
  // Where tokens are exchanged: as configured, or as in the metadata; empty while unknown.
  virtual std::string exchange_url() const = 0;
  // Gets a token for a downstream service, for a caller of this issuer. `done` as in
  // TokenExchanger::ask.
  virtual void exchange(const Principal& who, const WantedToken& wanted,
                        TokenExchanger::Done done) = 0;
  struct Health {
    bool ready = false;
    std::string problem;          // empty when fine
    std::chrono::seconds age{0};  // of the keys
    std::size_t keys = 0;
  };
  virtual Health health() const = 0;
  // Called about once a second from any one thread: background refresh.
  virtual void tick() = 0;
};

}  // namespace kubiya::identity
