// SPDX-License-Identifier: Apache-2.0
#include "app/config_table.h"

#include <algorithm>

#include "app/config_rows.h"
#include "crypto/signature.h"

namespace kubiya::app {

const std::vector<Key>& config_table() {
  static const std::vector<Key> table = [] {
    std::vector<Key> all;
    rows::add_general(all);
    rows::add_issuers(all);
    rows::add_server(all);
    rows::add_auth(all);
    rows::add_identity(all);
    rows::add_vault(all);
    rows::add_policy(all);
    rows::add_work(all);
    return all;
  }();
  return table;
}

const Key* find_key(std::string_view name) {
  for (const Key& key : config_table()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string environment_name(std::string_view key) {
  std::string name = "KUBIYA_";
  for (const char c : key) {
    name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

bool is_secret_variable(std::string_view variable) {
  return std::any_of(config_table().begin(), config_table().end(), [&](const Key& key) {
    return key.shape == Key::Shape::secret &&
           (variable == key.alias || variable == environment_name(key.name));
  });
}

Draft default_draft() {
  Draft draft;
  using enum crypto::Algorithm;
  draft.issuer.rules.algorithms = {rs256, rs384, rs512, ps256, ps384,
                                   ps512, es256, es384, es512, eddsa};
  return draft;
}

}  // namespace kubiya::app
