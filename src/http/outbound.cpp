// SPDX-License-Identifier: Apache-2.0
#include "http/outbound.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::http {
namespace {

struct Range {
  std::array<unsigned char, 16> start;
  int bits;
};

bool in_range(std::string_view bytes, const Range& range) {
  for (int bit = 0; bit < range.bits; bit += 8) {
    const int left = std::min(8, range.bits - bit);
    const auto mask = static_cast<unsigned char>(0xff << (8 - left));
    const auto at = static_cast<std::size_t>(bit / 8);
    if ((static_cast<unsigned char>(bytes[at]) & mask) != range.start[at]) return false;
  }
  return true;
}

template <std::size_t N>
bool in_any(std::string_view bytes, const std::array<Range, N>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& range) { return in_range(bytes, range); });
}

// IANA IPv4 Special-Purpose Address Registry, multicast and class E.
constexpr std::array<Range, 16> kSpecial4{{
    {{0}, 8},
    {{10}, 8},
    {{100, 64}, 10},
    {{127}, 8},
    {{169, 254}, 16},
    {{172, 16}, 12},
    {{192, 0, 0}, 24},
    {{192, 0, 2}, 24},
    {{192, 31, 196}, 24},
    {{192, 88, 99}, 24},
    {{192, 168}, 16},
    {{198, 18}, 15},
    {{198, 51, 100}, 24},
    {{203, 0, 113}, 24},
    {{224}, 4},
    {{240}, 4},
}};

// IPv6: everything outside 2000::/3 is special, and these inside it. The tunnels
// (Teredo in 2001::/23, 6to4) are refused whole: nobody serves keys from one.
constexpr Range kGlobal6{{0x20}, 3};
constexpr std::array<Range, 5> kSpecial6{{
    {{0x20, 0x01, 0x00}, 23},
    {{0x20, 0x01, 0x0d, 0xb8}, 32},
    {{0x20, 0x02}, 16},
    {{0x3f, 0xfe}, 16},
    {{0x3f, 0xff}, 20},
}};

constexpr std::array<Range, 4> kPrivate4{{
    {{10}, 8},
    {{100, 64}, 10},
    {{172, 16}, 12},
    {{192, 168}, 16},
}};
constexpr Range kUniqueLocal6{{0xfc}, 7};

bool is_private_address(std::string_view bytes) {
  if (bytes.size() == 4) return in_any(bytes, kPrivate4);
  return bytes.size() == 16 && in_range(bytes, kUniqueLocal6);
}

// RFC 5214 §6.1: an interface identifier ::0:5efe:a.b.c.d or ::200:5efe:a.b.c.d.
bool is_isatap(std::string_view bytes) {
  const std::string_view id = bytes.substr(8, 4);
  return id == std::string_view("\x00\x00\x5e\xfe", 4) ||
         id == std::string_view("\x02\x00\x5e\xfe", 4);
}

std::optional<std::string> parse_ip(std::string_view text, int family) {
  std::array<char, 16> bytes;
  if (inet_pton(family, std::string(text).c_str(), bytes.data()) != 1) return std::nullopt;
  return std::string(bytes.data(), family == AF_INET ? 4 : 16);
}

// The last label decides (WHATWG URL §3.5): a resolver would read such a host as an IPv4 address.
bool looks_numeric(std::string_view host) {
  const std::size_t dot = host.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? host : host.substr(dot + 1);
  if (last.starts_with("0x")) return true;
  return std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_host_name(std::string_view host) {
  const bool chars = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
  return chars && !host.empty() && host.size() <= 253 && host.front() != '.' &&
         host.back() != '.' && host.find("..") == std::string_view::npos;
}

tl::unexpected<Error> refuse(std::string_view why) {
  return fail(Code::invalid, fmt::format("outbound URL refused: {}", why));
}

Result<> read_host(std::string_view text, Target& target) {
  if (text.starts_with('[')) {
    if (!text.ends_with(']')) return refuse("the IPv6 address is malformed");
    target.host = lower(text.substr(1, text.size() - 2));
    const auto address = parse_ip(target.host, AF_INET6);
    if (!address) return refuse("the IPv6 address is malformed");
    target.address = *address;
    return {};
  }
  target.host = lower(text);
  if (!is_host_name(target.host)) return refuse("the host is not a plain DNS name");
  if (!looks_numeric(target.host)) return {};
  const auto address = parse_ip(target.host, AF_INET);
  if (!address) return refuse("the host is an unusual spelling of an IPv4 address");
  target.address = *address;
  return {};
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, port);
  return error == std::errc{} && end == last && port > 0 && port <= 65535;
}

// "host", "host:port", "[v6]", "[v6]:port".
Result<> read_authority(std::string_view text, Target& target) {
  if (text.find('@') != std::string_view::npos) return refuse("it holds user information");
  std::size_t host_end = text.starts_with('[') ? text.find(']') : text.find(':');
  if (text.starts_with('[') && host_end != std::string_view::npos) ++host_end;
  host_end = std::min(host_end, text.size());
  TRY_VOID(read_host(text.substr(0, host_end), target));
  const std::string_view port = text.substr(host_end);
  if (!port.empty() && (port[0] != ':' || !is_port(port.substr(1)))) {
    return refuse("the port is malformed");
  }
  const bool v6 = target.address.size() == 16;
  target.origin = fmt::format("{}://{}{}{}{}", target.plain ? "http" : "https", v6 ? "[" : "",
                              target.host, v6 ? "]" : "", port);
  return {};
}

AddressRule rule_for(const FetchRequest& request, const Target& target) {
  if (target.plain) return AddressRule::loopback_only;
  const auto& hosts = request.allow_private;
  const bool listed = std::any_of(hosts.begin(), hosts.end(), [&](const std::string& host) {
    return iequals(host, target.host);
  });
  if (listed) return AddressRule::public_or_private;
  return request.allow_loopback ? AddressRule::public_or_loopback : AddressRule::public_only;
}

}  // namespace

Error address_refused(std::string_view origin) {
  return {Code::forbidden,
          fmt::format("{} is at a private or local address; name its host among the allowed "
                      "private hosts if that is meant",
                      origin),
          {}};
}

bool is_loopback_address(std::string_view bytes) {
  if (bytes.size() == 4) return bytes[0] == 127;
  constexpr std::string_view kLoopback6("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
  return bytes == kLoopback6;
}

bool is_special_address(std::string_view bytes) {
  if (bytes.size() == 4) return in_any(bytes, kSpecial4);
  if (bytes.size() != 16) return true;
  return !in_range(bytes, kGlobal6) || in_any(bytes, kSpecial6) || is_isatap(bytes);
}

bool may_connect(AddressRule rule, std::string_view address) {
  if (address.size() != 4 && address.size() != 16) return false;
  switch (rule) {
    case AddressRule::public_only:
      return !is_special_address(address);
    case AddressRule::public_or_loopback:
      return !is_special_address(address) || is_loopback_address(address);
    case AddressRule::loopback_only:
      return is_loopback_address(address);
    case AddressRule::public_or_private:
      return !is_special_address(address) || is_private_address(address);
    case AddressRule::any:
      return true;
  }
  return false;
}

Result<Target> parse_target(std::string_view url) {
  constexpr std::size_t kUrlMax = 2048;
  if (url.size() > kUrlMax) return refuse("it is too long");
  const bool clean =
      std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '\\'; });
  if (!clean) return refuse("it holds a space, a backslash or a character that is not ASCII");
  if (url.find('#') != std::string_view::npos) return refuse("it has a fragment");
  const std::size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return refuse("only https is spoken");
  const std::string scheme = lower(url.substr(0, scheme_end));
  if (scheme != "https" && scheme != "http") return refuse("only https is spoken");
  url.remove_prefix(scheme_end + 3);
  Target target;
  target.plain = scheme == "http";
  TRY_VOID(read_authority(url.substr(0, std::min(url.find_first_of("/?"), url.size())), target));
  return target;
}

bool is_loopback(const Target& target) {
  return target.address.empty() ? target.host == "localhost" : is_loopback_address(target.address);
}

Result<Target> check_url(const FetchRequest& request) {
  Target target = TRY(parse_target(request.url));
  if (target.plain && !(request.allow_loopback && is_loopback(target))) {
    return refuse("plain http is spoken to loopback addresses only");
  }
  target.rule = rule_for(request, target);
  if (!target.address.empty() && !may_connect(target.rule, target.address)) {
    return fail(address_refused(target.origin));
  }
  return target;
}

std::chrono::seconds parse_seconds(std::string_view value) {
  constexpr std::int64_t kMax = 31'536'000;
  std::int64_t seconds = 0;
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, seconds);
  if (error == std::errc::result_out_of_range && end == last) seconds = kMax;
  if ((error != std::errc{} && seconds != kMax) || end != last || seconds < 0 || value.empty()) {
    return std::chrono::seconds{-1};
  }
  return std::chrono::seconds{std::min(seconds, kMax)};
}

std::chrono::seconds parse_max_age(std::string_view value) {
  std::chrono::seconds out{-1};
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const std::string directive = lower(trim(value.substr(0, comma)));
    value.remove_prefix(std::min(comma + 1, value.size()));
    if (directive == "no-store" || directive == "no-cache") return std::chrono::seconds{0};
    constexpr std::string_view kName = "max-age=";
    if (!directive.starts_with(kName)) continue;
    std::string_view digits = std::string_view(directive).substr(kName.size());
    if (digits.size() >= 2 && digits.front() == '"' && digits.back() == '"') {
      digits = digits.substr(1, digits.size() - 2);
    }
    const auto seconds = parse_seconds(digits);
    if (seconds.count() >= 0) out = seconds;
  }
  return out;
}

}  // namespace kubiya::http
