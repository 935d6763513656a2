// SPDX-License-Identifier: Apache-2.0
#include "mcp/refusal.h"

#include <fmt/format.h>

#include "base/json.h"
#include "mcp/answer.h"

namespace kubiya::mcp {
namespace {

using identity::Reason;

constexpr std::chrono::seconds kPause{2};

http::Response closed(int status, std::string_view request_id,
                      std::chrono::seconds pause = kPause) {
  http::Response response;
  response.status = status;
  response.add("Cache-Control", "no-store");
  response.add("X-Request-Id", request_id);
  if (status == 429 || status == 503) {
    response.add("Retry-After", std::to_string(pause.count()));
  }
  return response;
}

std::string body(std::string_view error, std::string_view message, std::string_view description) {
  std::string out = "{\"error\":";
  append_json_string(out, error);
  out += ",\"message\":";
  append_json_string(out, message);
  out += ",\"error_description\":";
  append_json_string(out, description);
  out += '}';
  return out;
}

struct Words {
  std::string_view error;
  std::string_view description;
};

// What to do next, in words that do not tell a guesser which check failed.
Words words_for(Reason reason, identity::Mode mode) {
  if (identity::is_transient(reason)) {
    return {"temporarily_unavailable",
            "The identity provider's keys cannot be had right now. Keep the token and try again "
            "shortly."};
  }
  if (reason == Reason::no_credential) {
    return mode == identity::Mode::token
               ? Words{"unauthorized",
                       "Send `Authorization: Bearer <token>` with a token from your identity "
                       "provider."}
               : Words{"unauthorized",
                       "Send your Kubiya API key as `Authorization: Bearer <key>` or `X-API-Key`, "
                       "as the tool's "
                       "api_key argument, or set KUBIYA_API_KEY for a local server."};
  }
  if (identity::http_status(reason) == 400) {
    return {"invalid_request",
            mode == identity::Mode::token
                ? "Send exactly one credential, in the Authorization header, and none in the URL."
                : "Send exactly one API key: in a header or as the api_key argument, the same if "
                  "in both, and none in the URL."};
  }
  if (reason == Reason::token_expired) return {"invalid_token", "token expired"};
  return {"invalid_token", "token invalid"};
}

// Bearer first: there are clients that look at the beginning only.
void add_challenges(http::Response& response, const ChallengeInfo& info, Reason reason, bool dpop) {
  if (info.mode != identity::Mode::token) {
    response.add("WWW-Authenticate", identity::key_challenge_unauthenticated(info.realm, reason));
    return;
  }
  const Scopes scopes = asked_for(info, info.scopes);
  response.add("WWW-Authenticate",
               identity::challenge_unauthenticated(info.metadata_url, scopes,
                                                   dpop ? Reason::no_credential : reason));
  const bool offered = dpop || info.dpop_required || identity::is_about_proof(reason);
  if (!offered || info.dpop_algorithms.empty()) return;
  response.add("WWW-Authenticate",
               identity::dpop_challenge_unauthenticated(info.metadata_url, scopes, reason,
                                                        info.dpop_algorithms, dpop));
}

std::string scope_challenge(const ChallengeInfo& info, const Scopes& needed, bool dpop) {
  if (info.mode != identity::Mode::token) {
    return identity::key_challenge_insufficient_scope(info.realm, needed);
  }
  const Scopes scopes = asked_for(info, needed);
  return dpop ? identity::dpop_challenge_insufficient_scope(info.metadata_url, scopes,
                                                            info.dpop_algorithms)
              : identity::challenge_insufficient_scope(info.metadata_url, scopes);
}

}  // namespace

Scopes asked_for(const ChallengeInfo& info, const Scopes& scopes) {
  if (!info.sign_in_scopes.empty()) return info.sign_in_scopes;
  if (info.scope_prefix.empty()) return scopes;
  Scopes out;
  for (const auto& name : scopes.names()) out.add(info.scope_prefix + name);
  return out;
}

http::Response json_response(std::string body) {
  http::Response response;
  response.body = std::move(body);
  return response;
}

http::Response refuse_credential(const ChallengeInfo& info, Reason reason,
                                 std::string_view request_id, bool dpop) {
  const int status = identity::http_status(reason);
  http::Response response = closed(status, request_id);
  if (status == 400 || status == 401) add_challenges(response, info, reason, dpop);
  const Words words = words_for(reason, info.mode);
  response.body = body(words.error, identity::public_message(reason), words.description);
  return response;
}

http::Response refuse_repeated(std::chrono::seconds pause, std::string_view request_id) {
  http::Response response = closed(429, request_id, pause);
  response.body = body("too_many_requests", "Invalid token",
                       "Too many credentials from your address were refused. A good one is served "
                       "all the same.");
  return response;
}

http::Response refuse_scope(const ChallengeInfo& info, const policy::Denied& denied,
                            std::string_view request_id, bool dpop) {
  http::Response response = closed(403, request_id);
  response.add("WWW-Authenticate", scope_challenge(info, denied.needed, dpop));
  response.body = body("insufficient_scope", "Insufficient permissions",
                       fmt::format("This call needs the scopes: {}. Missing: {}.",
                                   denied.needed.text(), denied.missing.text()));
  return response;
}

http::Response refuse_http(int status, std::string_view error, std::string_view message,
                           std::string_view request_id) {
  http::Response response = closed(status, request_id);
  response.body = body(error, message, message);
  return response;
}

http::Response refuse_method(std::string_view allowed, std::string_view request_id) {
  http::Response response = refuse_http(405, "method_not_allowed",
                                        fmt::format("This path takes {}", allowed), request_id);
  response.add("Allow", allowed);
  return response;
}

http::Response refuse_protocol(std::optional<std::string_view> rpc_id, const ProtocolError& error,
                               std::string_view request_id) {
  http::Response response = closed(error.status, request_id);
  response.body = error_answer(rpc_id, error);
  return response;
}

}  // namespace kubiya::mcp
