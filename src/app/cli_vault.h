// SPDX-License-Identifier: Apache-2.0
//
// `kubiya-mcp vault`: the Kubiya keys that are kept for people whose tokens carry none. A key is
// read from a file or stdin, never from the command line, and never printed.
#pragma once

#include <functional>
#include <string>

#include "app/cli.h"

namespace CLI {
class App;
}

namespace kubiya::app::cli {

struct VaultPlace {
  Installation where;
  std::string issuer;     // empty: the configured one, when there is one
  std::string subject;    // either this
  std::string reference;  // or that
  std::string tenant = "default";
};
int vault_set(const VaultPlace& command);  // the key comes on stdin
int vault_remove(const VaultPlace& command);

struct VaultImport {
  Installation where;
  std::string file;  // "-": stdin
  std::string issuer;
  std::string tenant = "default";  // these two for lines that name none
};
int vault_import(const VaultImport& command);

struct VaultList {
  Installation where;
  std::string issuer;  // empty: every issuer
  std::string tenant = "default";
};
int vault_list(const VaultList& command);
int vault_rotate_key(const Installation& where);

// Declares the commands; the one that is chosen becomes `chosen`.
void add_vault(CLI::App& app, std::function<int()>& chosen);

}  // namespace kubiya::app::cli
