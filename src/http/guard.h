// SPDX-License-Identifier: Apache-2.0
//
// Who may talk to us: Host and Origin checks against DNS rebinding and foreign
// web pages, and the CORS lines of our answers. Pure.
#pragma once

#include <string>
#include <string_view>

#include "http/server.h"

namespace kubiya::http {

enum class ListenerKind { loopback, reachable };

struct GuardInput {
  std::string_view method;
  std::string_view path;
  std::string_view host;    // host[:port], already checked for form
  std::string_view origin;  // empty when absent
  bool secure = false;
  // Of a preflight; empty when absent.
  std::string_view requested_method;
  std::string_view requested_headers;
};

struct GuardVerdict {
  enum class Kind { pass, bad_host, bad_origin, preflight };
  Kind kind = Kind::pass;
  // The origin our answer names; "*" on public paths, empty for none. A view into the input
  // or a literal.
  std::string_view allow_origin;
};

class GuardRules {
 public:
  GuardRules(Guard guard, ListenerKind listener) : guard_(std::move(guard)), listener_(listener) {}
  GuardVerdict judge(const GuardInput& input) const;

 private:
  bool host_allowed(std::string_view host) const;
  bool origin_allowed(const GuardInput& input) const;
  bool is_public(std::string_view path) const;

  Guard guard_;
  ListenerKind listener_;
};

// localhost, 127.0.0.1 or [::1], with a port or without.
bool is_loopback_host(std::string_view host);
// Header lines, each ended by CRLF, for an answer to an allowed origin.
void append_cors(std::string& out, std::string_view allow_origin);
// The whole answer to a preflight that the rules let through.
Response preflight_answer(const GuardVerdict& verdict, std::string_view requested_headers);

}  // namespace kubiya::http
