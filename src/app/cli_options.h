// SPDX-License-Identifier: Apache-2.0
//
// Options that several commands share.
#pragma once

#include <string>

#include "app/cli.h"

namespace CLI {
class App;
}

namespace kubiya::app::cli {

void add_config_file(CLI::App& command, Installation& where);
// --config and --data-dir, for commands that work on an installation's files.
void add_installation(CLI::App& command, Installation& where);
void add_tenant(CLI::App& command, std::string& tenant);

}  // namespace kubiya::app::cli
