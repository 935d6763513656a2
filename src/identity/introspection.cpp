// SPDX-License-Identifier: Apache-2.0
#include "identity/introspection.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "base/log.h"
#include "identity/discovery.h"
#include "identity/provider.h"

namespace kubiya::identity {
namespace {

using crypto::Algorithm;

constexpr std::size_t kAnswerBytes = 64 * 1024;
constexpr int kWaitingMax = 32;
constexpr std::chrono::seconds kQuietMin{1};
constexpr std::chrono::seconds kQuietMax{60};
constexpr std::chrono::seconds kAssertionLife{60};

// application/x-www-form-urlencoded (RFC 6749 appendix B).
void append_encoded(std::string& out, std::string_view text) {
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

void append_field(std::string& form, std::string_view name, std::string_view value) {
  if (!form.empty()) form += '&';
  form += name;
  form += '=';
  append_encoded(form, value);
}

// RFC 6749 §2.3.1: encoded first, so that a colon in the id separates nothing.
Secret basic_credentials(const IntrospectionOptions& options) {
  std::string pair;
  append_encoded(pair, options.client_id);
  pair += ':';
  if (options.client_secret) append_encoded(pair, options.client_secret->reveal());
  std::string header = "Basic " + base64(pair);
  wipe_memory(pair.data(), pair.size());
  return Secret::take(std::move(header));
}

Result<Algorithm> algorithm_of(const crypto::PrivateKey& key) {
  for (const Algorithm algorithm :
       {Algorithm::rs256, Algorithm::es256, Algorithm::es384, Algorithm::es512, Algorithm::eddsa}) {
    if (crypto::fits(algorithm, key.public_key().type())) return algorithm;
  }
  return fail(Code::unsupported, "the private key is of no usable type");
}

// RFC 7523 §3.
Result<std::string> assertion(const IntrospectionOptions& options, std::string_view issuer,
                              Wall now) {
  if (!options.private_key) return fail(Code::invalid, "there is no private key");
  const auto key = TRY(crypto::PrivateKey::from_pem(options.private_key->reveal()));
  const Algorithm algorithm = TRY(algorithm_of(key));
  json::object header{{"alg", crypto::name(algorithm)}, {"typ", "JWT"}};
  if (!options.key_id.empty()) header["kid"] = options.key_id;
  const std::int64_t at = unix_ms(now) / 1000;
  const std::string& audience = options.assertion_audience;
  const json::object claims{{"iss", options.client_id},
                            {"sub", options.client_id},
                            {"aud", audience.empty() ? issuer : std::string_view(audience)},
                            {"jti", random_id()},
                            {"iat", at},
                            {"exp", at + kAssertionLife.count()}};
  std::string text = base64url(to_json(header)) + "." + base64url(to_json(claims));
  const std::string signature = TRY(key.sign(algorithm, text));
  return text + "." + base64url(signature);
}

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
  std::string form;
  append_field(form, "token", token);
  append_field(form, "token_type_hint", "access_token");
  switch (options.auth) {
    case ClientAuth::basic:
      out.authorization = basic_credentials(options);
      break;
    case ClientAuth::post:
      append_field(form, "client_id", options.client_id);
      if (options.client_secret) {
        append_field(form, "client_secret", options.client_secret->reveal());
      }
      break;
    case ClientAuth::private_key_jwt:
      append_field(form, "client_id", options.client_id);
      append_field(form, "client_assertion_type",
                   "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
      append_field(form, "client_assertion", TRY(assertion(options, issuer, now)));
      break;
  }
  out.form = Secret::take(std::move(form));
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
