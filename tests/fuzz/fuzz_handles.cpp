// SPDX-License-Identifier: Apache-2.0
//
// Any bytes where a cursor, a request state or a header's text of ours comes back: nothing opens
// that we did not seal, and nothing that we sealed opens for another or altered.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/encoding.h"
#include "base/result.h"
#include "mcp/handles.h"
#include "mcp/message.h"

namespace {

using namespace kubiya;
using mcp::Handles;

const Wall kNow = from_unix_ms(1'800'000'000'000);
const Handles::Call kCall{"tenant/issuer/ada", "tools/call", "deploy", "digest"};

void present(const Handles& handles, std::string_view text) {
  ASSERT(!handles.position("ada", "tools", text), "a cursor of a stranger opens nothing");
  ASSERT(!handles.open_state(kCall, text, kNow), "a state of a stranger opens nothing");
}

// What we sealed, with the input as content and then as damage.
void carry(const Handles& handles, std::string_view text, const std::uint8_t* data) {
  const std::string cursor = handles.cursor("ada", "tools", text);
  ASSERT(handles.position("ada", "tools", cursor) == text, "our cursor opens");
  ASSERT(!handles.position("bob", "tools", cursor), "not for another");
  ASSERT(!handles.position("ada", "prompts", cursor), "not for another list");
  std::string state = handles.state(kCall, text, kNow + std::chrono::minutes(1));
  ASSERT(handles.open_state(kCall, state, kNow) == text, "our state opens");
  ASSERT(!handles.open_state(kCall, state, kNow + std::chrono::hours(1)), "not past its time");
  ASSERT(!handles.open_state(kCall, cursor, kNow), "a cursor is no state");
  if (text.empty()) return;
  char& damaged = state[data[0] % state.size()];
  damaged = damaged == 'A' ? 'B' : 'A';
  ASSERT(!handles.open_state(kCall, state, kNow), "nothing altered opens");
}

void read_headers(std::string_view text) {
  const auto decoded = mcp::decode_header_text(text);
  ASSERT(!decoded || is_utf8(*decoded), "a header's text is UTF-8");
  mcp::parse_accept(text);
  mcp::is_json_content(text);
  mcp::log_level_rank(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Handles kHandles{Secret("a secret of the fuzzer's own")};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  present(kHandles, text);
  present(kHandles, base64url(text));
  carry(kHandles, text, data);
  read_headers(text);
  return 0;
}
