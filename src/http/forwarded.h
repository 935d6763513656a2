// SPDX-License-Identifier: Apache-2.0
//
// What a trusted proxy says about the request it passed on: X-Forwarded-For, -Proto and
// -Host, or Forwarded (RFC 7239), never a mixture. Pure.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "http/message.h"
#include "http/network.h"
#include "http/server.h"

namespace kubiya::http {

struct ForwardedFacts {
  std::optional<Address> client;  // nearest address that is not itself a trusted proxy
  std::optional<bool> secure;
  std::string_view host;  // legal host[:port], or empty
};

// Call only for a peer that `trusted` contains. What cannot be read is left out.
ForwardedFacts read_forwarded(std::span<const Header> headers, const AddressSet& trusted,
                              Forwarding family);

}  // namespace kubiya::http
