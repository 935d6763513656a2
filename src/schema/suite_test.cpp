// SPDX-License-Identifier: Apache-2.0
//
// The official JSON Schema Test Suite, fetched by tests/interop/get-schema-suite.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "schema/schema.h"

namespace kubiya::schema {
namespace {

namespace fs = std::filesystem;

struct Exception {
  std::string_view name;  // a prefix of "file: group: test"
  std::string_view reason;
};

// Optional cases that do not pass. Required cases have no exceptions.
constexpr std::array<Exception, 7> kExceptions = {{
    {"cross-draft.json:", "only draft 2020-12 is offered"},
    {"dependencies-compatibility.json:", "the keyword of older drafts is not part of 2020-12"},
    {"format/idn-email.json:", "stays an annotation"},
    {"format/idn-hostname.json:", "stays an annotation"},
    {"format/iri.json:", "stays an annotation"},
    {"format/iri-reference.json:", "stays an annotation"},
    {"format/uri-template.json:", "stays an annotation"},
}};

fs::path suite() {
  const char* named = std::getenv("KUBIYA_SCHEMA_SUITE");
  return named != nullptr ? fs::path(named) : fs::path(KUBIYA_SOURCE_DIR) / "build/schema-suite";
}

Result<json::value> read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  JsonLimits limits;
  limits.number_chars = 1024;
  return parse_json(text, limits);
}

std::vector<fs::path> json_files(const fs::path& root) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

CompileOptions options_with_remotes() {
  CompileOptions options;
  const fs::path root = suite() / "remotes";
  for (const auto& path : json_files(root)) {
    auto document = read(path);
    if (!document) continue;  // remotes of other drafts may hold what our reader refuses
    options.documents.emplace_back("http://localhost:1234/" + fs::relative(path, root).string(),
                                   std::move(*document));
  }
  return options;
}

struct Tally {
  int passed = 0;
  std::array<int, kExceptions.size()> excepted{};
  std::vector<std::string> failures;

  bool except(const std::string& name) {
    for (std::size_t i = 0; i < kExceptions.size(); ++i) {
      if (name.starts_with(kExceptions[i].name)) return ++excepted[i] > 0;
    }
    return false;
  }
};

void run_group(const json::object& group, const std::string& name, const CompileOptions& options,
               Tally& tally) {
  const auto schema = Schema::compile(*find(group, "schema"), options);
  for (const auto& entry : *find_array(group, "tests")) {
    const auto& test = entry.get_object();
    const std::string title = fmt::format("{}: {}", name, *find_string(test, "description"));
    const bool passed = schema && schema->accepts(*find(test, "data")) == *find_bool(test, "valid");
    if (passed) {
      ++tally.passed;
    } else if (!tally.except(title)) {
      tally.failures.push_back(title + (schema ? "" : " (" + schema.error().message + ")"));
    }
  }
}

void run_file(const fs::path& path, const std::string& name, const CompileOptions& options,
              Tally& tally) {
  const auto groups = read(path);
  if (!groups) {
    tally.failures.push_back(name + ": unreadable: " + groups.error().message);
    return;
  }
  for (const auto& group : groups->get_array()) {
    const auto& object = group.get_object();
    run_group(object, fmt::format("{}: {}", name, *find_string(object, "description")), options,
              tally);
  }
}

class Suite : public ::testing::Test {
 protected:
  void SetUp() override {
    if (fs::exists(tests_)) return;
    const auto text = fmt::format(
        "the JSON Schema Test Suite is not at {}; run tests/interop/get-schema-suite {}",
        suite().string(), suite().string());
    if (std::getenv("CI") != nullptr) FAIL() << text;
    GTEST_SKIP() << text;
  }
  void report(const Tally& tally, int at_least) {
    for (const auto& failure : tally.failures) ADD_FAILURE() << failure;
    EXPECT_GE(tally.passed, at_least) << "the suite is not whole";
    RecordProperty("passed", tally.passed);
  }
  const fs::path tests_ = suite() / "tests/draft2020-12";
};

TEST_F(Suite, PassesEveryRequiredCase) {
  const auto options = options_with_remotes();
  Tally tally;
  for (const auto& path : json_files(tests_)) {
    const auto name = fs::relative(path, tests_).string();
    if (!name.starts_with("optional/")) run_file(path, name, options, tally);
  }
  report(tally, 1257);
}

TEST_F(Suite, PassesTheOptionalCasesThatAreOffered) {
  auto options = options_with_remotes();
  const fs::path root = tests_ / "optional";
  Tally tally;
  for (const auto& path : json_files(root)) {
    const auto name = fs::relative(path, root).string();
    options.assert_format = name.starts_with("format/");
    run_file(path, name, options, tally);
  }
  report(tally, 591);
  for (std::size_t i = 0; i < kExceptions.size(); ++i) {
    EXPECT_GT(tally.excepted[i], 0) << kExceptions[i].name << " needs no exception any more";
  }
}

}  // namespace
}  // namespace kubiya::schema
