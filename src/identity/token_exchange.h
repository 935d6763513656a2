// SPDX-License-Identifier: Apache-2.0
//
// Token exchange (RFC 8693) as a client: for the caller's token the issuer gives another one, for
// a downstream service. The caller's own token goes to nobody else.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/principal.h"
#include "base/result.h"
#include "base/secret.h"
#include "http/client.h"
#include "identity/client_proof.h"

namespace kubiya::identity {

// An audience that workflows may ask a token for.
struct ExchangeRule {
  std::string audience;                // exact
  std::vector<std::string> workflows;  // empty: all
};

struct ExchangeOptions : ClientProof {
  std::string url;  // empty: the document's token_endpoint
  std::vector<ExchangeRule> audiences;
  std::chrono::seconds lifetime_max{3600};  // of a token that is given to a step; 0: any

  bool is_configured() const { return !client_id.empty(); }
};

struct WantedToken {
  std::string workflow;  // that asks
  std::string audience;
  std::vector<std::string> scopes;  // empty: what the issuer gives
};

// Code::forbidden when no rule lets this workflow ask for this audience.
Result<> check_exchange(const ExchangeOptions& options, const WantedToken& wanted);

// The request of RFC 8693 §2.1 with the client's proof. Code::invalid when the private key cannot
// be used. Pure but for an assertion's random `jti`.
Result<http::FetchRequest> exchange_request(const ExchangeOptions& options, std::string_view issuer,
                                            std::string url, std::string_view subject_token,
                                            const WantedToken& wanted, Wall now);

// A bearer token of known and short life, as RFC 8693 §2.2.1 says it, and not the caller's own.
// Code::forbidden with the issuer's reason when it refused, Code::unavailable for what is no
// answer of the specification. Pure.
Result<Secret> read_exchange(const http::FetchResponse& response, const ExchangeOptions& options,
                             std::string_view subject_token);

class TokenExchanger : public std::enable_shared_from_this<TokenExchanger> {
 public:
  using Done = std::function<void(Result<Secret>)>;
  // `client` and `clock` outlive the answers.
  TokenExchanger(ExchangeOptions options, std::string issuer,
                 std::vector<std::string> allow_private, http::Client& client, const Clock& clock);
  // `done` runs on the client's thread or inside the call; not at all once this is destroyed.
  // Errors have messages for the person who runs the workflow. At most 64 wait; the next is
  // Code::busy.
  void ask(const std::string& url, const Principal& who, const WantedToken& wanted, Done done);

 private:
  Result<http::FetchRequest> request(const std::string& url, const Principal& who,
                                     const WantedToken& wanted) const;

  const ExchangeOptions options_;
  const std::string issuer_;
  const std::vector<std::string> allow_private_;
  http::Client& client_;
  const Clock& clock_;
  std::atomic<int> waiting_{0};
};

}  // namespace kubiya::identity
