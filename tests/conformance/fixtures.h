// SPDX-License-Identifier: Apache-2.0
//
// What the official MCP conformance suite expects to find on a server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/timers.h"
#include "base/worker_pool.h"
#include "tools/catalogue.h"

namespace kubiya::conformance {

struct Bench {
  tools::Catalogue& catalogue;
  Timers& timers;
  WorkerPool& workers;
  const Clock& clock;
};

// A call that a fixture may look at after its handler returned.
using CallPtr = std::shared_ptr<const tools::Call>;
using Behaviour = std::function<void(const CallPtr&, tools::Done)>;

struct Fixture {
  std::string name;
  std::string description;
  std::string input_schema = R"({"type":"object","properties":{}})";
  bool needs_tasks = false;
};

Result<> add_tool(const Bench& bench, Fixture fixture, Behaviour behaviour);
// Runs `work` on a worker after `wait`.
void after(const Bench& bench, std::chrono::milliseconds wait, std::function<void()> work);

tools::ToolResult text_result(std::string text);
// `content` is the JSON text of an array of blocks, messages or contents.
tools::ToolResult content_result(std::string content);
tools::InputRequest form(std::string key, std::string message, std::string_view properties,
                         std::string_view required);
// The content of an accepted form, or null.
const json::object* accepted(const tools::Call& call, std::string_view key);

Result<> add_tools(const Bench& bench);
Result<> add_rounds(const Bench& bench);
Result<> add_tasks(const Bench& bench);
Result<> add_resources_and_prompts(const Bench& bench);

// The smallest files of their kinds, base64.
inline constexpr std::string_view kPng =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg"
    "==";
inline constexpr std::string_view kWav =
    "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

}  // namespace kubiya::conformance
