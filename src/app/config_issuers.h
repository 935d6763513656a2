// SPDX-License-Identifier: Apache-2.0
//
// The list `issuers`: maps of the keys of `auth`, each of which describes one issuer. Private to
// the configuration.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/config_table.h"

namespace kubiya::app {

// "auth.server" is "url" in an item; of any other key of `auth` the part behind the dot.
std::string issuer_key(std::string_view table_key);

// Settings of one issuer in the order in which they must be applied: those a preset depends on,
// the preset, the rest.
struct IssuerSetting {
  const Key* key = nullptr;
  std::vector<std::string> values;
};
Result<> apply_issuer(Draft& draft, const std::vector<IssuerSetting>& settings);
// Whether the key is one that a preset depends on.
bool is_before_preset(const Key& key);

// JSON text of the list into draft.issuers; errors name the item and the key.
Result<> read_issuers(Draft& draft, std::string_view json_text);
// The list as JSON text, secrets masked.
std::string write_issuers(const Draft& draft);
// Whether an item holds a secret that is not a reference to a file.
bool issuers_hold_secret(std::string_view json_text);

}  // namespace kubiya::app
