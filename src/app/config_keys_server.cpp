// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "app/config_rows.h"

namespace kubiya::app::rows {
namespace {

void add_places(std::vector<Key>& t) {
  const auto places = [&t](const std::string& name, auto of, const std::string& what) {
    t.push_back(
        number(name, [of](D& d) -> auto& { return of(d).all; }, {1, 1'000'000}, what + " in all."));
    t.push_back(number(
        name + "_per_tenant", [of](D& d) -> auto& { return of(d).of_tenant; }, {0, 1'000'000},
        what + " of one tenant. 0: all places but an eighth."));
    t.push_back(number(
        name + "_per_caller", [of](D& d) -> auto& { return of(d).of_caller; }, {0, 1'000'000},
        what + " of one caller. 0: all places but a quarter."));
  };
  places(
      "server.limits.calls", [](D& d) -> auto& { return d.config.calls; },
      "Calls under way that change something");
  places(
      "server.limits.streams", [](D& d) -> auto& { return d.config.streams; },
      "Open event streams");
}

void add_server_limits(std::vector<Key>& t) {
  add_places(t);
  t.push_back(bytes(
      "server.limits.request_line_bytes",
      [](D& d) -> auto& { return d.config.server.limits.request_line_bytes; }, {256, 64 * kKiB},
      "Request line."));
  t.push_back(bytes(
      "server.limits.header_bytes",
      [](D& d) -> auto& { return d.config.server.limits.header_bytes; }, {kKiB, 256 * kKiB},
      "All header lines together."));
  t.push_back(number(
      "server.limits.header_count",
      [](D& d) -> auto& { return d.config.server.limits.header_count; }, {8, 1'000},
      "Header lines."));
  t.push_back(bytes(
      "server.limits.body_bytes", [](D& d) -> auto& { return d.config.server.limits.body_bytes; },
      {kKiB, 64 * kMiB}, "Body of a request."));
  t.push_back(bytes(
      "server.limits.early_body_bytes",
      [](D& d) -> auto& { return d.config.server.limits.early_body_bytes; }, {kKiB, 64 * kMiB},
      "Body read before the caller is known."));
  t.push_back(number(
      "server.limits.connections", [](D& d) -> auto& { return d.config.server.limits.connections; },
      {1, 1'000'000}, "Open connections."));
  t.push_back(number(
      "server.limits.connections_per_peer",
      [](D& d) -> auto& { return d.config.server.limits.connections_per_peer; }, {1, 1'000'000},
      "Open connections of one address."));
  t.push_back(number(
      "server.limits.pipelined", [](D& d) -> auto& { return d.config.server.limits.pipelined; },
      {1, 1'000}, "Requests read ahead on one connection."));
  t.push_back(bytes(
      "server.limits.stream_buffer_bytes",
      [](D& d) -> auto& { return d.config.server.limits.stream_buffer_bytes; }, {kKiB, 64 * kMiB},
      "Unsent event bytes before a slow reader is cut."));
  t.push_back(duration(
      "server.limits.tls_handshake",
      [](D& d) -> auto& { return d.config.server.limits.tls_handshake; }, {100, kMinute},
      "TLS handshake."));
  t.push_back(duration(
      "server.limits.headers", [](D& d) -> auto& { return d.config.server.limits.headers; },
      {100, 10 * kMinute}, "From the first byte to the end of the headers."));
  t.push_back(duration(
      "server.limits.body", [](D& d) -> auto& { return d.config.server.limits.body; }, {100, kHour},
      "The whole body."));
  t.push_back(bytes(
      "server.limits.body_bytes_per_second_min",
      [](D& d) -> auto& { return d.config.server.limits.body_bytes_per_second_min; }, {0, kGiB},
      "Slowest body, after its first 5 s."));
  t.push_back(duration(
      "server.limits.idle", [](D& d) -> auto& { return d.config.server.limits.idle; }, {100, kDay},
      "Keep-alive without a request."));
  t.push_back(duration(
      "server.limits.write_stall", [](D& d) -> auto& { return d.config.server.limits.write_stall; },
      {100, kHour}, "A peer that takes no bytes."));
  t.push_back(duration(
      "server.limits.event_comment",
      [](D& d) -> auto& { return d.config.server.limits.event_comment; }, {kSecond, kHour},
      "Keep-alive comment on a quiet event stream."));
  t.push_back(number(
      "server.limits.bad_credentials_per_minute",
      [](D& d) -> auto& { return d.config.bad_credentials_per_minute; }, {0, 1'000'000},
      "Refused tokens and keys of one address (of IPv6, one /64); further bad ones get 429, good "
      "ones are served. 0: no bound."));
  t.push_back(number(
      "server.limits.bad_credential_peers",
      [](D& d) -> auto& { return d.config.bad_credential_peers; }, {8, 1'000'000},
      "Addresses that are told apart for it; when there are more, the others share one budget."));
}

}  // namespace

Values split_sum(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  return split_list(text);
}

Result<> check_scope_names(const Values& names) {
  if (std::all_of(names.begin(), names.end(), is_scope_name)) return {};
  return fail(Code::invalid, "scope names of RFC 6749 (no quotes, no spaces)");
}

void add_general(std::vector<Key>& t) {
  t.push_back(text(
      "name", [](D& d) -> auto& { return d.config.name; }, "one line",
      "Name of this server as clients see it."));
  t.push_back(flagged(
      "--data-dir", text(
                        "data_dir", [](D& d) -> auto& { return d.config.data_dir; }, "a directory",
                        "Database, journal, keys and the private directories of runs.")));
  t.push_back(
      flagged("--public-url", text(
                                  "public_url", [](D& d) -> auto& { return d.config.public_url; },
                                  "an origin: https://mcp.example.com",
                                  "Address under which clients reach the server. Empty: "
                                  "http(s)://localhost and the port.")));
  t.push_back(text(
      "mcp_path", [](D& d) -> auto& { return d.config.mcp_path; }, "an absolute path such as /mcp",
      "Path of the MCP endpoint (besides `/`)."));
  t.push_back(flagged(
      "--transport",
      choice(
          "transport", [](D& d) -> auto& { return d.config.transport; },
          {{"http", Transport::http}, {"stdio", Transport::stdio}},
          "How clients reach the server. stdio: one client, on standard input and output.")));
  t.push_back(secret(
      "access_token", [](D& d) -> auto& { return d.config.access_token; },
      "With stdio and auth.server: the caller's token."));
  t.push_back(flagged("--required-scopes",
                      scope_names(
                          "required_scopes", [](D& d) -> auto& { return d.config.required_scopes; },
                          "Scopes that every request needs, on top of those of the operation.")));
  t.push_back(duration(
      "wait_default", [](D& d) -> auto& { return d.config.wait_default; }, {kSecond, kHour},
      "How long `execute_workflow` waits for a run by default."));
  t.push_back(duration(
      "wait_max", [](D& d) -> auto& { return d.config.wait_max; }, {kSecond, kDay},
      "The longest a caller may ask it to wait."));
  t.push_back(duration(
      "drain_grace", [](D& d) -> auto& { return d.config.drain_grace; }, {0, kHour},
      "Time given to running requests and runs at a stop; then runs are canceled and who waits for "
      "them "
      "is told."));
  t.push_back(number(
      "workers", [](D& d) -> auto& { return d.config.workers; }, {1, 256},
      "Threads for work that may block."));
  t.push_back(toggle(
      "allow_readable_files", [](D& d) -> auto& { return d.config.allow_readable_files; },
      "Start although a file with a secret can be read by others; logged."));
  t.push_back(
      flagged("--log-level", choice(
                                 "log.level", [](D& d) -> auto& { return d.config.log_level; },
                                 {{"debug", Level::debug},
                                  {"info", Level::info},
                                  {"warn", Level::warn},
                                  {"error", Level::error},
                                  {"off", Level::off}},
                                 "The least severe log line that is written (stderr, JSON).")));
  t.push_back(choice(
      "log.requests", [](D& d) -> auto& { return d.config.log_requests; },
      {{"all", RequestLog::all}, {"refusals", RequestLog::refusals}, {"none", RequestLog::none}},
      "Which requests get a log line. The audit journal has them all."));
  t.push_back(number(
      "log.strangers_per_second", [](D& d) -> auto& { return d.config.log_strangers_per_second; },
      {0, 100'000},
      "Log lines of each event loop for requests of callers whom nobody has verified. Beyond that "
      "they are counted, by reason."));
}

void add_server(std::vector<Key>& t) {
  t.push_back(
      flagged("--host",
              text(
                  "server.host", [](D& d) -> auto& { return d.config.server.host; },
                  "a literal address, or localhost for both loopbacks", "Address to listen on.")));
  t.push_back(flagged(
      "--port", number(
                    "server.port", [](D& d) -> auto& { return d.config.server.port; }, {0, 65'535},
                    "Port to listen on; 0 picks a free one and needs public_url.")));
  t.push_back(flagged("--threads",
                      number(
                          "server.threads", [](D& d) -> auto& { return d.config.server.threads; },
                          {0, 256}, "Event loops; 0: one per core.")));
  t.push_back(
      flagged("--tls-cert",
              text(
                  "server.tls_cert", [](D& d) -> auto& { return d.config.server.tls.certificate; },
                  "a file", "PEM certificate chain; read again on SIGHUP.")));
  t.push_back(flagged("--tls-key",
                      text(
                          "server.tls_key", [](D& d) -> auto& { return d.config.server.tls.key; },
                          "a file that only its owner can read",
                          "PEM key of the certificate; read again on SIGHUP.")));
  t.push_back(toggle(
      "server.client_certificates",
      [](D& d) -> auto& { return d.config.server.tls.client_certificates; },
      "Ask TLS clients for a certificate, for tokens that are bound to one (RFC 8705). Any is "
      "taken, and none as well: the token says which it must be."));
  t.push_back(flagged(
      "--insecure-http",
      toggle(
          "server.insecure_http", [](D& d) -> auto& { return d.config.server.insecure_http; },
          "Serve plain HTTP on an address that is not loopback to everybody, not to trusted "
          "proxies "
          "only.")));
  t.push_back(flagged("--trusted-proxy",
                      list(
                          "server.trusted_proxies",
                          [](D& d) -> auto& { return d.config.server.guard.trusted_proxies; },
                          "addresses or CIDR blocks",
                          "Proxies whose word counts for the client's address, scheme and Host.")));
  t.push_back(choice(
      "server.forwarding", [](D& d) -> auto& { return d.config.server.guard.forwarding; },
      {{"x-forwarded", http::Forwarding::x_forwarded}, {"forwarded", http::Forwarding::forwarded}},
      "Which headers the trusted proxies set: X-Forwarded-For, -Proto and -Host, or Forwarded. The "
      "other family is ignored, because it is the client's."));
  t.push_back(list(
      "server.hosts", [](D& d) -> auto& { return d.config.server.guard.hosts; },
      "host names without port, or *",
      "Further accepted `Host` names; that of public_url always is."));
  t.push_back(list(
      "server.origins", [](D& d) -> auto& { return d.config.server.guard.origins; },
      "origins such as https://app.example.com", "Browser origins that may call the server."));
  add_server_limits(t);
}

}  // namespace kubiya::app::rows
