// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <unistd.h>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/config_table.h"

namespace kubiya::app::cli {

std::vector<std::pair<std::string, std::string>> take_environment() {
  std::vector<std::pair<std::string, std::string>> found;
  std::vector<std::string> secrets;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (!text.starts_with("KUBIYA_") || equals == text.npos) continue;
    found.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    if (!is_secret_variable(found.back().first)) continue;
    // In place: the kernel shows these bytes in /proc/PID/environ for as long as we live.
    ::explicit_bzero(*entry + equals + 1, text.size() - equals - 1);
    secrets.push_back(found.back().first);
  }
  for (const std::string& name : secrets) ::unsetenv(name.c_str());
  return found;
}

Result<Config> load(const Installation& where) {
  Sources sources;
  if (!where.config.empty()) sources.file = where.config;
  sources.environment = take_environment();
  sources.flags = where.flags;
  if (!where.data_dir.empty()) sources.flags.emplace_back("data_dir", where.data_dir);
  return load_config(sources);
}

std::string without_keys(std::string_view text) {
  constexpr std::size_t kLong = 16;
  const auto part_of_one = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  std::string out;
  while (!text.empty()) {
    const auto end = std::find_if_not(text.begin(), text.end(), part_of_one);
    const auto size = static_cast<std::size_t>(end - text.begin());
    const std::string_view word = text.substr(0, size);
    const bool key = size >= kLong && (word.starts_with("kb-") || word.starts_with("eyJ"));
    out.append(key ? word.substr(0, 3) : word).append(key ? "…" : "");
    if (size < text.size()) out += text[size];
    text.remove_prefix(std::min(size + 1, text.size()));
  }
  return out;
}

int complain(const Error& error) {
  const std::string said =
      fmt::format("{}{}{}", error.message, error.detail.empty() ? "" : " — ", error.detail);
  fmt::print(stderr, "kubiya-mcp: {}\n", without_keys(said));
  return error.code == Code::invalid ? kUsage : kFailed;
}

}  // namespace kubiya::app::cli
