// SPDX-License-Identifier: Apache-2.0
//
// The scripted pass of `dev --check` against a running demonstration.
#pragma once

#include "app/config.h"
#include "app/demo_issuer.h"

namespace kubiya::app {

// Prints one line per check, with the reason where one fails. True when all hold.
bool check_demo_server(const Config& config, const DemoIssuer& issuer);

}  // namespace kubiya::app
