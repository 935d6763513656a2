// SPDX-License-Identifier: Apache-2.0
//
// What a refused caller sees: closed-list bodies, challenges, retry hints. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"
#include "identity/authenticator.h"
#include "identity/metadata.h"
#include "mcp/message.h"
#include "policy/policy.h"

namespace kubiya::mcp {

// What challenges need to know of this server.
struct ChallengeInfo {
  identity::Mode mode = identity::Mode::api_key;
  std::string metadata_url;     // token mode
  std::string realm;            // API-key mode
  Scopes scopes;                // what an ordinary request needs
  std::string scope_prefix;     // in front of each scope that a client is to ask for
  Scopes sign_in_scopes;        // what to ask for whatever is needed; empty: what is needed
  std::string dpop_algorithms;  // of proofs, "ES256 PS256"; empty: none are taken
  bool dpop_required = false;   // told to everybody, and not only to who sends proofs
};

// The names by which a client asks for the scopes.
Scopes asked_for(const ChallengeInfo& info, const Scopes& scopes);

// A JSON body with status 200.
http::Response json_response(std::string body);

// `dpop`: the request came under the scheme DPoP.
http::Response refuse_credential(const ChallengeInfo& info, identity::Reason reason,
                                 std::string_view request_id, bool dpop = false);
// 429 to a peer whose credentials were refused too often.
http::Response refuse_repeated(std::chrono::seconds pause, std::string_view request_id);
http::Response refuse_scope(const ChallengeInfo& info, const policy::Denied& denied,
                            std::string_view request_id, bool dpop = false);
// A plain HTTP refusal: 404, 413, 415, 406, 429, 503 …
http::Response refuse_http(int status, std::string_view error, std::string_view message,
                           std::string_view request_id);
// 405; `allowed` lists the methods of that path (RFC 9110 §15.5.6).
http::Response refuse_method(std::string_view allowed, std::string_view request_id);
http::Response refuse_protocol(std::optional<std::string_view> rpc_id, const ProtocolError& error,
                               std::string_view request_id);

}  // namespace kubiya::mcp
