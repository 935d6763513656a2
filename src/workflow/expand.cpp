// SPDX-License-Identifier: Apache-2.0
#include "workflow/expand.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "workflow/references.h"

namespace kubiya::workflow {
namespace {

constexpr std::string_view kDangerousNames[] = {
    // Where programs and libraries come from.
    "PATH", "GCONV_PATH", "LOCPATH", "GLIBC_TUNABLES", "MALLOC_TRACE", "NLSPATH", "HOSTALIASES",
    // What shells run or obey before the first command.
    "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "CDPATH",
    // What interpreters and common tools load or run.
    "PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT",
    "NODE_OPTIONS", "NODE_PATH", "JAVA_TOOL_OPTIONS", "EDITOR", "PAGER", "SHELL", "GIT_SSH",
    "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EDITOR", "GIT_PAGER", "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_TEMPLATE_DIR"};

constexpr std::string_view kDangerousPrefixes[] = {"LD_", "DYLD_", "BASH_FUNC_", "GIT_CONFIG"};

std::optional<std::size_t> read_index(std::string_view digits) {
  std::size_t index = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (status != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return index;
}

// Takes the next step off `path`, for example "a" off "a[0].b", and follows it.
const json::value* follow(const json::value& value, std::string_view& path) {
  if (path.starts_with('[')) {
    const std::size_t close = path.find(']');
    if (close == std::string_view::npos) return nullptr;
    const auto index = read_index(path.substr(1, close - 1));
    path.remove_prefix(close + 1);
    const json::array* array = value.if_array();
    return array != nullptr && index && *index < array->size() ? &(*array)[*index] : nullptr;
  }
  const std::size_t end = std::min(path.find_first_of(".["), path.size());
  const std::string_view key = path.substr(0, end);
  path.remove_prefix(end);
  const json::object* object = value.if_object();
  return object == nullptr || key.empty() ? nullptr : object->if_contains(key);
}

// The value a reference stands for. No environment can hold a NUL.
std::optional<std::string> resolve(const Reference& reference, const Lookup& lookup) {
  std::optional<std::string> value = lookup(reference.name);
  if (value && !reference.path.empty()) value = json_path(*value, reference.path);
  if (value && value->find('\0') != std::string::npos) return std::nullopt;
  return value;
}

tl::unexpected<Error> too_long() {
  return fail(Code::too_large,
              fmt::format("longer than {} bytes with its references filled in", kLongestValue));
}

tl::unexpected<Error> too_many_paths() {
  return fail(Code::too_large, fmt::format("more than {} references with a path", kMostPaths));
}

}  // namespace

Result<std::string> expand(std::string_view text, const Lookup& lookup) {
  std::string out;
  std::size_t paths = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (out.size() > kLongestValue) return too_long();
    if (text.substr(at).starts_with("$$")) {
      out += '$';
      at += 2;
      continue;
    }
    if (const auto reference = reference_at(text, at)) {
      if (!reference->path.empty() && ++paths > kMostPaths) return too_many_paths();
      const auto value = resolve(*reference, lookup);
      out += value ? std::string_view(*value) : text.substr(at, reference->size);
      at += reference->size;
      continue;
    }
    out += text[at++];
  }
  if (out.size() > kLongestValue) return too_long();
  return out;
}

std::vector<std::string_view> referenced_names(std::string_view text) {
  std::vector<std::string_view> names;
  for (std::size_t at = 0; at < text.size();) {
    if (const auto reference = reference_at(text, at)) {
      names.push_back(reference->name);
      at += reference->size;
    } else {
      at += text.substr(at).starts_with("$$") ? 2 : 1;
    }
  }
  return names;
}

Result<ShellText> prepare_shell(std::string_view text, const Lookup& lookup, std::size_t taken) {
  ShellText shell;
  std::size_t bytes = 0, searches = 0;
  std::vector<std::pair<std::string, std::string>> generated;  // reference, variable
  for (const ShellPiece& piece : shell_pieces(text)) {
    const auto& reference = piece.reference;
    const bool shell_finds_it =
        reference && reference->path.empty() && is_env_name(reference->name);
    if (!reference || shell_finds_it) {
      shell.text += piece.text;
      continue;
    }
    const std::string key = fmt::format("{}.{}", reference->name, reference->path);
    auto known = std::find_if(generated.begin(), generated.end(),
                              [&](const auto& pair) { return pair.first == key; });
    if (known == generated.end()) {
      if (taken + searches++ == kMostPaths) return too_many_paths();
      auto value = resolve(*reference, lookup);
      if (!value) {
        shell.text += piece.text;
        continue;
      }
      bytes += value->size();
      if (bytes > kLongestValue) return too_long();
      const std::string variable = fmt::format("KUBIYA_REF_{}", taken + generated.size() + 1);
      shell.variables.emplace_back(variable, std::move(*value));
      known = generated.insert(generated.end(), {key, variable});
    }
    shell.text += fmt::format("${{{}}}", known->second);
  }
  return shell;
}

std::optional<std::string> json_path(std::string_view json_text, std::string_view path) {
  const auto document = parse_json(json_text);
  if (!document || path.empty()) return std::nullopt;
  const json::value* value = &*document;
  while (!path.empty()) {
    value = follow(*value, path);
    if (value == nullptr) return std::nullopt;
    if (path.starts_with('.')) {
      path.remove_prefix(1);
      if (path.empty()) return std::nullopt;
    } else if (!path.empty() && path[0] != '[') {
      return std::nullopt;
    }
  }
  if (value->is_string()) return std::string(view(value->get_string()));
  return to_json(*value);
}

bool is_env_name(std::string_view name) {
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
         std::all_of(name.begin(), name.end(), is_name_char);
}

bool is_position(std::string_view name) {
  return !name.empty() && name[0] != '0' &&
         name.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_dangerous_env_name(std::string_view name) {
  return std::ranges::find(kDangerousNames, name) != std::end(kDangerousNames) ||
         std::ranges::any_of(kDangerousPrefixes,
                             [&](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace kubiya::workflow
