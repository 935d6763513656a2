// SPDX-License-Identifier: Apache-2.0
#include "http/forwarded.h"

#include "base/encoding.h"
#include "http/parse.h"

namespace kubiya::http {
namespace {

// Takes the last element of a comma-separated list off `list`.
std::string_view pop_last(std::string_view& list) {
  const std::size_t comma = list.rfind(',');
  const std::string_view last = trim(comma == list.npos ? list : list.substr(comma + 1));
  list = comma == list.npos ? std::string_view() : list.substr(0, comma);
  return last;
}

// "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1"
std::optional<Address> address_of(std::string_view node) {
  if (!node.empty() && node[0] == '[') {
    const std::size_t end = node.find(']');
    return end == node.npos ? std::nullopt : parse_address(node.substr(1, end - 1));
  }
  const std::size_t colon = node.find(':');
  const bool one_colon = colon != node.npos && node.find(':', colon + 1) == node.npos;
  return parse_address(one_colon ? node.substr(0, colon) : node);
}

std::optional<bool> secure_of(std::string_view scheme) {
  if (iequals(scheme, "https")) return true;
  if (iequals(scheme, "http")) return false;
  return std::nullopt;
}

// A parameter of one Forwarded element, quotes removed; a quoted pair is not read.
std::string_view parameter(std::string_view element, std::string_view name) {
  while (!element.empty()) {
    const std::size_t semicolon = element.find(';');
    const std::string_view pair = trim(element.substr(0, semicolon));
    const std::size_t equals = pair.find('=');
    if (equals != pair.npos && iequals(pair.substr(0, equals), name)) {
      std::string_view value = pair.substr(equals + 1);
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
        value = value.substr(1, value.size() - 2);
      }
      return value.find('\\') == value.npos ? value : std::string_view();
    }
    if (semicolon == element.npos) break;
    element.remove_prefix(semicolon + 1);
  }
  return {};
}

// Walks the chain from the nearest hop outwards while the hops are trusted.
template <class NodeOf>
std::optional<Address> client_of(std::string_view chain, const AddressSet& trusted, NodeOf node) {
  std::optional<Address> found;
  while (!chain.empty()) {
    const std::optional<Address> hop = address_of(node(pop_last(chain)));
    if (!hop) break;
    found = hop;
    if (!trusted.contains(*hop)) break;
  }
  return found;
}

// Several lines of one header are one list; the last line is the nearest hop's, and the
// earlier ones are not needed to find the nearest untrusted address in practice.
std::string_view last_value(std::span<const Header> headers, std::string_view name) {
  std::string_view value;
  for (const Header& header : headers) {
    if (iequals(header.name, name)) value = header.value;
  }
  return value;
}

}  // namespace

ForwardedFacts read_forwarded(std::span<const Header> headers, const AddressSet& trusted,
                              Forwarding family) {
  ForwardedFacts facts;
  std::string_view host;
  if (family == Forwarding::forwarded) {
    const std::string_view chain = last_value(headers, "forwarded");
    facts.client = client_of(chain, trusted, [](auto hop) { return parameter(hop, "for"); });
    std::string_view list = chain;
    const std::string_view nearest = pop_last(list);
    facts.secure = secure_of(parameter(nearest, "proto"));
    host = parameter(nearest, "host");
  } else {
    facts.client =
        client_of(last_value(headers, "x-forwarded-for"), trusted, [](auto hop) { return hop; });
    std::string_view proto = last_value(headers, "x-forwarded-proto");
    facts.secure = secure_of(pop_last(proto));
    host = last_value(headers, "x-forwarded-host");
    host = pop_last(host);
  }
  if (is_host_port(host)) facts.host = host;
  return facts;
}

}  // namespace kubiya::http
