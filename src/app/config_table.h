// SPDX-License-Identifier: Apache-2.0
//
// The table of configuration keys: the one list from which the file, the environment,
// the flags, `config print` and docs/configuration.md are read and written.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"

namespace kubiya::app {

// The configuration while it is being put together: `issuer`, once auth.server is set, or
// `issuers` become Config::issuers.
struct Draft {
  Config config;
  identity::IssuerOptions issuer;
  std::vector<identity::IssuerOptions> issuers;
};
Draft default_draft();

struct Key {
  // items: a list of maps, set and got as one JSON text; errors of `set` name the place in it.
  enum class Shape { scalar, list, toggle, secret, items };
  std::string name;  // "server.port"
  std::string type;  // for people: "duration"
  std::string description;
  std::string allowed;  // "a whole number from 0 to 65535"
  Shape shape = Shape::scalar;
  // Of shape secret: whether this spelling holds one; always, when absent.
  std::function<bool(std::string_view)> if_secret;
  std::string flag;   // "--port", or empty
  std::string alias;  // environment name besides the systematic one, or empty
  // `values` has one item unless shape is list. Errors say what is allowed.
  std::function<Result<>(Draft&, const std::vector<std::string>& values)> set;
  // Of a secret it reports "" or "********".
  std::function<std::vector<std::string>(Draft&)> get;
};

const std::vector<Key>& config_table();
const Key* find_key(std::string_view name);
// "server.limits.body" → "KUBIYA_SERVER_LIMITS_BODY".
std::string environment_name(std::string_view key);
// Whether that variable of the environment, either spelling, gives the value of a secret.
bool is_secret_variable(std::string_view variable);

// The listener's host, as configured, is of this machine alone.
bool is_loopback_host(std::string_view host);

// Merged, but not complete: fills what depends on other keys (public URL, audiences, paths)
// and refuses dangerous or contradictory combinations.
Result<Config> complete(Draft draft);
// The part of it that concerns issuers; `config` has its public URL and directories.
Result<> complete_issuers(Config& config, Draft draft);

}  // namespace kubiya::app
