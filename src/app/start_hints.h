// SPDX-License-Identifier: Apache-2.0
//
// What will surprise somebody who just started a server that works as configured: sentences that
// say what to do. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "identity/reason.h"

namespace kubiya::app {

// Everybody can connect, and only this machine is admitted by its Host. Empty: not so.
std::string reach_hint(const Config& config);

// `keys`: how many API keys were ever made. `shared_key`: why the configured one is refused.
std::vector<std::string> start_hints(const Config& config, std::size_t keys,
                                     std::optional<identity::Reason> shared_key);

}  // namespace kubiya::app
