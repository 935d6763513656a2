// SPDX-License-Identifier: Apache-2.0
//
// What the loops of one server share: settled before start, or safe from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "http/guard.h"
#include "http/network.h"
#include "http/parse.h"
#include "http/server.h"
#include "http/tls.h"

namespace kubiya::http {

// Counts open connections, in total and per network_of() a peer. Touched when a connection opens
// and closes, not per request.
class ConnectionCounts {
 public:
  ConnectionCounts(std::size_t total_max, std::size_t per_peer_max)
      : total_max_(total_max), per_peer_max_(per_peer_max) {}
  bool enter(const Address& peer);  // false when a cap is reached; then do not call leave
  void leave(const Address& peer);
  std::size_t total() const;

 private:
  const std::size_t total_max_;
  const std::size_t per_peer_max_;
  mutable std::mutex mutex_;
  std::size_t total_ = 0;
  std::map<std::array<std::uint8_t, 16>, std::size_t> peers_;
};

struct Shared {
  Shared(const ServerOptions& options, ListenerKind listener, AddressSet proxies, Handler& target)
      : limits(options.limits),
        head_limits{options.limits.request_line_bytes, options.limits.header_bytes,
                    options.limits.header_count},
        guard(options.guard, listener),
        trusted(std::move(proxies)),
        forwarding(options.guard.forwarding),
        proxies_only(listener == ListenerKind::reachable && !options.tls.enabled() &&
                     !options.insecure_http),
        handler(target),
        counts(options.limits.connections, options.limits.connections_per_peer) {}

  const Limits limits;
  const HeadLimits head_limits;
  const GuardRules guard;
  const AddressSet trusted;
  const Forwarding forwarding;
  const bool proxies_only;  // plain HTTP on a reachable address
  Handler& handler;
  TlsStore tls;
  ConnectionCounts counts;
};

}  // namespace kubiya::http
