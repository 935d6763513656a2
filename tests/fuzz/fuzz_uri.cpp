// SPDX-License-Identifier: Apache-2.0
//
// Any text as a URL of an outbound request, as Host and Origin, and as what a proxy forwards. What
// is let through has one spelling of one host, and never an address that the rules forbid.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/forwarded.h"
#include "http/guard.h"
#include "http/outbound.h"

namespace {

using namespace kubiya;
using namespace kubiya::http;

void go_out(std::string_view url) {
  const auto target = parse_target(url);
  if (!target) {
    ASSERT(!target.error().message.empty(), "a refusal has words");
    return;
  }
  ASSERT(!target->host.empty() && target->host.find_first_of("@/\\%? ") == std::string::npos,
         "a host is a host");
  FetchRequest request;
  request.url = url;
  const auto checked = check_url(request);
  if (!checked) return;
  ASSERT(!checked->plain, "nothing goes out in the clear");
  ASSERT(checked->address.empty() || !is_special_address(checked->address),
         "no address that no public service has");
}

void come_in(std::string_view text) {
  static const GuardRules kRules({}, ListenerKind::loopback);
  GuardInput input;
  input.method = "POST";
  input.path = "/mcp";
  input.host = text;
  const bool ours = is_loopback_host(text);
  ASSERT((kRules.judge(input).kind == GuardVerdict::Kind::pass) == ours, "our names only");
  input.host = "localhost:8000";
  input.origin = text;
  kRules.judge(input);
  static const AddressSet kTrusted = AddressSet::parse({"10.0.0.0/8"}).value();
  const std::array headers{Header{"X-Forwarded-For", text}, Header{"X-Forwarded-Host", text},
                           Header{"Forwarded", text}};
  read_forwarded(headers, kTrusted, Forwarding::x_forwarded);
  read_forwarded(headers, kTrusted, Forwarding::forwarded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  go_out(text);
  come_in(text);
  parse_max_age(text);
  parse_seconds(text);
  return 0;
}
