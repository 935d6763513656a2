// SPDX-License-Identifier: Apache-2.0
//
// Arbitrary bytes as a token and as a key set. Nothing crashes, and nothing is believed: a
// token verifies under our key only if the fuzzer forged its signature, and never under a key set
// that was the same text.
#include <cstdint>
#include <string_view>

#include "base/encoding.h"
#include "identity/key_set.h"

namespace {

using namespace kubiya;
using namespace kubiya::identity;

// RFC 8037 appendix A.2.
constexpr std::string_view kKeys =
    R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";

TokenRules rules() {
  TokenRules out;
  out.issuer = "https://idp.example";
  out.audiences = {"https://mcp.example/mcp"};
  out.algorithms = {crypto::Algorithm::rs256, crypto::Algorithm::es256, crypto::Algorithm::eddsa};
  out.tenant_claim = "app.tenant";
  return out;
}

void check_token(std::string_view text, const KeySet& keys) {
  static const TokenRules kRules = rules();
  const auto token = parse_token(text);
  if (!token) return;
  const Wall now = from_unix_ms(1'800'000'000'000);
  const auto facts = check_claims(*token, kRules, now);
  ASSERT(!facts || (facts->issuer == kRules.issuer && !facts->subject.empty()),
         "facts come from checked claims only");
  ASSERT(!facts || facts->expires_at > now - kRules.leeway, "an expired token has no facts");
  const Claimed claimed = claimed_by(*token);
  ASSERT(is_utf8(claimed.issuer) && is_utf8(claimed.subject), "claimed names can be logged");
  ASSERT(!verify_signature(*token, kRules, keys), "no token of the fuzzer is signed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const KeySet kOurs = KeySet::parse(kKeys).value();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_token(text, kOurs);
  if (const auto keys = KeySet::parse(text)) {
    ASSERT(keys->size() > 0, "a key set holds a key");
  }
  // The input as payload of a well-formed envelope, to get past base64 at once.
  check_token("eyJhbGciOiJFZERTQSJ9." + base64url(text) + ".AAAA", kOurs);
  return 0;
}
