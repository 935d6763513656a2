// SPDX-License-Identifier: Apache-2.0
#include "app/config_rows.h"

namespace kubiya::app::rows {

void add_vault(std::vector<Key>& t) {
  t.push_back(secret(
      "vault.key", [](D& d) -> auto& { return d.config.vault_key; },
      "What the key vault is sealed with, at least 32 characters. Empty: the credential "
      "`kubiya-vault-key`, or else the file `vault.key` in data_dir. See "
      "[key-vault.md](key-vault.md)."));
  t.push_back(secret(
      "vault.previous_key", [](D& d) -> auto& { return d.config.vault_previous_key; },
      "What it was sealed with before, until `vault rotate-key` has run."));
}

}  // namespace kubiya::app::rows
