// SPDX-License-Identifier: Apache-2.0
//
// Small outbound requests (discovery documents, key sets, introspection): https, or http to a
// loopback address when allowed; no redirects, no ambient proxy, the resolved
// address checked at the socket, bounded size and time. One thread serves all.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"

namespace kubiya::http {

struct FetchRequest {
  std::string url;
  std::string accept = "application/json";
  std::size_t bytes_max = 256 * 1024;
  std::string origin;                   // the header Origin, to see what a browser would; or empty
  std::optional<Secret> form;           // set: POST, application/x-www-form-urlencoded
  std::optional<Secret> authorization;  // the header's value
  bool allow_loopback = false;  // permits http:// and loopback addresses, nothing else private
  std::vector<std::string> allow_private;  // hosts whose private addresses are accepted
};

struct FetchResponse {
  int status = 0;
  std::string body;
  std::chrono::seconds max_age{-1};      // from Cache-Control; negative when absent
  std::chrono::seconds retry_after{-1};  // of Retry-After when it is a number; negative else
  std::optional<Wall> date = {};         // the clock over there when the answer was made
  std::chrono::seconds age{0};           // of an answer that a cache on the way kept
  // Headers for people, printable and cut; empty when absent.
  std::string location = {}, content_type = {}, allowed_origin = {};
};

struct ClientOptions {
  std::chrono::milliseconds connect_timeout{2'000};
  std::chrono::milliseconds total_timeout{5'000};
  std::string ca_file;  // empty: the system's
  std::string proxy;    // empty: none, whatever the environment says
  std::size_t in_flight_max = 64;
};

class Client {
 public:
  using Done = std::function<void(Result<FetchResponse>)>;
  static Result<std::unique_ptr<Client>> open(ClientOptions options);
  virtual ~Client() = default;
  // `done` runs on the client's thread. A status other than 200 is a value, not an error.
  // Code::forbidden for an address that may not be reached, untrusted for a certificate, timeout;
  // unavailable for other failures of name, connection or answer.
  virtual void fetch(FetchRequest request, Done done) = 0;
};

// True for addresses that no public service has: loopback, private, link-local,
// carrier NAT, documentation, multicast, and IPv6 forms that carry one of those
// (mapped, NAT64, 6to4, Teredo, ISATAP). `bytes` are 4 or 16, network order.
bool is_special_address(std::string_view bytes);
bool is_loopback_address(std::string_view bytes);

}  // namespace kubiya::http
