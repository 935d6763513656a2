// SPDX-License-Identifier: Apache-2.0
#include "identity/discovery.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/json.h"
#include "http/outbound.h"
#include "identity/issuer.h"

namespace kubiya::identity {
namespace {

constexpr std::string_view kOidc = "/.well-known/openid-configuration";
constexpr std::string_view kOauth = "/.well-known/oauth-authorization-server";
constexpr std::string_view kFile = "file:";
constexpr std::size_t kShown = 120;

Result<> check_secure(std::string_view url, std::string_view what) {
  const auto target = http::parse_target(url);
  if (!target) {
    return fail(Code::invalid, fmt::format("{} is not usable: {}", what, target.error().message));
  }
  if (target->plain && !http::is_loopback(*target)) {
    return fail(Code::invalid,
                fmt::format("{} must be https (http is for loopback addresses only)", what));
  }
  return {};
}

}  // namespace

Result<> check_endpoint_url(std::string_view url) { return check_secure(url, "the URL"); }

Result<> check_issuer_url(std::string_view url) {
  TRY_VOID(check_secure(url, "the issuer URL"));
  if (url.find('?') != std::string_view::npos) {
    return fail(Code::invalid, "the issuer URL must not have a query");
  }
  return {};
}

Result<> check_jwks_uri(std::string_view uri) {
  if (uri.starts_with(kFile)) {
    // What RFC 8089 would read as a host, a query or an escape is no part of a path here.
    const std::string_view path = uri.substr(kFile.size());
    const bool host = path.starts_with("//") && !path.starts_with("///");
    const bool plain = path.find_first_of("?#%") == std::string_view::npos;
    if (path.starts_with('/') && !host && plain) return {};
    return fail(Code::invalid, "jwks_uri must name an absolute path: file:/path/to/keys.json");
  }
  return check_secure(uri, "jwks_uri");
}

Result<std::vector<std::string>> discovery_urls(std::string_view issuer, DiscoveryForm form) {
  TRY_VOID(check_issuer_url(issuer));
  // Both specifications remove a terminating slash first.
  while (issuer.ends_with('/')) issuer.remove_suffix(1);
  std::vector<std::string> urls;
  if (form == DiscoveryForm::oauth) {
    const std::size_t path = std::min(issuer.find('/', issuer.find("://") + 3), issuer.size());
    urls.push_back(fmt::format("{}{}{}", issuer.substr(0, path), kOauth, issuer.substr(path)));
  }
  urls.push_back(fmt::format("{}{}", issuer, kOidc));
  return urls;
}

bool is_loopback_url(std::string_view url) {
  const auto target = http::parse_target(url);
  return target && http::is_loopback(*target);
}

namespace {

// Empty when the document has no such member.
Result<std::string> read_url(const json::object& document, std::string_view name,
                             std::string_view issuer) {
  const auto url = find_string(document, name);
  if (!url) return std::string();
  const std::string what = fmt::format("{} of the metadata document", name);
  TRY_VOID(check_secure(*url, what));
  if (is_loopback_url(*url) && !is_loopback_url(issuer)) {
    return fail(Code::invalid, what + " points to this machine");
  }
  return std::string(*url);
}

}  // namespace

Result<Metadata> read_metadata(std::string_view document, std::string_view issuer,
                               bool needs_keys) {
  const auto parsed = parse_json(document, {.depth = 16, .nodes = 10'000});
  if (!parsed || !parsed->is_object()) {
    return fail(Code::invalid, "the metadata document is not a JSON object");
  }
  const json::object& object = parsed->get_object();
  const auto named = find_string(object, "issuer");
  if (!named) return fail(Code::invalid, "the metadata document names no issuer");
  if (*named != issuer) {
    return fail(Code::invalid,
                fmt::format("the metadata document is of issuer \"{}\", not \"{}\"; if the first "
                            "is right, configure exactly that",
                            printable(*named, kShown), printable(issuer, kShown)));
  }
  Metadata out;
  out.jwks_uri = TRY(read_url(object, "jwks_uri", issuer));
  out.introspection_endpoint = TRY(read_url(object, "introspection_endpoint", issuer));
  out.token_endpoint = TRY(read_url(object, "token_endpoint", issuer));
  if (out.jwks_uri.empty() && needs_keys) {
    return fail(Code::invalid, "the metadata document has no jwks_uri");
  }
  return out;
}

}  // namespace kubiya::identity
