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
  t.push_back(choice(
      "vault.just_in_time", [](D& d) -> auto& { return d.config.just_in_time; },
      {{"off", mcp::JustInTime::off},
       {"create", mcp::JustInTime::create},
       {"ask", mcp::JustInTime::ask}},
      "What a person gets whose token leads to no Kubiya key, at the first call that needs one: a "
      "key "
      "of this installation (create), or a page to enter their own (ask; clients that open "
      "links)."));
  t.push_back(scope_names(
      "vault.just_in_time_scopes", [](D& d) -> auto& { return d.config.just_in_time_scopes; },
      "What a key may at most that is made just in time."));
}

}  // namespace kubiya::app::rows
