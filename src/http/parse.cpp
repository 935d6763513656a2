// SPDX-License-Identifier: Apache-2.0
#include "http/parse.h"

#include <array>
#include <charconv>

#include "base/eight_bytes.h"
#include "base/encoding.h"

namespace kubiya::http {
namespace {

enum Class : std::uint8_t { kToken = 1, kTarget = 2, kValue = 4, kHost = 8 };

constexpr std::array<std::uint8_t, 256> classes() {
  std::array<std::uint8_t, 256> table{};
  auto mark = [&](std::string_view characters, std::uint8_t bits) {
    for (char c : characters) table[static_cast<unsigned char>(c)] |= bits;
  };
  for (int c = 0; c < 256; ++c) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (digit || letter) table[c] |= kToken | kHost;
    if (c > 0x20 && c < 0x7F) table[c] |= kTarget;
    if (c == '\t' || (c >= 0x20 && c != 0x7F)) table[c] |= kValue;
  }
  mark("!#$%&'*+-.^_`|~", kToken);
  mark(".-_", kHost);
  for (char c : std::string_view("#\\\"<>")) table[static_cast<unsigned char>(c)] &= ~kTarget;
  return table;
}
constexpr auto kClasses = classes();

bool is(char c, Class wanted) { return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0; }

bool all(std::string_view text, Class wanted) {
  std::uint8_t shared = 0xFF;
  for (char c : text) shared &= kClasses[static_cast<unsigned char>(c)];
  return (shared & wanted) != 0;
}

bool has_control(std::string_view text) {
  return has_byte(text, control_bytes, [](std::uint8_t c) { return (c < 0x20) | (c == 0x7F); });
}

bool is_value(std::string_view text) { return !has_control(text) || all(text, kValue); }

HeadResult faulty(Fault fault) { return {HeadResult::State::fault, fault, 0}; }

// The next line without its CRLF; what is not ended by CRLF is a fault.
struct Line {
  enum class State { partial, whole, broken } state = State::partial;
  std::string_view text;
};

Line next_line(std::string_view bytes) {
  const std::size_t end = bytes.find('\n');
  if (end == bytes.npos) return {};
  if (end == 0 || bytes[end - 1] != '\r') return {Line::State::broken, {}};
  return {Line::State::whole, bytes.substr(0, end - 1)};
}

bool is_version(std::string_view text) {
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return text.size() == 8 && text.substr(0, 5) == "HTTP/" && digit(text[5]) && text[6] == '.' &&
         digit(text[7]);
}

Fault parse_request_line(std::string_view line, Head& head) {
  const std::size_t first = line.find(' ');
  if (first == line.npos || !is_token(line.substr(0, first))) return Fault::request_line;
  const std::size_t second = line.find(' ', first + 1);
  if (second == line.npos) return Fault::request_line;
  const std::string_view version = line.substr(second + 1);
  if (!is_version(version)) return Fault::request_line;
  if (version != "HTTP/1.1") return Fault::version;
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, second - first - 1);
  if (head.target.empty() || head.target[0] != '/' || !all(head.target, kTarget)) {
    return Fault::target;
  }
  const std::size_t question = head.target.find('?');
  head.path = head.target.substr(0, question);
  head.query = question == head.target.npos ? std::string_view() : head.target.substr(question + 1);
  return Fault::none;
}

// Before the line is whole: bytes that can never become a request (TLS, another
// protocol) are refused at once instead of at the header timeout.
bool may_become_request_line(std::string_view partial) {
  const std::size_t space = partial.find(' ');
  return all(partial.substr(0, space), kToken) && !partial.empty() && partial[0] != ' ';
}

// Framing values take no surrounding white space but the usual one space, since
// recipients disagree about the rest (tabs, trailing spaces).
std::string_view exact_value(std::string_view raw) {
  return !raw.empty() && raw[0] == ' ' ? raw.substr(1) : raw;
}

Fault set_content_length(std::string_view raw, Head& head) {
  if (head.content_length) return Fault::content_length;
  const std::string_view digits = exact_value(raw);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || digits.size() > 19 || error != std::errc() ||
      end != digits.data() + digits.size()) {
    return Fault::content_length;
  }
  head.content_length = value;
  return Fault::none;
}

bool list_has(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (iequals(trim(list.substr(0, comma)), wanted)) return true;
    if (comma == list.npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// "Mcp_Method" becomes MCP_METHOD in CGI-like gateways, as "Mcp-Method" does.
// `name` is one of ours, spelt with underscores.
bool is_twin(std::string_view name) {
  std::string hyphens = lower(name);
  for (char& c : hyphens) {
    if (c == '_') c = '-';
  }
  constexpr std::string_view kPrefixes[] = {"mcp-", "x-forwarded-"};
  for (std::string_view prefix : kPrefixes) {
    if (std::string_view(hyphens).starts_with(prefix)) return true;
  }
  constexpr std::string_view kNames[] = {
      "content-length", "transfer-encoding", "content-type",    "content-encoding",
      "x-api-key",      "last-event-id",     "idempotency-key", "x-real-ip",
      "x-request-id",   "if-none-match",     "user-agent",      "proxy-authorization"};
  for (std::string_view known : kNames) {
    if (hyphens == known) return true;
  }
  return false;
}

template <std::size_t N>
bool is_one_of(std::string_view name, const std::string_view (&names)[N]) {
  for (std::string_view known : names) {
    if (iequals(name, known)) return true;
  }
  return false;
}

template <std::size_t N>
bool starts_with_one_of(std::string_view name, const std::string_view (&prefixes)[N]) {
  for (std::string_view prefix : prefixes) {
    if (name.size() >= prefix.size() && iequals(name.substr(0, prefix.size()), prefix)) return true;
  }
  return false;
}

// The headers by which proxies, load balancers and content networks give themselves away. By
// first letter, because every header of every request is asked.
bool is_trace_of_proxy(std::string_view name) {
  constexpr std::string_view kPrefixes[] = {"x-forwarded", "x-envoy-", "x-original-", "x-amz",
                                            "x-azure-"};
  constexpr std::string_view kOwn[] = {"x-real-ip", "x-client-ip", "x-cluster-client-ip",
                                       "x-varnish"};
  constexpr std::string_view kForward[] = {"forwarded", "fastly-client-ip", "fly-client-ip"};
  constexpr std::string_view kCloudflare[] = {"cf-"};
  switch (name[0] | 0x20) {
    case 'c':
      return starts_with_one_of(name, kCloudflare) || iequals(name, "cdn-loop");
    case 'f':
      return is_one_of(name, kForward);
    case 't':
      return iequals(name, "true-client-ip");
    case 'v':
      return iequals(name, "via");
    case 'x':
      return starts_with_one_of(name, kPrefixes) || is_one_of(name, kOwn);
    default:
      return false;
  }
}

// Keeps what framing and admission depend on; everything else is only recorded.
Fault note_header(std::string_view name, std::string_view value, std::string_view raw, Head& head) {
  auto once = [&](std::string_view& slot, Fault twice) {
    if (slot.data() != nullptr) return twice;
    slot = value;
    return Fault::none;
  };
  switch (name.size()) {
    case 4:
      if (iequals(name, "host")) return once(head.host, Fault::host);
      break;
    case 6:
      if (iequals(name, "origin")) return once(head.origin, Fault::repeated_header);
      if (iequals(name, "expect")) {
        head.expects_continue = iequals(value, "100-continue");
        return head.expects_continue ? Fault::none : Fault::expectation;
      }
      break;
    case 10:
      if (iequals(name, "connection")) head.close |= list_has(value, "close");
      break;
    case 14:
      if (iequals(name, "content-length")) return set_content_length(raw, head);
      break;
    case 17:
      if (iequals(name, "transfer-encoding")) {
        if (head.chunked || !iequals(exact_value(raw), "chunked")) return Fault::transfer_encoding;
        head.chunked = true;
        return Fault::none;
      }
      break;
    default:
      break;
  }
  head.forwarded |= is_trace_of_proxy(name);
  return Fault::none;
}

Fault parse_header(std::string_view line, Head& head) {
  std::size_t colon = 0;
  while (colon < line.size() && is(line[colon], kToken)) ++colon;
  if (colon == 0 || colon == line.size() || line[colon] != ':') return Fault::header_line;
  const std::string_view name = line.substr(0, colon);
  if (name.find('_') != name.npos && is_twin(name)) return Fault::twin_header;
  const std::string_view raw = line.substr(colon + 1);
  if (!is_value(raw)) return Fault::header_line;
  const std::string_view value = trim(raw);
  head.headers.push_back({name, value});
  return note_header(name, value, raw, head);
}

HeadResult finish(Head& head, std::size_t size) {
  if (!is_host_port(head.host)) return faulty(Fault::host);
  if (head.chunked && head.content_length) return faulty(Fault::both_lengths);
  return {HeadResult::State::complete, Fault::none, size};
}

void reset(Head& head) {
  std::vector<Header> keep = std::move(head.headers);
  keep.clear();
  head = Head{};
  head.headers = std::move(keep);
}

}  // namespace

bool is_token(std::string_view text) { return !text.empty() && all(text, kToken); }

bool is_host_port(std::string_view text) {
  std::size_t end = 0;
  if (!text.empty() && text[0] == '[') {
    end = text.find(']');
    if (end == text.npos || end < 3) return false;
    if (text.substr(1, end - 1).find_first_not_of("0123456789abcdefABCDEF:.") != text.npos) {
      return false;
    }
    ++end;
  } else {
    while (end < text.size() && is(text[end], kHost)) ++end;
    if (end == 0) return false;
  }
  if (end == text.size()) return true;
  const std::string_view port = text.substr(end + 1);
  unsigned value = 0;
  const auto [stop, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  return text[end] == ':' && !port.empty() && port.size() <= 5 && error == std::errc() &&
         stop == port.data() + port.size() && value <= 65535;
}

HeadResult parse_head(std::string_view bytes, const HeadLimits& limits, Head& head) {
  reset(head);
  if (bytes.empty()) return {};
  const Line request = next_line(bytes.substr(0, limits.request_line_bytes + 2));
  if (request.state == Line::State::broken) return faulty(Fault::request_line);
  if (request.state == Line::State::partial) {
    if (!may_become_request_line(bytes)) return faulty(Fault::request_line);
    if (bytes.size() >= limits.request_line_bytes + 2) return faulty(Fault::line_too_long);
    return {};
  }
  if (const Fault fault = parse_request_line(request.text, head); fault != Fault::none) {
    return faulty(fault);
  }
  const std::size_t start = request.text.size() + 2;
  std::size_t at = start;
  for (;;) {
    const std::size_t left = limits.header_bytes - (at - start);
    const Line line = next_line(bytes.substr(at, left + 2));
    if (line.state == Line::State::broken) return faulty(Fault::header_line);
    if (line.state == Line::State::partial) {
      return bytes.size() - at >= left + 2 ? faulty(Fault::headers_too_long) : HeadResult{};
    }
    if (line.text.empty()) return finish(head, at + 2);
    if (line.text.size() + 2 > left) return faulty(Fault::headers_too_long);
    if (head.headers.size() == limits.header_count) return faulty(Fault::too_many_headers);
    if (const Fault fault = parse_header(line.text, head); fault != Fault::none) {
      return faulty(fault);
    }
    at += line.text.size() + 2;
  }
}

}  // namespace kubiya::http
