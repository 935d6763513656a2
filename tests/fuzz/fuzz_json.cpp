// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a JSON text: both readers agree, whatever was read is written so that it reads
// back equal, and the canonical form is one (RFC 8785).
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/canonical_json.h"
#include "base/encoding.h"
#include "base/json.h"
#include "base/json_text.h"
#include "base/result.h"

namespace {

using namespace kubiya;

// Every view lies in the text it was read from, and says what the value says.
void compare(JsonView view, const json::value& value, std::string_view whole) {
  const std::string_view text = view.text();
  ASSERT(text.data() >= whole.data() && text.data() + text.size() <= whole.data() + whole.size(),
         "a view lies in its text");
  switch (view.kind()) {
    case JsonView::Kind::string:
      ASSERT(value.is_string() && view.string() == kubiya::view(value.get_string()), "one string");
      ASSERT(is_utf8(view.string()), "a string is UTF-8");
      break;
    case JsonView::Kind::array: {
      ASSERT(value.is_array(), "one array");
      const auto elements = view.elements();
      ASSERT(elements.size() == value.get_array().size(), "as many elements");
      for (std::size_t i = 0; i < elements.size(); ++i) {
        compare(elements[i], value.get_array()[i], whole);
      }
      break;
    }
    case JsonView::Kind::object:
      ASSERT(value.is_object(), "one object");
      for (const auto& member : value.get_object()) {
        const auto found = view.find(member.key());
        ASSERT(found.has_value(), "a member is found by its name");
        compare(*found, member.value(), whole);
      }
      break;
    case JsonView::Kind::null:
    case JsonView::Kind::boolean:
    case JsonView::Kind::number:
      ASSERT(view.value() == value, "one value");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  JsonText read;
  const bool readable = read.read(text).has_value();
  const auto value = parse_json(text);
  ASSERT(readable == value.has_value(), "the readers agree");
  if (!value) return 0;
  // Looking up every member of a wide object takes the square of its width.
  if (size <= 4096) compare(read.root(), *value, text);
  const auto again = parse_json(to_json(*value));
  ASSERT(again && *again == *value, "what was written reads back equal");
  const std::string canonical = canonical_json(*value);
  const auto same = parse_json(canonical);
  ASSERT(same && canonical_json(*same) == canonical, "the canonical form has one spelling");
  return 0;
}
