// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include <fmt/format.h>

#include "fixtures.h"

namespace kubiya::conformance {
namespace {

using std::chrono::milliseconds;
using tools::Done;
using tools::ToolResult;

constexpr std::string_view kSchema2020 = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "$defs": {"address": {"$anchor": "addressDef", "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
  "properties": {
    "name": {"type": "string"},
    "address": {"$ref": "#/$defs/address"},
    "contactMethod": {"type": "string", "enum": ["phone", "email"]},
    "phone": {"type": "string"},
    "email": {"type": "string"}},
  "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
  "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
  "then": {"required": ["phone"]},
  "else": {"required": ["email"]},
  "additionalProperties": false})";

Behaviour answers(ToolResult result) {
  return [result = std::move(result)](const CallPtr&, const Done& done) { done(result); };
}

std::string block(std::string_view type, std::string_view data, std::string_view mime) {
  return fmt::format(R"({{"type":"{}","data":"{}","mimeType":"{}"}})", type, data, mime);
}

constexpr std::string_view kEmbedded =
    R"({"type":"resource","resource":{"uri":"test://embedded-resource","mimeType":"text/plain","text":"This is an embedded resource."}})";

Result<> add_contents(const Bench& bench) {
  // The first one takes no arguments: the suite calls whatever comes first with none.
  TRY_VOID(add_tool(bench, {"test_simple_text", "Answers with a text."},
                    answers(text_result("This is a simple text response for testing."))));
  TRY_VOID(add_tool(bench, {"test_image_content", "Answers with an image."},
                    answers(content_result("[" + block("image", kPng, "image/png") + "]"))));
  TRY_VOID(add_tool(bench, {"test_audio_content", "Answers with a sound."},
                    answers(content_result("[" + block("audio", kWav, "audio/wav") + "]"))));
  TRY_VOID(add_tool(bench, {"test_embedded_resource", "Answers with a resource."},
                    answers(content_result(fmt::format("[{}]", kEmbedded)))));
  TRY_VOID(add_tool(bench, {"test_multiple_content_types", "Answers with several blocks."},
                    answers(content_result(fmt::format(
                        R"([{{"type":"text","text":"Multiple content types test:"}},{},{}])",
                        block("image", kPng, "image/png"), kEmbedded)))));
  ToolResult failed = text_result("This tool intentionally returns an error for testing");
  failed.failed = true;
  return add_tool(bench, {"test_error_handling", "Always fails."}, answers(std::move(failed)));
}

// Says `messages` one after the other, then ends.
void log_slowly(const Bench& bench, const CallPtr& call, int left, const Done& done) {
  if (left == 0 || !call->log) return done(text_result("What could be logged was logged."));
  call->log("info", json::value(fmt::format("Message {} of 3", 4 - left)));
  after(bench, milliseconds(50),
        [bench, call, left, done] { log_slowly(bench, call, left - 1, done); });
}

void progress_slowly(const Bench& bench, const CallPtr& call, int percent, const Done& done) {
  if (call->progress) call->progress(percent, 100.0, fmt::format("{} %", percent));
  if (percent == 100) return done(text_result("Progress was reported."));
  after(bench, milliseconds(50),
        [bench, call, percent, done] { progress_slowly(bench, call, percent + 50, done); });
}

Result<> add_notifying(const Bench& bench) {
  TRY_VOID(add_tool(
      bench, {"test_tool_with_progress", "Reports its progress."},
      [bench](const CallPtr& call, const Done& done) { progress_slowly(bench, call, 0, done); }));
  const Behaviour logs = [bench](const CallPtr& call, const Done& done) {
    log_slowly(bench, call, 3, done);
  };
  TRY_VOID(add_tool(bench, {"test_tool_with_logging", "Logs three messages."}, logs));
  TRY_VOID(add_tool(bench, {"test_logging_tool", "Logs three messages if it may."}, logs));
  return add_tool(bench, {"test_reconnection", "Lets the connection go before it answers."},
                  [bench](const CallPtr& call, const Done& done) {
                    if (call->let_go) call->let_go();
                    after(bench, milliseconds(100), [done] {
                      done(text_result("Reconnection test completed successfully."));
                    });
                  });
}

// One tool that is there or not.
class ComingAndGoing final : public tools::ToolSource {
 public:
  explicit ComingAndGoing(std::shared_ptr<const tools::Tool> tool) : tool_(std::move(tool)) {}
  std::shared_ptr<const tools::Tool> find(std::string_view, std::string_view name) override {
    return there_ && name == tool_->name() ? tool_ : nullptr;
  }
  std::vector<std::shared_ptr<const tools::Tool>> list(std::string_view) override {
    if (!there_) return {};
    return {tool_};
  }
  void toggle() { there_ = !there_; }

 private:
  const std::shared_ptr<const tools::Tool> tool_;
  std::atomic<bool> there_{false};
};

Result<> add_changing(const Bench& bench) {
  tools::ToolSpec spec;
  spec.operation = {"test_dynamic_tool", {}, policy::Effect::reads, false};
  spec.description = "Comes and goes.";
  spec.input_schema = R"({"type":"object","properties":{}})";
  auto tool = TRY(tools::Registry::make(
      std::move(spec),
      tools::Tool::ReadHandler([](const tools::Call&, const audit::Ticket&, const Done& done) {
        done(text_result("Here for now."));
      })));
  auto source = std::make_unique<ComingAndGoing>(std::move(tool));
  ComingAndGoing* const toggled = source.get();
  bench.catalogue.set_source(std::move(source));
  tools::Changes* const changes = &bench.catalogue.changes();
  TRY_VOID(add_tool(bench, {"test_trigger_tool_change", "Adds a tool, or takes it away."},
                    [toggled, changes](const CallPtr&, const Done& done) {
                      toggled->toggle();
                      changes->changed(tools::Changes::List::tools);
                      done(text_result("The list of tools has changed."));
                    }));
  return add_tool(bench, {"test_trigger_prompt_change", "Says that the prompts have changed."},
                  [changes](const CallPtr&, const Done& done) {
                    changes->changed(tools::Changes::List::prompts);
                    done(text_result("The list of prompts has changed."));
                  });
}

}  // namespace

Result<> add_tool(const Bench& bench, Fixture fixture, Behaviour behaviour) {
  tools::ToolSpec spec;
  spec.operation = {std::move(fixture.name), {}, policy::Effect::reads, false};
  spec.description = std::move(fixture.description);
  spec.input_schema = std::move(fixture.input_schema);
  spec.needs_tasks = fixture.needs_tasks;
  return bench.catalogue.tools().add(
      std::move(spec),
      tools::Tool::ReadHandler([behaviour = std::move(behaviour)](const tools::Call& call,
                                                                  const audit::Ticket&, Done done) {
        behaviour(std::make_shared<const tools::Call>(call), std::move(done));
      }));
}

void after(const Bench& bench, std::chrono::milliseconds wait, std::function<void()> work) {
  WorkerPool* const workers = &bench.workers;
  bench.timers.add(bench.clock.mono() + wait,
                   [workers, work = std::move(work)] { workers->submit_always(work); });
}

ToolResult text_result(std::string text) {
  ToolResult result;
  result.structured.clear();
  result.text = std::move(text);
  return result;
}

ToolResult content_result(std::string content) {
  ToolResult result;
  result.structured.clear();
  result.content = std::move(content);
  return result;
}

Result<> add_tools(const Bench& bench) {
  TRY_VOID(add_contents(bench));
  TRY_VOID(add_notifying(bench));
  TRY_VOID(add_changing(bench));
  Fixture schema{"json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features."};
  schema.input_schema = kSchema2020;
  TRY_VOID(add_tool(bench, std::move(schema), answers(text_result("It fits the schema."))));
  Fixture headers{"test_header_params", "Repeats two arguments as headers."};
  headers.input_schema =
      R"({"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},)"
      R"("count":{"type":"integer","x-mcp-header":"Count"}},"required":["region"]})";
  return add_tool(bench, std::move(headers), answers(text_result("The headers agree.")));
}

}  // namespace kubiya::conformance
