// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the documents an issuer publishes: its key set and its metadata. Never a crash,
// never more keys than the limit, and no URL that the outbound rules would not look at first.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/encoding.h"
#include "base/result.h"
#include "identity/discovery.h"
#include "identity/key_set.h"

namespace {

using namespace kubiya;
using namespace kubiya::identity;

constexpr std::string_view kIssuer = "https://idp.example";

void choose(const KeySet& keys, const char* kid) {
  for (const auto algorithm :
       {crypto::Algorithm::rs256, crypto::Algorithm::es256, crypto::Algorithm::eddsa}) {
    UnverifiedToken token;
    token.algorithm = algorithm;
    if (kid != nullptr) token.kid = kid;
    const auto key = keys.select(token);
    ASSERT(!key || *key != nullptr, "a chosen key is one");
    ASSERT(!key || !(*key)->verify(algorithm, "signed by nobody", ""), "nothing is signed by it");
  }
}

void read_keys(std::string_view text) {
  const auto keys = KeySet::parse(text);
  if (!keys) {
    ASSERT(!keys.error().message.empty(), "a refusal has words");
    return;
  }
  ASSERT(keys->size() > 0 && keys->size() <= 64, "a key set holds keys within the limit");
  choose(*keys, nullptr);
  choose(*keys, "1");
}

// Schemes are of either case (RFC 3986 §3.1).
bool is_https(std::string_view url) { return iequals(url.substr(0, 8), "https://"); }

void read_document(std::string_view text) {
  const auto document = read_metadata(text, kIssuer);
  if (!document) return;
  ASSERT(is_https(document->jwks_uri), "keys come over https");
  ASSERT(document->introspection_endpoint.empty() || is_https(document->introspection_endpoint),

         "tokens go over https");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_keys(text);
  read_document(text);
  return 0;
}
