// SPDX-License-Identifier: Apache-2.0
#include "http/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/encoding.h"

namespace kubiya::http {
namespace {

constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

// The first `prefix` bits of `address`, the rest zero.
Address masked(Address address, int prefix) {
  for (int i = 0; i < 16; ++i) {
    const int bits = std::clamp(prefix - i * 8, 0, 8);
    address.bytes[i] &= static_cast<std::uint8_t>(0xFF00 >> bits);
  }
  return address;
}

}  // namespace

bool Address::is_v4() const { return std::memcmp(bytes.data(), kMapped, sizeof kMapped) == 0; }

bool Address::is_loopback() const {
  if (is_v4()) return bytes[12] == 127;
  Address one;
  one.bytes[15] = 1;
  return *this == one;
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (is_v4()) {
    inet_ntop(AF_INET, bytes.data() + 12, buffer, sizeof buffer);
  } else {
    inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
  }
  return buffer;
}

std::optional<Address> parse_address(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN || text.find('\0') != text.npos) {
    return std::nullopt;
  }
  const std::string copy(text);
  Address address;
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  std::memcpy(address.bytes.data(), kMapped, sizeof kMapped);
  if (inet_pton(AF_INET, copy.c_str(), address.bytes.data() + 12) == 1) return address;
  return std::nullopt;
}

Address network_of(const Address& address) {
  return address.is_v4() ? address : masked(address, 64);
}

Result<AddressSet> AddressSet::parse(const std::vector<std::string>& entries) {
  AddressSet set;
  for (const std::string& entry : entries) {
    const auto refuse = [&] {
      return fail(Code::invalid, "\"" + printable(entry) + "\" is not an address or a CIDR block");
    };
    const std::size_t slash = entry.find('/');
    const auto base = parse_address(std::string_view(entry).substr(0, slash));
    if (!base) return refuse();
    // A mapped IPv6 spelling such as ::ffff:10.0.0.0/104 counts prefix bits in IPv6.
    const bool short_form = base->is_v4() && entry.find(':') == entry.npos;
    int prefix = short_form ? 32 : 128;
    if (slash != entry.npos) {
      const char* first = entry.data() + slash + 1;
      const char* last = entry.data() + entry.size();
      int value = -1;
      const auto [end, error] = std::from_chars(first, last, value);
      if (error != std::errc() || end != last || value < 0 || value > prefix) return refuse();
      prefix = value;
    }
    if (short_form) prefix += 96;
    if (masked(*base, prefix) != *base) return refuse();
    set.blocks_.push_back({*base, prefix});
  }
  return set;
}

bool AddressSet::contains(const Address& address) const {
  return std::any_of(blocks_.begin(), blocks_.end(), [&](const Block& block) {
    return masked(address, block.prefix) == block.base;
  });
}

}  // namespace kubiya::http
