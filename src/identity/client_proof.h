// SPDX-License-Identifier: Apache-2.0
//
// How this server proves to an issuer who it is, when it asks about tokens or for them
// (OpenID Connect Core §9, RFC 6749 §2.3, RFC 7523).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "http/client.h"

namespace kubiya::identity {

enum class ClientAuth { basic, post, private_key_jwt };

struct ClientProof {
  ClientAuth auth = ClientAuth::basic;
  std::string client_id;
  std::optional<Secret> client_secret;
  std::optional<Secret> private_key;  // PEM, for private_key_jwt
  std::string key_id;                 // `kid` of the assertion; empty: none
  std::string assertion_audience;     // `aud` of the assertion; empty: the issuer
};

// A form of application/x-www-form-urlencoded (RFC 6749 appendix B) that may hold secrets.
class SecretForm {
 public:
  ~SecretForm() { wipe_memory(text_.data(), text_.size()); }
  SecretForm() = default;
  SecretForm(const SecretForm&) = delete;
  SecretForm& operator=(const SecretForm&) = delete;
  void add(std::string_view name, std::string_view value);
  Secret take() { return Secret::take(std::move(text_)); }

 private:
  std::string text_;
};

// Adds the client's proof and makes the form the body of `request`. Code::invalid when the private
// key cannot be used. Pure but for the assertion's random `jti`.
Result<> prove_client(const ClientProof& client, std::string_view issuer, Wall now,
                      SecretForm& form, http::FetchRequest& request);

}  // namespace kubiya::identity
