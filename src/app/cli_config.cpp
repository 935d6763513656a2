// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/start_hints.h"

namespace kubiya::app::cli {

int config_check(const Installation& where) {
  const Result<Config> config = load(where);
  if (!config) {
    complain(config.error());
    return kUsage;
  }
  if (const Result<> files = check_files(*config); !files) return complain(files.error());
  fmt::print("The configuration is fine: {} mode, {}{}\n",
             config->issuers.empty() ? "API-key" : "token", config->public_url, config->mcp_path);
  if (const std::string hint = reach_hint(*config); !hint.empty()) fmt::print("{}\n", hint);
  return kDone;
}

int config_print(const Installation& where) {
  const Result<Config> config = load(where);
  if (!config) {
    complain(config.error());
    return kUsage;
  }
  fmt::print("{}", print_config(*config));
  return kDone;
}

int config_docs() {
  fmt::print("{}", configuration_page());
  return kDone;
}

}  // namespace kubiya::app::cli
