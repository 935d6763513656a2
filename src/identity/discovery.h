// SPDX-License-Identifier: Apache-2.0
//
// Authorization server metadata (OpenID Connect Discovery 1.0, RFC 8414). Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kubiya::identity {

// True when the URL's host is "localhost" or a loopback literal.
bool is_loopback_url(std::string_view url);

struct Metadata {
  std::string jwks_uri;                // may be empty in read_metadata's result only if not needed
  std::string introspection_endpoint;  // this and the next: empty when the document names none
  std::string token_endpoint;
};

// The document's `issuer` must equal `issuer` byte for byte (RFC 8414 §3.3) and each URL taken
// from it must be https; http on loopback is for issuers on loopback.
Result<Metadata> read_metadata(std::string_view document, std::string_view issuer,
                               bool needs_keys = true);

}  // namespace kubiya::identity
