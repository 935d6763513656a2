// SPDX-License-Identifier: Apache-2.0
//
// Textual addresses and CIDR blocks (RFC 4632, RFC 4291). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kubiya::http {

// An IPv4 address is kept in its IPv6-mapped form, so that one client has one value
// whichever kind of socket it came in through.
struct Address {
  std::array<std::uint8_t, 16> bytes{};

  bool is_v4() const;
  bool is_loopback() const;
  std::string text() const;  // "192.0.2.1", "2001:db8::1"
  bool operator==(const Address&) const = default;
};

// A literal IPv4 or IPv6 address, without brackets, port or zone.
std::optional<Address> parse_address(std::string_view text);

// What counts as one client: an IPv4 address, but the /64 that an IPv6 client owns.
Address network_of(const Address& address);

class AddressSet {
 public:
  // Each entry is an address or "address/prefix"; host bits behind the prefix must be zero.
  static Result<AddressSet> parse(const std::vector<std::string>& entries);
  bool contains(const Address& address) const;
  bool empty() const { return blocks_.empty(); }

 private:
  struct Block {
    Address base;
    int prefix = 128;  // of the 128-bit form
  };
  std::vector<Block> blocks_;
};

}  // namespace kubiya::http
