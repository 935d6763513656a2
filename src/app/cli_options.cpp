// SPDX-License-Identifier: Apache-2.0
#include "app/cli_options.h"

#include <CLI/CLI.hpp>

namespace kubiya::app::cli {

void add_config_file(CLI::App& command, Installation& where) {
  command.add_option("--config", where.config, "YAML file; see docs/configuration.md")
      ->type_name("FILE");
}

void add_installation(CLI::App& command, Installation& where) {
  add_config_file(command, where);
  command.add_option("--data-dir", where.data_dir, "Directory of the installation (./data)")
      ->type_name("DIR");
}

void add_tenant(CLI::App& command, std::string& tenant) {
  command.add_option("--tenant", tenant, "Tenant")->capture_default_str();
}

}  // namespace kubiya::app::cli
