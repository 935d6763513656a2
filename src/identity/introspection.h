// SPDX-License-Identifier: Apache-2.0
//
// Opaque tokens: the issuer is asked about each (RFC 7662). Nothing is believed that it does
// not say, and no answer is a refusal.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "http/client.h"
#include "identity/client_proof.h"
#include "identity/jwt.h"

namespace kubiya::identity {

struct IntrospectionOptions : ClientProof {
  std::string url;                       // empty: the document's introspection_endpoint
  std::chrono::seconds cache_time{30};   // how long an answer counts: revocation is seen by then
  std::chrono::seconds stream_time{60};  // how long an event stream lasts before it is asked again
  bool allow_missing_audience = false;   // accept answers that do not say whom the token is for
};

// The request of RFC 7662 §2.1 with the client's proof. Code::invalid when the private key cannot
// be used. Pure but for the assertion's random `jti`.
Result<http::FetchRequest> introspection_request(const IntrospectionOptions& options,
                                                 std::string_view issuer, std::string url,
                                                 std::string_view token, Wall now);

// Only the JSON value true of `active` is a yes. token_inactive for any other, and
// introspection_unavailable for what is no answer of the specification.
Checked<TokenFacts> read_introspection(const http::FetchResponse& response, const TokenRules& rules,
                                       bool allow_missing_audience, Wall now,
                                       Trail* trail = nullptr);

class Introspector : public std::enable_shared_from_this<Introspector> {
 public:
  using Done = std::function<void(Checked<TokenFacts>)>;
  // `client` and `clock` outlive the answers.
  Introspector(IntrospectionOptions options, TokenRules rules,
               std::vector<std::string> allow_private, http::Client& client, const Clock& clock);
  // `done` runs on the client's thread or inside the call; not at all once this is destroyed. At
  // most 32 wait; the next is `overloaded`. After the issuer asked to be left alone, nobody asks.
  // `trail` is written until `done` runs.
  void ask(const std::string& url, std::string_view token, Done done, Trail* trail = nullptr);

 private:
  Checked<TokenFacts> judge(const Result<http::FetchResponse>& answer, Trail* trail);
  Checked<TokenFacts> refuse_status(const http::FetchResponse& answer);

  const IntrospectionOptions options_;
  const TokenRules rules_;
  const std::vector<std::string> allow_private_;
  http::Client& client_;
  const Clock& clock_;
  std::atomic<int> waiting_{0};
  std::atomic<std::int64_t> quiet_until_{0};  // Mono, in its own ticks
};

}  // namespace kubiya::identity
