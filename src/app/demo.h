// SPDX-License-Identifier: Apache-2.0
//
// The demonstration: demo issuer and server in one process, two users, sample workflows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/demo_issuer.h"
#include "base/result.h"

namespace kubiya::app {

struct DemoOptions {
  std::optional<std::uint16_t> port;         // 8000; with `check` a free one
  std::optional<std::uint16_t> issuer_port;  // port + 1; with `check` a free one
  std::string data_dir = "./data";
  std::string workflows = "examples/workflows";
  std::string log_level;  // "info"; with `check` "error"
  bool check = false;     // one scripted pass in a fresh directory below data_dir, then exit
};

// The `dev` command. Returns the exit status.
int demo(const DemoOptions& options);

// deployer and viewer with their keys: those of an earlier start while they are good, otherwise
// new ones. Their secrets lie in data_dir/demo/users.json (0600).
Result<std::vector<DemoUser>> open_demo_users(const Config& config);

// What a person sees once the server listens: tokens and ready-to-paste calls. Pure.
struct DemoTokens {
  Secret deployer;
  Secret viewer;
};
std::string demo_screen(const Config& config, const DemoIssuer& issuer, const DemoTokens& tokens);
// The content of demo.env.
std::string demo_environment(const Config& config, const std::string& issuer_url,
                             const DemoTokens& tokens);

}  // namespace kubiya::app
