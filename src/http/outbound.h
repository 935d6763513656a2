// SPDX-License-Identifier: Apache-2.0
//
// Where an outbound request may go. Pure: the client asks before it resolves a name
// and again for every address it is about to connect to.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/client.h"

namespace kubiya::http {

// Which addresses a request may connect to.
enum class AddressRule {
  public_only,
  public_or_loopback,
  loopback_only,      // http:// is spoken to nobody else
  public_or_private,  // and RFC 1918, unique local and carrier NAT; never link-local
  any,                // the operator's proxy
};

struct Target {
  std::string origin;   // "https://host:8443", for messages
  std::string host;     // lower case, no brackets
  std::string address;  // of an IP literal, network order; else empty
  bool plain = false;   // http://
  AddressRule rule = AddressRule::public_only;
};

// The shape of a URL: http or https, no userinfo, no fragment, and only one spelling of a host: no
// trailing dot, no escapes, no other bases or shortened forms of IPv4, no IPv6 zone. Leaves `rule`.
Result<Target> parse_target(std::string_view url);
// "localhost" or the literal of a loopback address.
bool is_loopback(const Target& target);

// What the request may do: https, or http to loopback when the request allows it. An IP literal
// that the rule forbids is refused here, a name once it is resolved.
Result<Target> check_url(const FetchRequest& request);

// `address`: 4 or 16 bytes in network order; anything else is refused.
bool may_connect(AddressRule rule, std::string_view address);

Error address_refused(std::string_view origin);

// RFC 9111 §5.2.2: the max-age of a Cache-Control value, 0 for no-store and no-cache, negative
// when it says nothing usable.
std::chrono::seconds parse_max_age(std::string_view value);
// A whole number of seconds, as in Retry-After (RFC 9110 §10.2.3); negative for anything else. At
// most a year.
std::chrono::seconds parse_seconds(std::string_view value);

}  // namespace kubiya::http
