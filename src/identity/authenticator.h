// SPDX-License-Identifier: Apache-2.0
//
// From what a request presents to a Principal, or to a named refusal. Keeps one cache of
// verified tokens per event loop, under the SHA-256 of the exact token; entries live for
// min(exp, 60 s) of monotonic time and are dropped by key rotation and revocation.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/principal.h"
#include "http/message.h"
#include "identity/api_key.h"
#include "identity/dpop.h"
#include "identity/issuer.h"
#include "identity/person_book.h"
#include "identity/reason.h"
#include "policy/policy.h"

namespace kubiya::identity {

struct Presented {
  std::string_view authorization;  // value of the Authorization header
  std::size_t authorization_count = 0;
  std::string_view api_key;  // value of X-API-Key
  std::size_t api_key_count = 0;
  bool credential_in_query = false;  // access_token or api_key in the URL
  bool loopback = false;             // the peer is this machine
  std::string_view argument_key;     // the tool's `api_key` argument (API-key mode)
  // Where a bound token's proof is looked for; null: there can be none.
  const http::Request* request = nullptr;
  bool look_only = false;    // the same request will be judged again: its proof is not used up
  bool proof_taken = false;  // the same request was let in before: its proof is known by now
};

struct Refused {
  Reason reason = Reason::no_credential;
  std::string detail;
  std::string claimed_issuer, claimed_subject;  // unverified; for the audit's reader
};
using Verdict = tl::expected<PrincipalPtr, Refused>;

enum class Mode { api_key, token };

struct AuthenticatorOptions {
  Mode mode = Mode::api_key;
  policy::ScopeRules scope_rules = policy::ScopeRules::defaults();
  bool allow_key_argument = true;      // API-key mode
  bool allow_shared_key = false;       // KUBIYA_API_KEY also for callers that are not on loopback
  std::optional<Secret> shared_key;    // KUBIYA_API_KEY of the server
  std::size_t cache_entries = 10'000;  // per loop
  std::chrono::seconds cache_seconds{60};
  DpopOptions dpop;
  std::size_t cold_per_turn = 32;  // signature checks per loop turn; the rest waits in a queue
  int loops = 1;
};

// Destroyed after the loops have stopped.
class Authenticator {
 public:
  // `issuers` is empty in API-key mode; the tokens of one of them at most are opaque, since such a
  // token does not say whose it is.
  static std::unique_ptr<Authenticator> open(AuthenticatorOptions options,
                                             std::vector<std::unique_ptr<Issuer>> issuers,
                                             KeyBook& keys, const Clock& clock,
                                             const PersonBook& people = PersonBook::nobody());
  virtual ~Authenticator() = default;

  virtual Mode mode() const = 0;
  // On loop `loop`'s thread. The verdict when it can be told now: cached token, API key, known
  // signing key. Nothing when the issuer's keys must be fetched or the issuer must be asked first,
  // or when this turn's budget of signature checks is spent.
  virtual std::optional<Verdict> now(const Presented& presented, int loop) = 0;
  // What now() could not tell. `post` runs a function on that loop; `done` runs there too, never
  // inside this call. `presented` is copied. At most 1,024 wait per loop; the next is `overloaded`.
  using Post = std::function<void(std::function<void()>)>;
  virtual void later(const Presented& presented, int loop, Post post,
                     std::function<void(Verdict)> done) = 0;
  // Gives back the signature budget. For the loop to run once it has served what was ready: after
  // a now() that made needs_turn() true (it says so once a turn), and with every sweep.
  virtual void turn(int loop) = 0;
  virtual bool needs_turn(int loop) = 0;
  // For who holds a principal longer than a request: whether its credential would still be taken.
  // Looks at what is at hand; a token that only its issuer has withdrawn is still good here. Any
  // thread.
  virtual bool still_good(const Principal& principal) const = 0;
  // What a DPoP proof must hold, for the header DPoP-Nonce (RFC 9449 §9); empty: nothing. Any
  // thread.
  virtual std::string proof_nonce() const = 0;
  // Another one than before when an API key was made, changed or revoked, or what is known of
  // people is another: time to ask still_good() again. Any thread.
  virtual std::uint64_t credential_epoch() const = 0;
  // About once a second, any one thread.
  virtual void tick() = 0;
  virtual const std::vector<std::unique_ptr<Issuer>>& issuers() const = 0;
};

}  // namespace kubiya::identity
