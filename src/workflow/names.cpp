// SPDX-License-Identifier: Apache-2.0
#include "workflow/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "base/encoding.h"
#include "workflow/definition.h"
#include "workflow/expand.h"

namespace kubiya::workflow {
namespace {

constexpr std::size_t kLongestName = 40;
constexpr std::size_t kLongestVariable = 128;

// `env` is not among them: the documented call passes {"env": "production"}.
constexpr std::array<std::string_view, 6> kReservedParams = {"ctx",       "context", "workflow",
                                                             "execution", "runner",  "secrets"};

// What an author may still set for their own programs, though no caller may.
constexpr std::array<std::string_view, 9> kAuthorsOwn = {
    "PATH",   "PYTHONPATH", "NODE_PATH", "NODE_OPTIONS",   "JAVA_TOOL_OPTIONS",
    "EDITOR", "PAGER",      "SHELL",     "GIT_SSH_COMMAND"};

constexpr std::array<std::string_view, 7> kReservedIds = {"env",    "params", "args",   "stdout",
                                                          "stderr", "output", "outputs"};

constexpr std::array<std::string_view, 4> kHandlers = {"onSuccess", "onFailure", "onCancel",
                                                       "onExit"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t characters(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// What the engine tells a step about its caller; nobody else may say it.
bool is_engine_name(std::string_view name) {
  return name.starts_with("KUBIYA_") || name.starts_with("DAG_RUN_") || name == "DAG_NAME";
}

// Levenshtein, without regard to case and underscores.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::string folded(std::string_view name) {
  std::string folded = lower(name);
  std::erase_if(folded, [](char c) { return c == '_' || c == '-'; });
  return folded;
}

}  // namespace

bool is_workflow_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
  });
}

bool is_handler_name(std::string_view name) { return contains(kHandlers, name); }

std::optional<std::string> environment_name_fault(std::string_view name, NameUse use) {
  if (name.size() > kLongestVariable) {
    return fmt::format("a name longer than {} characters", kLongestVariable);
  }
  const std::string shown = printable(name);
  if (!is_env_name(name)) {
    return fmt::format("\"{}\" is not a variable name ([A-Za-z_][A-Za-z0-9_]*)", shown);
  }
  if (is_engine_name(name)) {
    return fmt::format("{} is set by the engine and cannot be set here", shown);
  }
  const bool own = use == NameUse::definition_env && contains(kAuthorsOwn, name);
  if (is_dangerous_env_name(name) && !own) {
    return fmt::format("{} changes how programs are loaded or started and cannot be set here",
                       shown);
  }
  if (use == NameUse::param && contains(kReservedParams, name)) {
    return fmt::format("{} is a reserved name", shown);
  }
  return std::nullopt;
}

std::optional<std::string> step_name_fault(std::string_view name) {
  if (name.empty()) return "a step needs a name";
  if (characters(name) > kLongestName) {
    return fmt::format("longer than {} characters", kLongestName);
  }
  if (printable(name, 4 * kLongestName) != name || name.find('/') != std::string_view::npos ||
      name == "." || name == "..") {
    return "a step name has no slash and no control characters";
  }
  return std::nullopt;
}

std::optional<std::string> step_id_fault(std::string_view id) {
  const bool pattern =
      !id.empty() && is_letter(id[0]) && std::all_of(id.begin(), id.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '_' || c == '-';
      });
  if (!pattern) return "must match [A-Za-z][A-Za-z0-9_-]*";
  if (id.size() > kLongestName) return fmt::format("longer than {} characters", kLongestName);
  if (contains(kReservedIds, id)) return fmt::format("{} is a reserved name", id);
  return std::nullopt;
}

std::optional<std::string_view> nearest(std::string_view name,
                                        std::span<const std::string_view> known) {
  if (name.size() > kLongestName) return std::nullopt;
  const std::string wanted = folded(name);
  std::optional<std::string_view> best;
  std::size_t best_distance = wanted.size() / 3 + 1;
  for (const auto candidate : known) {
    const std::size_t d = distance(wanted, folded(candidate));
    if (d < best_distance || (d == best_distance && !best)) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace kubiya::workflow
