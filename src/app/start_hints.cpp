// SPDX-License-Identifier: Apache-2.0
#include "app/start_hints.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/config_table.h"

namespace kubiya::app {

std::string reach_hint(const Config& config) {
  const auto& hosts = config.server.guard.hosts;
  if (is_loopback_host(config.server.host) ||
      !std::all_of(hosts.begin(), hosts.end(), is_loopback_host)) {
    return {};
  }
  return fmt::format(
      "{} can be reached from elsewhere, but a request whose Host is another than {} is refused: "
      "set public_url (--public-url) to the address that clients use, or name it in server.hosts",
      config.server.host, fmt::join(hosts, ", "));
}

std::vector<std::string> start_hints(const Config& config, std::size_t keys,
                                     std::optional<identity::Reason> shared_key) {
  std::vector<std::string> hints;
  if (config.issuers.empty() && keys == 0) {
    hints.push_back(
        fmt::format("no API key exists yet; make one with: kubiya-mcp key create --user NAME "
                    "--scopes read execute --data-dir {}",
                    config.data_dir));
  }
  if (shared_key) {
    hints.push_back(
        fmt::format("identity.shared_key (KUBIYA_API_KEY) is refused here ({}): callers without a "
                    "key of their own get 401",
                    identity::to_string(*shared_key)));
  }
  if (std::string hint = reach_hint(config); !hint.empty()) hints.push_back(std::move(hint));
  return hints;
}

}  // namespace kubiya::app
