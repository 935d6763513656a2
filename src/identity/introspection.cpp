// SPDX-License-Identifier: Apache-2.0
#include "identity/introspection.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "identity/discovery.h"
#include "identity/provider.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kAnswerBytes = 64 * 1024;
constexpr int kWaitingMax = 32;
constexpr std::chrono::seconds kQuietMin{1};
constexpr std::chrono::seconds kQuietMax{60};

// RFC 7009 §2.2.1, which servers use here too: signed tokens of theirs are not asked about.
bool is_about_the_token(const http::FetchResponse& answer) {
  if (answer.status != 400) return false;
  const auto parsed = parse_json(answer.body, {.depth = 4, .nodes = 64});
  return parsed && parsed->is_object() &&
         find_string(parsed->get_object(), "error") == "unsupported_token_type";
}

}  // namespace

Result<http::FetchRequest> introspection_request(const IntrospectionOptions& options,
                                                 std::string_view issuer, std::string url,
                                                 std::string_view token, Wall now) {
  http::FetchRequest out;
  out.url = std::move(url);
  out.bytes_max = kAnswerBytes;
  SecretForm form;
  form.add("token", token);
  form.add("token_type_hint", "access_token");
  TRY_VOID(prove_client(options, issuer, now, form, out));
  return out;
}

Checked<TokenFacts> read_introspection(const http::FetchResponse& response, const TokenRules& rules,
                                       bool allow_missing_audience, Wall now, Trail* trail) {
  const TokenLimits limits;
  JsonLimits json_limits;
  json_limits.depth = limits.json_depth;
  const auto parsed = parse_json(response.body, json_limits);
  if (!parsed || !parsed->is_object() || parsed->get_object().size() > limits.claims) {
    return fail(Reason::introspection_unavailable, "the answer is not a JSON object");
  }
  const json::object& members = parsed->get_object();
  if (find_bool(members, "active") != true) return fail(Reason::token_inactive);
  auto facts = check_introspected(members, rules, allow_missing_audience, now, trail);
  if (!facts) return fail(explained(std::move(facts).error(), rules));
  return facts;
}

Introspector::Introspector(IntrospectionOptions options, TokenRules rules,
                           std::vector<std::string> allow_private, http::Client& client,
                           const Clock& clock)
    : options_(std::move(options)),
      rules_(std::move(rules)),
      allow_private_(std::move(allow_private)),
      client_(client),
      clock_(clock) {}

void Introspector::ask(const std::string& url, std::string_view token, Done done, Trail* trail) {
  if (url.empty()) return done(fail(Reason::introspection_unavailable, "its URL is not known yet"));
  if (clock_.mono().time_since_epoch().count() < quiet_until_) {
    return done(fail(Reason::introspection_unavailable, "the issuer asked to be left alone"));
  }
  auto request = introspection_request(options_, rules_.issuer, url, token, clock_.wall());
  if (!request) {
    return done(fail(Reason::introspection_unavailable, std::move(request).error().message));
  }
  if (waiting_.fetch_add(1) >= kWaitingMax) {
    waiting_.fetch_sub(1);
    return done(fail(Reason::overloaded));
  }
  request->allow_loopback = is_loopback_url(url);
  request->allow_private = allow_private_;
  client_.fetch(std::move(*request), [weak = weak_from_this(), done = std::move(done),
                                      trail](const Result<http::FetchResponse>& answer) {
    const auto self = weak.lock();
    if (!self) return;
    self->waiting_.fetch_sub(1);
    done(self->judge(answer, trail));
  });
}

Checked<TokenFacts> Introspector::judge(const Result<http::FetchResponse>& answer, Trail* trail) {
  if (!answer) {
    log::warn("an issuer could not be asked about a token",
              {{"issuer", rules_.issuer}, {"problem", answer.error().message}});
    return fail(Reason::introspection_unavailable, answer.error().message);
  }
  if (answer->status != 200) return refuse_status(*answer);
  return read_introspection(*answer, rules_, options_.allow_missing_audience, clock_.wall(), trail);
}

Checked<TokenFacts> Introspector::refuse_status(const http::FetchResponse& answer) {
  if (is_about_the_token(answer)) return fail(Reason::token_inactive, "unsupported_token_type");
  const std::string what = fmt::format("the introspection endpoint answered {}", answer.status);
  if (answer.status == 429 || answer.status >= 500) {
    const auto quiet = std::clamp(answer.retry_after, kQuietMin, kQuietMax);
    quiet_until_ = (clock_.mono() + quiet).time_since_epoch().count();
    log::warn(what, {{"issuer", rules_.issuer}, {"seconds", quiet.count()}});
  } else {
    // Its word about us, not about the token.
    log::error(what + ": check introspection.client_id, its secret and introspection.auth",
               {{"issuer", rules_.issuer}});
  }
  return fail(Reason::introspection_unavailable, what);
}

}  // namespace kubiya::identity
