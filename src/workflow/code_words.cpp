// SPDX-License-Identifier: Apache-2.0
#include "workflow/code_words.h"

#include <algorithm>
#include <array>

namespace kubiya::workflow {
namespace {

using Words = std::span<const std::string>;

constexpr std::array<std::string_view, 9> kShells = {"sh",  "bash", "dash",  "ash", "ksh",
                                                     "zsh", "mksh", "rbash", "yash"};
// Not for scripts of ours, but their `-c` takes shell text.
constexpr std::array<std::string_view, 7> kTakesShellText = {"fish",    "csh",   "tcsh",  "su",
                                                             "runuser", "flock", "script"};

struct Interpreter {
  std::string_view name;  // a version may follow: python3.11
  std::string_view letters;
  std::array<std::string_view, 4> words;
};
constexpr std::array<Interpreter, 10> kInterpreters = {{{"python", "c", {}},
                                                        {"pypy", "c", {}},
                                                        {"perl", "eE", {}},
                                                        {"ruby", "e", {}},
                                                        {"node", "ep", {"--eval", "--print"}},
                                                        {"bun", "ep", {"--eval", "--print"}},
                                                        {"deno", "", {"eval"}},
                                                        {"php", "rBRE", {"--run"}},
                                                        {"lua", "e", {}},
                                                        {"pwsh", "c", {"-command", "-Command"}}}};

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool is_one_of(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

const Interpreter* interpreter(std::string_view program) {
  const std::string_view name = base_name(program);
  for (const Interpreter& known : kInterpreters) {
    if (!name.starts_with(known.name)) continue;
    const std::string_view version = name.substr(known.name.size());
    if (version.find_first_not_of("0123456789.-js") == version.npos) return &known;
  }
  return nullptr;
}

bool is_option(std::string_view word) {
  return word.size() > 1 && (word[0] == '-' || word[0] == '+');
}

// Behind the options, of which each `o` in a cluster takes a word ("-euo pipefail").
std::size_t shell_operand(Words argv, std::size_t at, bool& takes_text) {
  for (; at < argv.size() && is_option(argv[at]); ++at) {
    const std::string_view word = argv[at];
    if (word == "--") return at + 1;
    if (word.starts_with("--")) {
      at += word == "--rcfile" || word == "--init-file" ? 1 : 0;
      takes_text |= word == "--command";
      continue;
    }
    takes_text |= word.find('c') != word.npos;
    at += static_cast<std::size_t>(
        std::ranges::count_if(word, [](char c) { return c == 'o' || c == 'O'; }));
  }
  return at;
}

void add_shell(Words argv, std::size_t program, std::vector<CodeWord>& found) {
  bool takes_text = false;
  const std::size_t operand = shell_operand(argv, program + 1, takes_text);
  if (takes_text && operand < argv.size()) found.push_back({operand, true, argv[program]});
}

void add_flagged(Words argv, std::size_t program, std::vector<CodeWord>& found) {
  for (std::size_t at = program + 1; at + 1 < argv.size(); ++at) {
    if (argv[at] == "-c" || argv[at] == "--command") found.push_back({at + 1, true, argv[program]});
  }
}

void add_interpreter(Words argv, std::size_t program, const Interpreter& known,
                     std::vector<CodeWord>& found) {
  for (std::size_t at = program + 1; at < argv.size(); ++at) {
    const std::string_view word = argv[at];
    const bool cluster = word.size() > 1 && word[0] == '-' && word[1] != '-';
    const bool by_letter = cluster && word.find_first_of(known.letters) != word.npos;
    const std::string_view name = word.substr(0, word.find('='));
    if (!by_letter && (word.empty() || !is_one_of(known.words, name))) continue;
    found.push_back({at, false, argv[program]});  // the code may begin in the same word
    if (at + 1 < argv.size()) found.push_back({++at, false, argv[program]});
  }
}

}  // namespace

std::vector<CodeWord> code_words(Words argv) {
  std::vector<CodeWord> found;
  for (std::size_t i = 0; i < argv.size(); ++i) {
    if (is_shell(argv[i])) {
      add_shell(argv, i, found);
    } else if (is_one_of(kTakesShellText, base_name(argv[i]))) {
      add_flagged(argv, i, found);
    } else if (const Interpreter* known = interpreter(argv[i])) {
      add_interpreter(argv, i, *known, found);
    }
  }
  std::ranges::stable_sort(found, {}, &CodeWord::index);
  const auto twice = std::ranges::unique(found, {}, &CodeWord::index);
  found.erase(twice.begin(), twice.end());
  return found;
}

bool is_shell(std::string_view program) { return is_one_of(kShells, base_name(program)); }

}  // namespace kubiya::workflow
