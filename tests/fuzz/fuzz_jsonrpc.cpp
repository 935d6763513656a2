// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a message body under both eras' headers: never a crash, and whatever is
// accepted has a served version and the members of its kind.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/json.h"
#include "mcp/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kubiya;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The first line, when there is one, plays the Mcp-Name header.
  const auto line = text.find('\n');
  const std::string_view name =
      line == std::string_view::npos ? std::string_view() : text.substr(0, line);
  const std::string_view body = line == std::string_view::npos ? text : text.substr(line + 1);
  JsonText message;
  const bool readable = message.read(body).has_value();
  const auto parsed = parse_json(body);
  if (readable != parsed.has_value()) std::abort();
  if (!parsed) return 0;
  for (const std::string_view version : {mcp::kModernVersion, mcp::kLegacyVersions[0]}) {
    const mcp::Decoded decoded =
        mcp::decode(message.root(), {{version, 1}, {"tools/call", 1}, {name, 1}});
    if (!decoded.message) continue;
    const mcp::Message& accepted = *decoded.message;
    if (accepted.version.empty()) std::abort();
    if (accepted.kind == mcp::Message::Kind::response) {
      // Of a response: an id, and either a result or an error.
      if (accepted.id.empty() || !accepted.method.empty()) std::abort();
      if (accepted.result.has_value() == accepted.error.has_value()) std::abort();
    } else {
      if (accepted.method.data() == nullptr || accepted.result || accepted.error) std::abort();
    }
  }
  // What was read must be written so that it reads back equal.
  const auto again = parse_json(to_json(*parsed));
  if (!again || *again != *parsed) std::abort();
  return 0;
}
