// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "app/cli_options.h"
#include "app/cli_vault.h"

namespace kubiya::app::cli {
namespace {

void add_place(CLI::App& command, VaultPlace& place) {
  add_installation(command, place.where);
  command.add_option("--issuer", place.issuer,
                     "`iss` of the person's tokens (the configured issuer)");
  command.add_option("--subject", place.subject, "Whose key it is: `sub` of the tokens");
  command.add_option("--reference", place.reference,
                     "Instead: the name that tokens of the issuer refer to it by");
  add_tenant(command, place.tenant);
}

void add_import(CLI::App& group, std::function<int()>& chosen) {
  static VaultImport import;
  CLI::App* command = group.add_subcommand("import", "Keep the keys of a file, all or none");
  add_installation(*command, import.where);
  command->add_option("file", import.file, "CSV or JSON lines; - for stdin")->required();
  command->add_option("--issuer", import.issuer, "Of lines that name none");
  add_tenant(*command, import.tenant);
  command->footer(
      "Example:\n"
      "  printf 'subject,key\\nuser123,%s\\n' \"$KEY\" | kubiya-mcp vault import - --issuer "
      "https://idp.example.com");
  command->callback([&chosen] { chosen = [] { return vault_import(import); }; });
}

}  // namespace

void add_vault(CLI::App& app, std::function<int()>& chosen) {
  static VaultPlace place;
  static VaultPlace removed;
  static VaultList listed;
  static Installation rotated;
  CLI::App* group = app.add_subcommand("vault", "Kubiya keys of people whose tokens carry none");
  group->require_subcommand(1);
  add_import(*group, chosen);
  CLI::App* command = group->add_subcommand("set", "Keep one key, read from stdin");
  add_place(*command, place);
  command->footer(
      "Example:\n"
      "  kubiya-mcp vault set --issuer https://idp.example.com --subject user123 < key.txt");
  command->callback([&chosen] { chosen = [] { return vault_set(place); }; });
  command = group->add_subcommand("list", "Whose keys are kept, never the keys");
  add_installation(*command, listed.where);
  command->add_option("--issuer", listed.issuer, "Only of this issuer");
  add_tenant(*command, listed.tenant);
  command->callback([&chosen] { chosen = [] { return vault_list(listed); }; });
  command = group->add_subcommand("remove", "Keep a key no longer");
  add_place(*command, removed);
  command->callback([&chosen] { chosen = [] { return vault_remove(removed); }; });
  command = group->add_subcommand("rotate-key", "Seal everything anew");
  add_installation(*command, rotated);
  command->callback([&chosen] { chosen = [] { return vault_rotate_key(rotated); }; });
}

}  // namespace kubiya::app::cli
