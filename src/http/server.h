// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 over TCP and TLS: one event loop per thread, each with its own
// listening sockets (SO_REUSEPORT); a connection lives and dies on its loop.
// Framing is stricter than RFC 9112 asks: whatever two parsers could read
// differently is answered 400 and the connection is closed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/message.h"

namespace kubiya::http {

// Every bound has a configuration key of the same name.
struct Limits {
  std::size_t request_line_bytes = 8 * 1024;
  std::size_t header_bytes = 16 * 1024;
  std::size_t header_count = 100;
  std::size_t body_bytes = 1024 * 1024;
  std::size_t early_body_bytes = 64 * 1024;
  std::size_t connections = 16'000;  // in total
  std::size_t connections_per_peer = 12'000;
  std::size_t pipelined = 64;                     // requests read ahead on one connection
  std::size_t stream_buffer_bytes = 1024 * 1024;  // unsent event bytes before a slow reader is cut
  std::chrono::milliseconds tls_handshake{5'000};
  std::chrono::milliseconds headers{10'000};  // first byte to end of headers
  std::chrono::milliseconds body{60'000};
  std::size_t body_bytes_per_second_min = 1024;  // after the first 5 s
  std::chrono::milliseconds idle{60'000};
  std::chrono::milliseconds write_stall{30'000};
  std::chrono::milliseconds event_comment{15'000};  // keep-alive comment on a quiet stream
};

struct TlsFiles {
  std::string certificate;  // PEM chain; empty means plain HTTP
  std::string key;          // PEM
  // Ask clients for one of their own. They may have none, and any is taken: Request::certificate.
  bool client_certificates = false;
  bool enabled() const { return !certificate.empty(); }
};

// Which family of headers the trusted proxies set. The other one comes from the client, because
// a proxy passes on what it does not know, so it is ignored.
enum class Forwarding { x_forwarded, forwarded };

// Who may talk to us, checked before anything else (403 otherwise).
struct Guard {
  // Accepted Host names without port, lower case. "*" accepts all. The bound
  // loopback names are always accepted on a loopback listener.
  std::vector<std::string> hosts;
  // Accepted Origin values, exact; the server's own origin and, on a loopback
  // listener, any loopback origin are accepted too.
  std::vector<std::string> origins;
  // Addresses or CIDR blocks whose X-Forwarded-For/-Proto/-Host, or Forwarded, headers count.
  std::vector<std::string> trusted_proxies;
  Forwarding forwarding = Forwarding::x_forwarded;
  // Paths whose CORS answer is for everybody ("*"): public metadata, by prefix.
  std::vector<std::string> public_prefixes;
};

struct ServerOptions {
  std::string host = "127.0.0.1";  // literal address, or "localhost" for both loopbacks
  std::uint16_t port = 8000;       // 0 picks a free one
  int threads = 0;                 // 0: one per core
  TlsFiles tls;
  Limits limits;
  Guard guard;
  // Allow plain HTTP on a non-loopback address to everybody. Without it only trusted proxies, and
  // callers on this machine, are served there.
  bool insecure_http = false;
};

struct ServerStats {
  std::uint64_t connections = 0;  // open now
  std::uint64_t requests = 0;
  std::map<std::string_view, std::uint64_t> refused;  // by the server itself, by reason
};

class Server {
 public:
  // Binds and listens; refuses a plain listener on a non-loopback address unless
  // insecure_http is set or a trusted proxy is configured. `handler` must outlive the server.
  static Result<std::unique_ptr<Server>> open(ServerOptions options, Handler& handler);
  virtual ~Server() = default;

  virtual void start() = 0;  // returns at once; loops run on their threads
  virtual std::uint16_t port() const = 0;
  virtual int threads() const = 0;
  // Stops accepting, lets running requests finish for at most `grace`, closes the rest.
  virtual void drain(std::chrono::milliseconds grace) = 0;
  // Loads the certificate and key again; on error the old ones stay.
  virtual Result<> reload_tls() = 0;
  // Runs `work` on every loop once per interval (one coarse timer per loop).
  virtual void every(std::chrono::milliseconds interval, std::function<void(int loop)> work) = 0;
  virtual ServerStats stats() const = 0;
};

}  // namespace kubiya::http
