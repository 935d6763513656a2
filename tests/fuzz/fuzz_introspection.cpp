// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an issuer's answer about an opaque token. Who is believed has a name, was not
// refused, and is not past the answer's own time.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/encoding.h"
#include "base/json.h"
#include "base/result.h"
#include "identity/introspection.h"

namespace {

using namespace kubiya;
using namespace kubiya::identity;

TokenRules rules() {
  TokenRules out;
  out.issuer = "https://idp.example";
  out.audiences = {"https://mcp.example/mcp"};
  out.algorithms = {crypto::Algorithm::rs256};
  out.tenant_claim = "app.tenant";
  return out;
}

void read(const http::FetchResponse& answer, bool allow_missing_audience) {
  static const TokenRules kRules = rules();
  const Wall now = from_unix_ms(1'800'000'000'000);
  const auto facts = read_introspection(answer, kRules, allow_missing_audience, now);
  if (!facts) return;
  ASSERT(!facts->subject.empty() && facts->issuer == kRules.issuer, "somebody of this issuer");
  ASSERT(is_utf8(facts->subject) && is_utf8(facts->display_name), "names can be logged");
  ASSERT(facts->expires_at > now - kRules.leeway, "nobody whose time is up");
  const auto body = parse_json(answer.body);
  ASSERT(body && body->is_object() && find_bool(body->get_object(), "active") == true,
         "only true is a yes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  http::FetchResponse answer;
  answer.status = 200;
  answer.body.assign(reinterpret_cast<const char*>(data), size);
  read(answer, false);
  read(answer, true);
  return 0;
}
