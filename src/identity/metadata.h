// SPDX-License-Identifier: Apache-2.0
//
// What a client reads to find out how to sign in: RFC 9728 documents and the
// WWW-Authenticate challenges of RFC 6750. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/scopes.h"
#include "identity/reason.h"

namespace kubiya::identity {

struct ResourceInfo {
  std::string resource;  // canonical URL of the MCP endpoint, no trailing slash
  std::vector<std::string> authorization_servers;
  std::vector<std::string> scopes_supported;
  std::string name;
  std::string documentation;
  std::vector<std::string> dpop_algorithms;  // of proofs; empty: DPoP is not taken
  bool dpop_required = false;                // of every caller
  bool certificate_bound = false;            // client certificates are seen (RFC 8705)
};
// The protected-resource document, JSON.
std::string protected_resource_document(const ResourceInfo& info);
// "https://host/.well-known/oauth-protected-resource/mcp" for resource "https://host/mcp".
std::string metadata_url(std::string_view resource);

// The value of WWW-Authenticate. Every reason but expiry gives the same bytes as any other
// refused token; a request without a credential gets no error code (RFC 6750 §3.1).
std::string challenge_unauthenticated(std::string_view metadata_url, const Scopes& scopes,
                                      Reason reason);
std::string challenge_insufficient_scope(std::string_view metadata_url, const Scopes& needed);
// The same of the scheme DPoP (RFC 9449 §7.1), with the algorithms of proofs. The error is told
// where the request came under it: `used`.
std::string dpop_challenge_unauthenticated(std::string_view metadata_url, const Scopes& scopes,
                                           Reason reason, std::string_view algorithms, bool used);
std::string dpop_challenge_insufficient_scope(std::string_view metadata_url, const Scopes& needed,
                                              std::string_view algorithms);
// The same for callers with API keys, who have no authorization server to be sent to.
std::string key_challenge_unauthenticated(std::string_view realm, Reason reason);
std::string key_challenge_insufficient_scope(std::string_view realm, const Scopes& needed);
// HTTP status for a refusal: 400, 401 or 503.
int http_status(Reason reason);
// The seed's words for people: "No API token provided" or "Invalid token".
std::string_view public_message(Reason reason);

}  // namespace kubiya::identity
