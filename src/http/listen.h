// SPDX-License-Identifier: Apache-2.0
//
// Where the server listens: addresses from the host option, and the sockets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "http/network.h"

namespace kubiya::http {

// A literal address (brackets allowed around IPv6), or both loopbacks for "localhost".
Result<std::vector<Address>> listen_addresses(const std::string& host);

struct ListenSocket {
  int descriptor = -1;  // owned by whoever holds this; listening, non-blocking
  bool v6 = false;
};

struct ListenSockets {
  std::vector<std::vector<ListenSocket>> per_loop;
  std::uint16_t port = 0;
};

// `loops` sockets per address (SO_REUSEPORT), all on one port; port 0 picks it. A port
// that another process listens on is refused. An IPv6 loopback that the machine lacks is
// left out when "localhost" asked for both.
Result<ListenSockets> open_listeners(const std::vector<Address>& addresses, std::uint16_t port,
                                     int loops);

}  // namespace kubiya::http
