// SPDX-License-Identifier: Apache-2.0
//
// What no single key can tell: defaults that follow from other keys, and combinations
// that must not start.
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include <arpa/inet.h>

#include "app/config_files.h"
#include "app/config_table.h"
#include "base/encoding.h"
#include "http/tls.h"
#include "identity/api_key.h"

namespace kubiya::app {
namespace {

constexpr std::size_t kAuthoritiesMax = 16 * 1024 * 1024;

tl::unexpected<Error> refuse(std::string_view key, std::string_view why) {
  return fail(Code::invalid, std::string(key) + ": " + std::string(why));
}

// scheme "://" host [":" port], nothing else.
struct Origin {
  std::string_view scheme;
  std::string_view host;
};
std::optional<Origin> parse_origin(std::string_view text) {
  Origin origin;
  if (text.starts_with("https://")) origin.scheme = text.substr(0, 5);
  if (text.starts_with("http://")) origin.scheme = text.substr(0, 4);
  if (origin.scheme.empty()) return std::nullopt;
  std::string_view rest = text.substr(origin.scheme.size() + 3);
  const std::size_t host_end = rest.starts_with('[') ? rest.find(']') + 1 : rest.find(':');
  origin.host = rest.substr(0, host_end);
  rest.remove_prefix(origin.host.size());
  if (rest.starts_with(':')) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), port);
    if (error != std::errc{} || end != rest.data() + rest.size() || port == 0) return std::nullopt;
  } else if (!rest.empty()) {
    return std::nullopt;
  }
  const bool plain = std::all_of(origin.host.begin(), origin.host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '[' ||
           c == ']' || c == ':';
  });
  if (!plain || origin.host.empty()) return std::nullopt;
  return origin;
}

bool is_address_block(const std::string& text) {
  const std::size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  std::array<unsigned char, 16> bytes{};
  const bool four = inet_pton(AF_INET, address.c_str(), bytes.data()) == 1;
  const bool six = inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1;
  if (slash == text.npos) return four || six;
  unsigned bits = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + slash + 1, last, bits);
  return error == std::errc{} && end == last && ((four && bits <= 32) || (six && bits <= 128));
}

Result<> check_tls_files(const http::TlsFiles& tls, bool allow_readable) {
  const Result<bool> open_key = open_to_others(tls.key);
  if (!open_key) return refuse("server.tls_key", open_key.error().message);
  if (*open_key && !allow_readable) {
    return refuse("server.tls_key",
                  "others can read " + tls.key + "; run chmod 600, or set allow_readable_files");
  }
  if (*open_key) log::warn("the TLS key can be read by others", {{"path", tls.key}});
  if (const Result<bool> certificate = open_to_others(tls.certificate); !certificate) {
    return refuse("server.tls_cert", certificate.error().message);
  }
  return {};
}

Result<> check_listener(const Config& config) {
  const http::ServerOptions& server = config.server;
  const http::TlsFiles& tls = server.tls;
  if (tls.certificate.empty() != tls.key.empty()) {
    return refuse(tls.certificate.empty() ? "server.tls_cert" : "server.tls_key",
                  "TLS needs both server.tls_cert and server.tls_key");
  }
  if (tls.client_certificates && tls.certificate.empty()) {
    return refuse("server.client_certificates", "needs server.tls_cert and server.tls_key");
  }
  if (!tls.key.empty()) TRY_VOID(check_tls_files(tls, config.allow_readable_files));
  for (const std::string& proxy : server.guard.trusted_proxies) {
    if (is_address_block(proxy)) continue;
    return refuse("server.trusted_proxies", printable(proxy) + " is no address or CIDR block");
  }
  if (!tls.enabled() && !server.insecure_http && server.guard.trusted_proxies.empty() &&
      !is_loopback_host(server.host)) {
    return refuse("server.host", "plain HTTP on " + printable(server.host) +
                                     ", which is not loopback: configure TLS, or "
                                     "server.trusted_proxies, or server.insecure_http");
  }
  for (const std::string& origin : server.guard.origins) {
    if (parse_origin(origin)) continue;
    return refuse("server.origins", printable(origin) + " is no origin (https://app.example.com)");
  }
  return {};
}

Result<> check_paths(const Config& config) {
  const std::string& path = config.mcp_path;
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '-' || c == '_';
  });
  if (!plain || path.size() < 2 || path.front() != '/' || path.back() == '/' ||
      path.find("//") != path.npos) {
    return refuse("mcp_path", "allowed: a path such as /mcp, of letters, digits, -, _ and /");
  }
  if (path == "/healthz" || path == "/readyz") {
    return refuse("mcp_path", path + " is taken");
  }
  if (config.data_dir.empty()) return refuse("data_dir", "must not be empty");
  if (config.wait_default > config.wait_max) {
    return refuse("wait_default", "must not exceed wait_max");
  }
  return {};
}

Result<> fill_public_url(Config& config) {
  std::string& url = config.public_url;
  if (url.empty()) {
    if (config.server.port == 0) {
      return refuse("server.port", "0 (any free port) needs public_url");
    }
    url = (config.server.tls.enabled() ? "https://localhost:" : "http://localhost:") +
          std::to_string(config.server.port);
  }
  if (url.ends_with('/')) url.pop_back();
  const std::optional<Origin> origin = parse_origin(url);
  if (!origin) {
    return refuse("public_url",
                  "allowed: an origin such as https://mcp.example.com, in lower "
                  "case, without a path");
  }
  if (origin->scheme == "http" && !is_loopback_host(origin->host) && !config.server.insecure_http) {
    return refuse("public_url", "http:// is for loopback only, unless server.insecure_http is set");
  }
  std::vector<std::string>& hosts = config.server.guard.hosts;
  for (std::string& host : hosts) host = lower(host);
  if (std::find(hosts.begin(), hosts.end(), origin->host) == hosts.end()) {
    hosts.emplace_back(origin->host);
  }
  return {};
}

Result<> check_shared_key(Config& config) {
  identity::AuthenticatorOptions& options = config.identity;
  options.mode = config.issuers.empty() ? identity::Mode::api_key : identity::Mode::token;
  if (options.shared_key && options.mode == identity::Mode::token) {
    // The seed has people export it; in this mode it must never stand in for a person.
    log::warn("identity.shared_key is ignored: with auth.server, callers bring their own key");
    options.shared_key.reset();
  }
  if (options.allow_shared_key && !options.shared_key) {
    return refuse("identity.allow_shared_key",
                  "needs identity.shared_key (KUBIYA_API_KEY) and API-key mode");
  }
  if (!options.shared_key) return {};
  const std::string_view key = options.shared_key->reveal();
  if (identity::parse_key(key)) return {};
  if (identity::looks_like_our_key(key)) {
    return refuse("identity.shared_key", "mistyped: its checksum does not fit");
  }
  return refuse("identity.shared_key",
                "too weak or not a key of this server: in API-key mode KUBIYA_API_KEY is one that "
                "kubiya-mcp key create has made");
}

void fill_directories(Config& config) {
  while (config.data_dir.size() > 1 && config.data_dir.ends_with('/')) config.data_dir.pop_back();
  if (config.audit.directory.empty()) config.audit.directory = config.data_dir + "/audit";
  std::string& work = config.engine.work_directory;
  if (work.empty()) work = config.data_dir + "/work";
  // Steps change their directory; a relative path would lead elsewhere there.
  work = std::filesystem::absolute(work).lexically_normal().string();
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
}

Result<> check_files(const Config& config) {
  if (config.server.tls.enabled()) {
    if (const auto loaded = http::load_tls(config.server.tls); !loaded) {
      return refuse("server.tls_cert, server.tls_key",
                    loaded.error().message + " (" + loaded.error().detail + ")");
    }
  }
  const std::string& authorities = config.client.ca_file;
  if (!authorities.empty()) {
    if (const auto read = read_file(authorities, kAuthoritiesMax); !read) {
      return refuse("outbound.ca_file", read.error().message);
    }
  }
  std::error_code error;
  if (!config.workflows_dir.empty() &&
      !std::filesystem::is_directory(config.workflows_dir, error)) {
    return refuse("workflow.directory", config.workflows_dir + " is no directory");
  }
  return {};
}

Result<Config> complete(Draft draft) {
  Config config = std::exchange(draft.config, {});
  TRY_VOID(check_paths(config));
  fill_directories(config);
  TRY_VOID(check_listener(config));
  TRY_VOID(fill_public_url(config));
  TRY_VOID(complete_issuers(config, std::move(draft)));
  TRY_VOID(check_shared_key(config));
  return config;
}

}  // namespace kubiya::app
