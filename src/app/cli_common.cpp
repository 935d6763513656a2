// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string_view>

#include <unistd.h>

#include <fmt/format.h>

#include "app/cli.h"

namespace kubiya::app::cli {

std::vector<std::pair<std::string, std::string>> kubiya_environment() {
  std::vector<std::pair<std::string, std::string>> found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (!text.starts_with("KUBIYA_") || equals == text.npos) continue;
    found.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

Result<Config> load(const Installation& where) {
  Sources sources;
  if (!where.config.empty()) sources.file = where.config;
  sources.environment = kubiya_environment();
  sources.flags = where.flags;
  if (!where.data_dir.empty()) sources.flags.emplace_back("data_dir", where.data_dir);
  return load_config(sources);
}

int complain(const Error& error) {
  fmt::print(stderr, "kubiya-mcp: {}{}{}\n", error.message, error.detail.empty() ? "" : " — ",
             error.detail);
  return error.code == Code::invalid ? kUsage : kFailed;
}

}  // namespace kubiya::app::cli
