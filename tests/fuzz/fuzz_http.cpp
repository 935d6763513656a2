// SPDX-License-Identifier: Apache-2.0
//
// Request heads and chunked bodies from any bytes. Beside not crashing: a head
// does not depend on how its bytes were cut, lies inside the input, and keeps its limits.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/chunked.h"
#include "http/parse.h"

namespace {

using kubiya::http::ChunkedDecoder;
using kubiya::http::Head;
using kubiya::http::HeadLimits;
using kubiya::http::HeadResult;

void require(bool condition) {
  if (!condition) std::abort();
}

bool inside(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

constexpr std::size_t kBodyMax = 4096;

void decode(std::string_view bytes, std::size_t cut) {
  ChunkedDecoder whole;
  std::string out;
  const auto once = whole.feed(bytes, out, kBodyMax);
  require(once.consumed <= bytes.size() && out.size() <= kBodyMax);

  ChunkedDecoder split;
  std::string pieces;
  auto step = split.feed(bytes.substr(0, cut), pieces, kBodyMax);
  std::size_t consumed = step.consumed;
  if (step.state == ChunkedDecoder::State::more) {
    step = split.feed(bytes.substr(consumed), pieces, kBodyMax);
    consumed += step.consumed;
  }
  require(step.state == once.state && consumed == once.consumed && pieces == out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const HeadLimits limits{128, 512, 8};
  Head head;
  const HeadResult result = parse_head(bytes, limits, head);
  const std::size_t cut = size == 0 ? 0 : data[size / 2] % size;
  Head partial;
  const HeadResult early = parse_head(bytes.substr(0, cut), limits, partial);
  // More bytes may complete a head, never change a verdict.
  if (early.state != HeadResult::State::incomplete) {
    require(early.state == result.state && early.size == result.size &&
            early.fault == result.fault);
  }
  if (result.state != HeadResult::State::complete) {
    decode(bytes, cut);
    return 0;
  }
  require(result.size <= bytes.size() && result.size <= head_bytes_max(limits));
  require(head.headers.size() <= limits.header_count && head.target.front() == '/');
  require(!(head.chunked && head.content_length));
  for (const auto& header : head.headers) {
    require(inside(header.name, bytes) && inside(header.value, bytes));
    require(header.value.find_first_of(std::string_view("\r\n\0", 3)) == header.value.npos);
  }
  const std::string_view body = bytes.substr(result.size);
  if (head.chunked) decode(body, body.empty() ? 0 : cut % body.size());
  return 0;
}
