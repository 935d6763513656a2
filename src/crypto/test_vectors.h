// SPDX-License-Identifier: Apache-2.0
//
// Finds and reads published test vectors; for tests only. They are looked for in
// $KUBIYA_VECTORS_DIR, otherwise beside the source tree in shared/vectors.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "base/json.h"

namespace kubiya::crypto::test {

inline std::string vector_path(const std::string& file) {
  const char* const chosen = std::getenv("KUBIYA_VECTORS_DIR");
  return (chosen != nullptr ? std::string(chosen) : KUBIYA_SOURCE_DIR "/../shared/vectors") + "/" +
         file;
}

// Nothing when there is no such file. A file that is there must be readable.
inline std::optional<json::value> load_vectors(const std::string& file) {
  std::ifstream in(vector_path(file), std::ios::binary);
  if (!in) return std::nullopt;
  std::ostringstream text;
  text << in.rdbuf();
  JsonLimits limits;
  limits.nodes = 1'000'000;
  auto value = parse_json(text.str(), limits);
  EXPECT_TRUE(value) << file << ": " << value.error().message << " " << value.error().detail;
  if (!value) return std::nullopt;
  return std::move(*value);
}

inline std::string text_of(const json::object& object, std::string_view name) {
  return std::string(find_string(object, name).value_or(""));
}

}  // namespace kubiya::crypto::test

// Declares `name` as the parsed file, or skips the test and says what is missing.
#define LOAD_VECTORS_OR_SKIP(name, file)                                                \
  const auto name##_file = ::kubiya::crypto::test::load_vectors(file);                  \
  if (!name##_file) GTEST_SKIP() << "no " << ::kubiya::crypto::test::vector_path(file); \
  const ::kubiya::json::object& name = name##_file->as_object()
