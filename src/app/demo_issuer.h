// SPDX-License-Identifier: Apache-2.0
//
// The identity provider of the demonstration: real keys, real discovery documents and a
// key set over HTTP on its own loopback listener. For trying and testing only; it issues
// tokens to its two users for their client secrets and does nothing else.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/signature.h"
#include "http/server.h"

namespace kubiya::app {

struct DemoUser {
  std::string subject;
  std::string name;
  std::string email;
  std::string scope;     // as in the `scope` claim
  Secret api_key;        // claim kubiya_api_key
  Secret client_secret;  // for the token endpoint
};

struct DemoIssuerOptions {
  std::uint16_t port = 8001;
  std::string key_file;  // RSA key, PEM; created (0600) when absent
  std::string audience;
  std::vector<DemoUser> users;
};

enum class TokenKind {
  good,
  expired,  // well signed, ended an hour ago
  forged,   // same header and claims, signed with a key of somebody else
};

class DemoIssuer final : public http::Handler {
 public:
  static Result<std::unique_ptr<DemoIssuer>> open(DemoIssuerOptions options, const Clock& clock);
  ~DemoIssuer() override;

  const std::string& url() const { return url_; }
  const std::vector<DemoUser>& users() const { return options_.users; }
  void start() { server_->start(); }

  // Any thread. Code::not_found for a subject that is no user.
  Result<Secret> token(std::string_view subject, std::chrono::seconds lifetime,
                       TokenKind kind = TokenKind::good) const;

  void handle(const http::Request& request, http::Responder responder) override;
  void admit(const http::Request& head, Admission decide) override;

 private:
  DemoIssuer(DemoIssuerOptions options, const Clock& clock, crypto::PrivateKey key);
  http::Response token_response(const http::Request& request) const;
  const DemoUser* find_user(std::string_view subject) const;

  DemoIssuerOptions options_;
  const Clock& clock_;
  crypto::PrivateKey key_;
  std::string url_;
  std::string key_id_;
  std::string metadata_;
  std::string key_set_;
  std::unique_ptr<http::Server> server_;
};

// The fields of an application/x-www-form-urlencoded body; nothing when it is malformed or
// names a field twice. Pure.
std::optional<std::vector<std::pair<std::string, std::string>>> parse_form(std::string_view body);

}  // namespace kubiya::app
