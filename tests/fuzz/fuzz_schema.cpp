// SPDX-License-Identifier: Apache-2.0
//
// The first line is a schema, the rest an instance. A published workflow brings its own schema,
// so neither may crash or hang the server; what is refused is told why.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "schema/schema.h"
#include "schema/uri.h"

namespace {

using namespace kubiya;
using namespace kubiya::schema;

void judge(const Schema& schema, const json::value& instance) {
  const auto violations = schema.validate(instance);
  ASSERT(violations.empty() == schema.accepts(instance), "one verdict");
  for (const auto& violation : violations) {
    ASSERT(!violation.message.empty(), "a violation has words");
    ASSERT(violation.field.empty() || violation.field.starts_with('/'), "a JSON Pointer");
  }
}

// A reference taken in a document, and taken again from where it leads.
void refer(std::string_view reference) {
  const std::string target = resolve_uri("https://a.example/schemas/root.json", reference);
  ASSERT(resolve_uri("https://b.example/", target) == resolve_uri("", target), "absolute already");
  const auto decoded = percent_decoded(reference);
  ASSERT(!decoded || decoded->size() <= reference.size(), "escapes are longer than their bytes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.find('\n');
  refer(text.substr(0, line));
  const auto definition = parse_json(text.substr(0, line));
  if (!definition) return 0;
  const auto instance =
      parse_json(line == std::string_view::npos ? std::string_view("null") : text.substr(line + 1));
  for (const bool assert_format : {false, true}) {
    CompileOptions options;
    options.assert_format = assert_format;
    const auto schema = Schema::compile(*definition, options);
    if (!schema) {
      ASSERT(!schema.error().message.empty(), "a refusal has words");
      return 0;
    }
    judge(*schema, *definition);
    if (instance) judge(*schema, *instance);
  }
  return 0;
}
