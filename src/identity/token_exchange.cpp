// SPDX-License-Identifier: Apache-2.0
#include "identity/token_exchange.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/encoding.h"
#include "base/json.h"
#include "base/log.h"
#include "identity/discovery.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kAnswerBytes = 64 * 1024;
constexpr std::size_t kTokenBytes = 16 * 1024;
constexpr std::size_t kShown = 200;
constexpr int kWaitingMax = 64;
constexpr std::string_view kAccessToken = "urn:ietf:params:oauth:token-type:access_token";
constexpr std::string_view kJwt = "urn:ietf:params:oauth:token-type:jwt";

// RFC 6750 §2.1: what can stand in an Authorization header.
bool is_b64token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~+/=").find(c) != std::string_view::npos;
  });
}

tl::unexpected<Error> no_answer(std::string_view what) {
  return fail(Code::unavailable, fmt::format("The issuer's answer {}.", what));
}

// RFC 6749 §5.2.
tl::unexpected<Error> refused(const http::FetchResponse& response) {
  const auto parsed = parse_json(response.body, {.depth = 4, .nodes = 64});
  const auto error =
      parsed && parsed->is_object() ? find_string(parsed->get_object(), "error") : std::nullopt;
  if (!error) {
    return fail(Code::unavailable,
                fmt::format("The issuer's token endpoint answered {}.", response.status));
  }
  const auto why = find_string(parsed->get_object(), "error_description");
  return fail(Code::forbidden,
              fmt::format("The issuer refuses the token exchange: {}{}{}.", printable(*error),
                          why ? ", " : "", why ? printable(*why, kShown) : ""));
}

Result<> check_lifetime(const json::object& members, std::chrono::seconds longest) {
  if (longest.count() == 0) return {};
  const auto life = find_int(members, "expires_in");
  if (!life) return no_answer("does not say how long the token lives");
  if (*life > 0 && *life <= longest.count()) return {};
  return no_answer(
      fmt::format("has a token that lives {} s; auth.token_exchange.lifetime_max is {}", *life,
                  longest.count()));
}

}  // namespace

Result<> check_exchange(const ExchangeOptions& options, const WantedToken& wanted) {
  for (const ExchangeRule& rule : options.audiences) {
    if (rule.audience != wanted.audience) continue;
    if (rule.workflows.empty() ||
        std::ranges::find(rule.workflows, wanted.workflow) != rule.workflows.end()) {
      return {};
    }
  }
  return fail(Code::forbidden,
              fmt::format("Workflow {} may not ask for tokens for {}. An operator allows it in "
                          "auth.token_exchange.audiences.",
                          wanted.workflow, printable(wanted.audience, kShown)));
}

Result<http::FetchRequest> exchange_request(const ExchangeOptions& options, std::string_view issuer,
                                            std::string url, std::string_view subject_token,
                                            const WantedToken& wanted, Wall now) {
  http::FetchRequest out;
  out.url = std::move(url);
  out.bytes_max = kAnswerBytes;
  SecretForm form;
  form.add("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
  form.add("subject_token", subject_token);
  form.add("subject_token_type", kAccessToken);
  form.add("requested_token_type", kAccessToken);
  form.add("audience", wanted.audience);
  if (!wanted.scopes.empty()) form.add("scope", fmt::format("{}", fmt::join(wanted.scopes, " ")));
  TRY_VOID(prove_client(options, issuer, now, form, out));
  return out;
}

Result<Secret> read_exchange(const http::FetchResponse& response, const ExchangeOptions& options,
                             std::string_view subject_token) {
  if (response.status != 200) return refused(response);
  const auto parsed = parse_json(response.body, {.depth = 8, .nodes = 256});
  if (!parsed || !parsed->is_object()) return no_answer("is not a JSON object");
  const json::object& members = parsed->get_object();
  const auto token = find_string(members, "access_token");
  if (!token || !is_b64token(*token)) return no_answer("has no access_token");
  if (token->size() > kTokenBytes) return no_answer("has a token that is too long");
  const auto kind = find_string(members, "issued_token_type");
  if (kind != kAccessToken && kind != kJwt) return no_answer("has no access token");
  const auto how = find_string(members, "token_type");
  if (!how || !iequals(*how, "Bearer")) return no_answer("has a token that is not for a bearer");
  if (*token == subject_token) return no_answer("is the caller's own token");
  TRY_VOID(check_lifetime(members, options.lifetime_max));
  return Secret(*token);
}

TokenExchanger::TokenExchanger(ExchangeOptions options, std::string issuer,
                               std::vector<std::string> allow_private, http::Client& client,
                               const Clock& clock)
    : options_(std::move(options)),
      issuer_(std::move(issuer)),
      allow_private_(std::move(allow_private)),
      client_(client),
      clock_(clock) {}

Result<http::FetchRequest> TokenExchanger::request(const std::string& url, const Principal& who,
                                                   const WantedToken& wanted) const {
  if (!options_.is_configured()) {
    return fail(Code::forbidden,
                "Token exchange is not configured (auth.token_exchange) for the issuer of whoever "
                "runs this.");
  }
  TRY_VOID(check_exchange(options_, wanted));
  if (!who->token) {
    return fail(Code::forbidden,
                "There is no token to exchange: whoever runs this came with an API key, or with a "
                "token that is bound to a key of the client.");
  }
  const Wall now = clock_.wall();
  if (now >= who->expires_at) {
    return fail(Code::forbidden,
                "The token of whoever runs this has expired since: run the workflow again after "
                "signing in.");
  }
  if (url.empty()) {
    return fail(Code::unavailable,
                "The issuer's token endpoint is not known: its document names none; set "
                "auth.token_exchange.url.");
  }
  return exchange_request(options_, issuer_, url, who->token->reveal(), wanted, now);
}

void TokenExchanger::ask(const std::string& url, const Principal& who, const WantedToken& wanted,
                         Done done) {
  auto request = this->request(url, who, wanted);
  if (!request) return done(fail(std::move(request).error()));
  if (waiting_.fetch_add(1) >= kWaitingMax) {
    waiting_.fetch_sub(1);
    return done(fail(Code::busy, "Too many tokens are being exchanged. Try again later."));
  }
  request->allow_loopback = is_loopback_url(url);
  request->allow_private = allow_private_;
  client_.fetch(
      std::move(*request), [weak = weak_from_this(), done = std::move(done),
                            subject = *who->token](const Result<http::FetchResponse>& answer) {
        const auto self = weak.lock();
        if (!self) return;
        self->waiting_.fetch_sub(1);
        auto token =
            answer ? read_exchange(*answer, self->options_, subject.reveal())
                   : fail(Code::unavailable, "The issuer's token endpoint could not be asked: " +
                                                 answer.error().message + ".");
        if (!token) {
          log::warn("a token could not be exchanged",
                    {{"issuer", self->issuer_}, {"problem", token.error().message}});
        }
        done(std::move(token));
      });
}

}  // namespace kubiya::identity
