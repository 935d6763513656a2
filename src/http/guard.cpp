// SPDX-License-Identifier: Apache-2.0
#include "http/guard.h"

#include <algorithm>

#include "base/encoding.h"
#include "http/parse.h"

namespace kubiya::http {
namespace {

constexpr int kParamHeadersMax = 32;

std::string_view without_port(std::string_view host) {
  if (!host.empty() && host[0] == '[') return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

// The authority of "http://authority" or "https://authority", or empty.
std::string_view authority_of(std::string_view origin) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return origin.substr(scheme.size());
  }
  return {};
}

void append_allow_origin(std::string& out, std::string_view allow_origin) {
  out.append("Access-Control-Allow-Origin: ").append(allow_origin).append("\r\n");
  if (allow_origin != "*") out.append("Vary: Origin\r\n");
}

// Appends the requested mcp-param-* names, the one family that cannot be listed beforehand.
void append_param_headers(std::string& out, std::string_view requested) {
  for (int count = 0; !requested.empty() && count < kParamHeadersMax;) {
    const std::size_t comma = requested.find(',');
    const std::string name = lower(trim(requested.substr(0, comma)));
    if (name.starts_with("mcp-param-") && is_token(name)) {
      out.append(", ").append(name);
      ++count;
    }
    if (comma == requested.npos) break;
    requested.remove_prefix(comma + 1);
  }
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  const std::string_view name = without_port(host);
  return iequals(name, "localhost") || name == "127.0.0.1" || name == "[::1]";
}

bool GuardRules::host_allowed(std::string_view host) const {
  const std::string_view name = without_port(host);
  if (listener_ == ListenerKind::loopback && is_loopback_host(host)) return true;
  return std::any_of(guard_.hosts.begin(), guard_.hosts.end(), [&](const std::string& allowed) {
    return allowed == "*" || iequals(allowed, name);
  });
}

bool GuardRules::origin_allowed(const GuardInput& input) const {
  const std::string_view authority = authority_of(input.origin);
  const std::string_view own_scheme = input.secure ? "https://" : "http://";
  if (input.origin.starts_with(own_scheme) && iequals(authority, input.host)) return true;
  if (listener_ == ListenerKind::loopback && is_host_port(authority) &&
      is_loopback_host(authority)) {
    return true;
  }
  return std::find(guard_.origins.begin(), guard_.origins.end(), input.origin) !=
         guard_.origins.end();
}

bool GuardRules::is_public(std::string_view path) const {
  return std::any_of(guard_.public_prefixes.begin(), guard_.public_prefixes.end(),
                     [&](const std::string& prefix) { return path.starts_with(prefix); });
}

GuardVerdict GuardRules::judge(const GuardInput& input) const {
  using Kind = GuardVerdict::Kind;
  if (!host_allowed(input.host)) return {Kind::bad_host, {}};
  const bool open_to_all = is_public(input.path);
  // Said without being asked too: a shared cache keeps one answer for all.
  if (input.origin.empty()) return {Kind::pass, open_to_all ? "*" : std::string_view()};
  // "null" is every sandboxed frame and local file at once; no list can name it.
  if (!open_to_all && (input.origin == "null" || !origin_allowed(input))) {
    return {Kind::bad_origin, {}};
  }
  const bool preflight = input.method == "OPTIONS" && !input.requested_method.empty();
  return {preflight ? Kind::preflight : Kind::pass, open_to_all ? "*" : input.origin};
}

void append_cors(std::string& out, std::string_view allow_origin) {
  append_allow_origin(out, allow_origin);
  out.append(
      "Access-Control-Expose-Headers: WWW-Authenticate, X-Request-Id, Retry-After, "
      "Mcp-Session-Id, DPoP-Nonce\r\n");
}

Response preflight_answer(const GuardVerdict& verdict, std::string_view requested_headers) {
  Response response;
  response.status = 204;
  std::string& out = response.headers;
  append_allow_origin(out, verdict.allow_origin);
  out.append(
      "Access-Control-Allow-Methods: GET, HEAD, POST, DELETE, OPTIONS\r\n"
      "Access-Control-Allow-Headers: authorization, dpop, x-api-key, content-type, accept, "
      "mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id, "
      "idempotency-key");
  append_param_headers(out, requested_headers);
  out.append("\r\nAccess-Control-Max-Age: 600\r\n");
  return response;
}

}  // namespace kubiya::http
