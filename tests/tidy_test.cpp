// SPDX-License-Identifier: Apache-2.0
//
// The rules of the house, read off the source tree. Each rule is a function from a
// file to sentences, so that it can be shown to find what it looks for.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kubiya::tidy {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Sentences = std::vector<std::string>;

struct File {
  std::string path;  // from the root of the tree, "src/base/json.h"
  std::string text;

  bool is_header() const { return path.ends_with(".h"); }
  bool is_in(std::string_view folder) const { return path.starts_with(folder); }
  bool is_test() const {
    return is_in("tests/") || path.ends_with("_test.cpp") || is_test_support(path);
  }
  // A header beside the code that only tests may include.
  static bool is_test_support(std::string_view path) {
    const auto name = path.substr(path.rfind('/') + 1);
    return name.starts_with("test_") || name.ends_with("_fixture.h") || name == "testing.h";
  }
};

struct Line {
  std::size_t number;
  std::string_view text;
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    lines.push_back({lines.size() + 1, text.substr(0, end)});
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

std::string at(const File& file, const Line& line, std::string_view sentence) {
  return fmt::format("{}:{}: {}", file.path, line.number, sentence);
}

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// `word` in `text` with no word character on either side.
bool has_word(std::string_view text, std::string_view word) {
  for (auto i = text.find(word); i != std::string_view::npos; i = text.find(word, i + 1)) {
    const bool starts = i == 0 || !is_word_char(text[i - 1]);
    const auto end = i + word.size();
    if (starts && (end == text.size() || !is_word_char(text[end]))) return true;
  }
  return false;
}

// Where the literal or comment that starts at `i` ends; `i` when none starts there.
std::size_t end_of_non_code(std::string_view text, std::size_t i) {
  const auto after = [&](std::size_t found, std::size_t width) {
    return found == std::string_view::npos ? text.size() : found + width;
  };
  const auto rest = text.substr(i);
  if (rest.starts_with("//")) return after(text.find('\n', i), 0);
  if (rest.starts_with("/*")) return after(text.find("*/", i + 2), 2);
  if (rest.starts_with("R\"") && (i == 0 || !is_word_char(text[i - 1]))) {
    const auto open = text.find('(', i);
    if (open == std::string_view::npos) return text.size();
    const auto close = fmt::format("){}\"", text.substr(i + 2, open - i - 2));
    return after(text.find(close, open), close.size());
  }
  const char quote = text[i];
  const bool separator = quote == '\'' && i > 0 && is_word_char(text[i - 1]);
  if ((quote != '"' && quote != '\'') || separator) return i;
  for (std::size_t j = i + 1; j < text.size(); ++j) {
    if (text[j] == '\\') {
      ++j;
    } else if (text[j] == quote || text[j] == '\n') {
      return j + 1;
    }
  }
  return text.size();
}

// The text with comments and literals blanked, its lines where they were.
std::string code_of(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = end_of_non_code(text, i);
    for (std::size_t j = i; j < end; ++j) {
      if (out[j] != '\n') out[j] = ' ';
    }
    i = std::max(end, i + 1);
  }
  return out;
}

struct Include {
  Line line;
  std::string target;
  bool quoted;
};

std::vector<Include> includes_of(const File& file) {
  std::vector<Include> out;
  for (const Line& line : lines_of(file.text)) {
    auto text = line.text;
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    if (!text.starts_with("#include")) continue;
    const auto open = text.find_first_of("\"<");
    if (open == std::string_view::npos) continue;
    const auto close = text.find_first_of("\">", open + 1);
    if (close == std::string_view::npos) continue;
    out.push_back({line, std::string(text.substr(open + 1, close - open - 1)), text[open] == '"'});
  }
  return out;
}

struct Module {
  std::set<std::string> depends;
  std::set<std::string> test_depends;
};
using Modules = std::map<std::string, Module>;

// The module() calls of src/CMakeLists.txt.
Modules read_modules(std::string_view cmake) {
  Modules modules;
  for (auto i = cmake.find("\nmodule("); i != std::string_view::npos;
       i = cmake.find("\nmodule(", i + 1)) {
    const auto open = i + std::string_view("\nmodule(").size();
    std::string words(cmake.substr(open, cmake.find(')', open) - open));
    std::replace_if(words.begin(), words.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
    std::string section;
    Module* module = nullptr;
    std::size_t from = 0;
    while ((from = words.find_first_not_of(' ', from)) != std::string::npos) {
      const auto word = words.substr(from, words.find(' ', from) - from);
      from += word.size();
      if (module == nullptr) {
        module = &modules[word];
      } else if (word == "DEPENDS" || word == "LINKS" || word == "TEST_DEPENDS") {
        section = word;
      } else if (section == "DEPENDS") {
        module->depends.insert(word);
      } else if (section == "TEST_DEPENDS") {
        module->test_depends.insert(word);
      }
    }
  }
  return modules;
}

Sentences check_layers(const File& file, const Modules& modules) {
  Sentences out;
  if (!file.is_in("src/")) return out;
  const auto name = file.path.substr(4, file.path.find('/', 4) - 4);
  const auto self = modules.find(name);
  if (self == modules.end()) return {file.path + ": lies in no module of src/CMakeLists.txt"};
  for (const Include& include : includes_of(file)) {
    const auto target = include.target.substr(0, include.target.find('/'));
    if (!file.is_test() && include.quoted && File::is_test_support(include.target)) {
      out.push_back(at(file, include.line, "only tests may include what supports tests"));
    }
    if (!include.quoted || target == name || self->second.depends.contains(target)) continue;
    if (file.is_test() && (self->second.test_depends.contains(target) || target == "support")) {
      continue;
    }
    out.push_back(at(file, include.line,
                     fmt::format("{} must not include \"{}\"; it depends on {} only", name,
                                 include.target, fmt::join(self->second.depends, ", "))));
  }
  return out;
}

Sentences check_include_paths(const File& file) {
  Sentences out;
  for (const Include& include : includes_of(file)) {
    if (include.target.find("..") != std::string::npos) {
      out.push_back(at(file, include.line, "an include must not climb with \"..\""));
    }
    if (file.is_in("src/") && include.quoted && include.target.find('/') == std::string::npos) {
      out.push_back(at(file, include.line, "an include of ours is spelled \"module/file.h\""));
    }
  }
  return out;
}

struct Library {
  std::string_view header;  // a prefix of the included path
  std::vector<std::string_view> homes;
  bool open_to_tests;
};

// The first row that fits an include decides.
const std::array<Library, 11> kLibraries = {{
    {"boost/asio", {"src/http/"}, false},
    {"boost/beast", {"src/http/"}, false},
    {"curl/", {"src/http/"}, false},
    {"openssl/ssl.h", {"src/crypto/", "src/http/"}, true},
    {"openssl/err.h", {"src/crypto/", "src/http/"}, true},
    {"openssl/x509", {"src/crypto/", "src/http/"}, true},
    {"openssl/pem.h", {"src/crypto/", "src/http/", "bench/raw_openssl.cpp"}, true},
    // The TLS tests make certificates of their own; the benchmark measures OpenSSL alone.
    {"openssl/evp.h",
     {"src/crypto/", "src/http/server_tls_test.cpp", "bench/raw_openssl.cpp"},
     false},
    {"openssl/", {"src/crypto/"}, false},
    {"sqlite3.h", {"src/store/"}, false},
    {"identity/minter.h", {"src/identity/judge.", "src/identity/minter.", "src/app/"}, true},
}};

Sentences check_libraries(const File& file) {
  Sentences out;
  for (const Include& include : includes_of(file)) {
    const auto row = std::find_if(kLibraries.begin(), kLibraries.end(), [&](const Library& l) {
      return include.target.starts_with(l.header);
    });
    if (row == kLibraries.end() || (row->open_to_tests && file.is_test())) continue;
    const bool at_home = std::any_of(row->homes.begin(), row->homes.end(),
                                     [&](std::string_view home) { return file.is_in(home); });
    if (at_home) continue;
    out.push_back(at(
        file, include.line,
        fmt::format("{} may be included only in {}", include.target, fmt::join(row->homes, ", "))));
  }
  return out;
}

Sentences check_language(const File& file) {
  Sentences out;
  const std::string code = code_of(file.text);
  for (const Line& line : lines_of(code)) {
    const auto forbid = [&](bool found, std::string_view sentence) {
      if (found) out.push_back(at(file, line, sentence));
    };
    forbid(has_word(line.text, "std::regex"),
           "std::regex overflows the stack; use PCRE2 with limits");
    forbid(line.text.find(".detach()") != std::string_view::npos,
           "a thread is joined, never detached");
    forbid(has_word(line.text, "co_await") || has_word(line.text, "co_return") ||
               has_word(line.text, "co_yield"),
           "g++ 12 miscompiles coroutines");
    forbid(file.is_header() && has_word(line.text, "using namespace"),
           "a header opens no namespace for its readers");
  }
  return out;
}

Sentences check_marks(const File& file) {
  // Spelled in two halves, so that this file passes its own rule.
  static const std::array<std::string, 4> kMarks = {
      "TO"
      "DO",
      "FIX"
      "ME",
      "XX"
      "X",
      "HA"
      "CK"};
  Sentences out;
  for (const Line& line : lines_of(file.text)) {
    for (const auto& mark : kMarks) {
      if (has_word(line.text, mark))
        out.push_back(at(file, line, "unfinished work is marked here"));
    }
  }
  return out;
}

Sentences check_opening(const File& file) {
  const auto lines = lines_of(file.text);
  Sentences out;
  if (lines.empty() || lines[0].text != "// SPDX-License-Identifier: Apache-2.0") {
    out.push_back(file.path + ": the first line must be the SPDX line");
  }
  if (!file.is_header()) return out;
  const auto first = std::find_if(lines.begin(), lines.end(), [](const Line& line) {
    return !line.text.empty() && !line.text.starts_with("//");
  });
  if (first == lines.end() || first->text != "#pragma once") {
    out.push_back(file.path + ": a header's first code must be #pragma once");
  }
  return out;
}

// Files allowed to be longer than the rule, with the length they may not pass. The
// list only shrinks.
const std::map<std::string, std::size_t> kLongFiles = {};

std::size_t allowed_lines(const File& file) {
  if (const auto known = kLongFiles.find(file.path); known != kLongFiles.end())
    return known->second;
  if (file.is_test()) return 900;
  return file.is_header() ? 300 : 600;
}

Sentences check_length(const File& file) {
  const auto length = lines_of(file.text).size();
  const auto allowed = allowed_lines(file);
  if (length <= allowed) return {};
  return {fmt::format("{}: has {} lines, {} are allowed; find the missing idea and split",
                      file.path, length, allowed)};
}

// Markdown link targets outside code fences.
std::vector<std::pair<Line, std::string>> links_of(const File& file) {
  std::vector<std::pair<Line, std::string>> out;
  bool fenced = false;
  for (const Line& line : lines_of(file.text)) {
    if (line.text.starts_with("```")) fenced = !fenced;
    if (fenced) continue;
    for (auto i = line.text.find("]("); i != std::string_view::npos;
         i = line.text.find("](", i + 1)) {
      const auto close = line.text.find(')', i);
      if (close == std::string_view::npos) break;
      const auto target = line.text.substr(i + 2, close - i - 2);
      out.emplace_back(line, target.substr(0, target.find_first_of("# ")));
    }
  }
  return out;
}

Sentences check_links(const File& file, const fs::path& root) {
  Sentences out;
  for (const auto& [line, target] : links_of(file)) {
    const bool relative = !target.empty() && target.find(':') == std::string::npos;
    if (!relative || fs::exists((root / file.path).parent_path() / target)) continue;
    out.push_back(at(file, line, fmt::format("the link to {} leads nowhere", target)));
  }
  return out;
}

const fs::path kRoot = KUBIYA_SOURCE_DIR;

File read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {fs::relative(path, kRoot).generic_string(), {std::istreambuf_iterator<char>(in), {}}};
}

std::vector<File> files(std::initializer_list<const char*> folders,
                        std::initializer_list<const char*> extensions) {
  std::vector<File> out;
  for (const char* folder : folders) {
    if (!fs::exists(kRoot / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      const auto path = entry.path();
      const bool wanted = std::any_of(extensions.begin(), extensions.end(),
                                      [&](const char* e) { return path.extension() == e; });
      const bool vendored = path.generic_string().find("/node_modules/") != std::string::npos;
      if (entry.is_regular_file() && wanted && !vendored) out.push_back(read(path));
    }
  }
  std::sort(out.begin(), out.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return out;
}

const std::vector<File>& sources() {
  static const auto all = files({"src", "include", "tests", "bench"}, {".h", ".cpp"});
  return all;
}

template <class Rule>
void expect_everywhere(Rule rule) {
  ASSERT_GT(sources().size(), 50u) << "the source tree was not found";
  for (const File& file : sources()) {
    for (const auto& sentence : rule(file)) ADD_FAILURE() << sentence;
  }
}

TEST(Tree, IncludesOnlyDownwards) {
  const auto modules = read_modules(read(kRoot / "src/CMakeLists.txt").text);
  ASSERT_GE(modules.size(), 13u);
  expect_everywhere([&](const File& file) { return check_layers(file, modules); });
}

TEST(Tree, SpellsIncludesInOneWay) { expect_everywhere(check_include_paths); }
TEST(Tree, KeepsEachLibraryInItsFolder) { expect_everywhere(check_libraries); }
TEST(Tree, AvoidsWhatTheCompilerOrTheLibraryGetsWrong) { expect_everywhere(check_language); }
TEST(Tree, HoldsNoUnfinishedWork) { expect_everywhere(check_marks); }
TEST(Tree, OpensEveryFileAlike) { expect_everywhere(check_opening); }
TEST(Tree, KeepsFilesShort) { expect_everywhere(check_length); }

TEST(Tree, ExceptsOnlyFilesThatNeedIt) {
  for (const auto& [path, allowed] : kLongFiles) {
    const File file = read(kRoot / path);
    EXPECT_EQ(lines_of(file.text).size(), allowed) << path << ": lower the number to the length";
  }
}

TEST(Tree, LinksOnlyToWhatExists) {
  auto documents = files({"docs"}, {".md"});
  if (fs::exists(kRoot / "README.md")) documents.push_back(read(kRoot / "README.md"));
  ASSERT_FALSE(documents.empty());
  for (const File& file : documents) {
    for (const auto& sentence : check_links(file, kRoot)) ADD_FAILURE() << sentence;
  }
}

const Modules kSample = read_modules(
    "\nmodule(base)\nmodule(store DEPENDS base)\n"
    "module(audit DEPENDS base\n  LINKS x TEST_DEPENDS store)\n");

TEST(Rules, ReadTheModules) {
  EXPECT_THAT(kSample.at("audit").depends, ElementsAre("base"));
  EXPECT_THAT(kSample.at("audit").test_depends, ElementsAre("store"));
}

TEST(Rules, FindAnIncludeThatGoesUpwards) {
  EXPECT_THAT(check_layers({"src/base/a.cpp", "#include \"store/b.h\"\n"}, kSample),
              ElementsAre(HasSubstr("base must not include \"store/b.h\"")));
  EXPECT_THAT(check_layers({"src/audit/a_test.cpp", "#include \"store/b.h\"\n"}, kSample),
              IsEmpty());
  EXPECT_THAT(check_layers({"src/audit/a.cpp", "#include \"store/b.h\"\n"}, kSample),
              ElementsAre(HasSubstr("src/audit/a.cpp:1")));
  EXPECT_THAT(check_layers({"src/audit/a.cpp", "#include \"audit/testing.h\"\n"}, kSample),
              ElementsAre(HasSubstr("only tests")));
  EXPECT_THAT(check_layers({"src/new/a.cpp", ""}, kSample), ElementsAre(HasSubstr("no module")));
}

TEST(Rules, FindIncludesOfTheWrongForm) {
  EXPECT_EQ(check_include_paths({"src/base/a.cpp", "#include \"../b/c.h\"\n"}).size(), 1u);
  EXPECT_EQ(check_include_paths({"src/base/a.cpp", "# \n#include \"c.h\"\n"}).size(), 1u);
}

TEST(Rules, FindLibrariesAwayFromHome) {
  const auto count = [](const char* path, const char* header) {
    return check_libraries({path, fmt::format("#include <{}>\n", header)}).size();
  };
  EXPECT_EQ(count("src/mcp/a.cpp", "boost/asio/post.hpp"), 1u);
  EXPECT_EQ(count("src/http/a.cpp", "boost/asio/post.hpp"), 0u);
  EXPECT_EQ(count("src/http/a.cpp", "openssl/evp.h"), 1u);
  EXPECT_EQ(count("src/http/a.cpp", "openssl/ssl.h"), 0u);
  EXPECT_EQ(count("tests/system/a.cpp", "openssl/x509v3.h"), 0u);
  EXPECT_EQ(count("tests/system/a.cpp", "openssl/evp.h"), 1u);
  EXPECT_EQ(count("src/engine/a.cpp", "sqlite3.h"), 1u);
  EXPECT_EQ(count("src/mcp/a.cpp", "identity/minter.h"), 1u);
  EXPECT_EQ(count("src/mcp/a_test.cpp", "identity/minter.h"), 0u);
  EXPECT_EQ(count("src/identity/judge.cpp", "identity/minter.h"), 0u);
  EXPECT_EQ(count("src/identity/authenticator.cpp", "identity/minter.h"), 1u);
  EXPECT_EQ(count("src/identity/jwt.cpp", "identity/minter.h"), 1u);
}

TEST(Rules, FindForbiddenLanguageInCodeOnly) {
  const auto count = [](const char* path, const char* text) {
    return check_language({path, text}).size();
  };
  EXPECT_EQ(count("src/a/a.cpp", "std::regex r;"), 1u);
  EXPECT_EQ(count("src/a/a.cpp", "std::thread(f).detach();"), 1u);
  EXPECT_EQ(count("src/a/a.cpp", "co_await x;"), 1u);
  EXPECT_EQ(count("src/a/a.h", "using namespace std;"), 1u);
  EXPECT_EQ(count("src/a/a.cpp", "// std::regex\n/* co_await */ \"std::regex\" R\"(co_await)\""),
            0u);
  EXPECT_EQ(count("src/a/a.cpp", "char c = '\"'; int i = 1'000; co_await x; // \""), 1u);
}

TEST(Rules, FindUnfinishedWork) {
  EXPECT_EQ(check_marks({"src/a/a.cpp",
                         "// TO"
                         "DO: later\n"})
                .size(),
            1u);
  EXPECT_EQ(check_marks({"src/a/a.cpp", "mkdtemp(\"/tmp/x-XXXXXX\")\n"}).size(), 0u);
}

TEST(Rules, FindFilesThatOpenDifferently) {
  EXPECT_EQ(check_opening({"src/a/a.h", "int x;\n"}).size(), 2u);
  EXPECT_EQ(check_opening({"src/a/a.h", "// SPDX-License-Identifier: Apache-2.0\n\n#pragma once\n"})
                .size(),
            0u);
  EXPECT_EQ(
      check_opening({"src/a/a.h", "// SPDX-License-Identifier: Apache-2.0\nint x;\n#pragma once\n"})
          .size(),
      1u);
}

TEST(Rules, FindLongFiles) {
  const auto count = [](const char* path, std::size_t lines) {
    return check_length({path, std::string(lines, '\n')}).size();
  };
  EXPECT_EQ(count("src/a/a.h", 300), 0u);
  EXPECT_EQ(count("src/a/a.h", 301), 1u);
  EXPECT_EQ(count("src/a/a.cpp", 601), 1u);
  EXPECT_EQ(count("src/a/a_test.cpp", 900), 0u);
  EXPECT_EQ(count("src/a/a_test.cpp", 901), 1u);
}

TEST(Rules, FindDeadLinks) {
  EXPECT_EQ(check_links({"docs/a.md", "[x](no-such-file.md#part)\n"}, kRoot).size(), 1u);
  EXPECT_EQ(
      check_links({"docs/a.md", "[x](https://a.example/) [y](#here) [z](../src/CMakeLists.txt)\n"},
                  kRoot)
          .size(),
      0u);
  EXPECT_EQ(check_links({"docs/a.md", "```\n[x](none.md)\n```\n"}, kRoot).size(), 0u);
}

}  // namespace
}  // namespace kubiya::tidy
