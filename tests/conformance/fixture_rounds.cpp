// SPDX-License-Identifier: Apache-2.0
//
// Tools that ask before they answer: in the legacy era by requests on the stream, in the modern
// one by results that need input. They do not know which.
#include <fmt/format.h>

#include "base/encoding.h"
#include "fixtures.h"

namespace kubiya::conformance {
namespace {

using tools::Done;
using tools::InputRequest;
using tools::ToolResult;

constexpr std::string_view kNameField = R"("name":{"type":"string"})";

InputRequest sampling(std::string key, std::string_view prompt, int tokens) {
  return {std::move(key),
          "sampling/createMessage",
          {{"messages",
            json::array{json::object{
                {"role", "user"}, {"content", json::object{{"type", "text"}, {"text", prompt}}}}}},
           {"maxTokens", tokens}}};
}

InputRequest roots(std::string key) { return {std::move(key), "roots/list", {}}; }

const json::object* answer_to(const tools::Call& call, std::string_view key) {
  return find_object(call.answers, key);
}

// "Elicitation completed: action=accept, content={…}"
std::string told(const json::object& answer) {
  const json::object* content = find_object(answer, "content");
  return fmt::format("action={}, content={}", find_string(answer, "action").value_or("none"),
                     content != nullptr ? to_json(*content) : "{}");
}

// Asks once, for a form whose answer is told back.
Behaviour asks_form(std::string key, std::string message, std::string properties,
                    std::string required) {
  return [=](const CallPtr& call, const Done& done) {
    if (const auto* answer = answer_to(*call, key))
      return done(text_result("Elicitation completed: " + told(*answer)));
    done(ToolResult::asking({form(key, message, properties, required)}));
  };
}

constexpr std::string_view kDefaults =
    R"("name":{"type":"string","description":"User name","default":"John Doe"},)"
    R"("age":{"type":"integer","description":"User age","default":30},)"
    R"("score":{"type":"number","description":"User score","default":95.5},)"
    R"("status":{"type":"string","description":"User status","enum":["active","inactive","pending"],"default":"active"},)"
    R"("verified":{"type":"boolean","description":"Verification status","default":true})";

constexpr std::string_view kEnums =
    R"("untitledSingle":{"type":"string","enum":["option1","option2","option3"]},)"
    R"("titledSingle":{"type":"string","oneOf":[{"const":"value1","title":"First Option"},{"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]},)"
    R"("legacyEnum":{"type":"string","enum":["opt1","opt2","opt3"],"enumNames":["Option One","Option Two","Option Three"]},)"
    R"("untitledMulti":{"type":"array","items":{"type":"string","enum":["option1","option2","option3"]}},)"
    R"("titledMulti":{"type":"array","items":{"anyOf":[{"const":"value1","title":"First Choice"},{"const":"value2","title":"Second Choice"},{"const":"value3","title":"Third Choice"}]}})";

Result<> add_legacy(const Bench& bench) {
  Fixture sample{"test_sampling", "Asks the client's model."};
  sample.input_schema =
      R"({"type":"object","properties":{"prompt":{"type":"string"}},"required":["prompt"]})";
  TRY_VOID(add_tool(bench, std::move(sample), [](const CallPtr& call, const Done& done) {
    if (const auto* answer = answer_to(*call, "sample")) {
      const json::object* content = find_object(*answer, "content");
      return done(text_result(
          fmt::format("LLM response: {}",
                      content != nullptr ? find_string(*content, "text").value_or("") : "")));
    }
    done(ToolResult::asking({sampling("sample", *find_string(call->arguments, "prompt"), 100)}));
  }));
  Fixture elicit{"test_elicitation", "Asks the user."};
  elicit.input_schema =
      R"({"type":"object","properties":{"message":{"type":"string"}},"required":["message"]})";
  TRY_VOID(add_tool(bench, std::move(elicit), [](const CallPtr& call, const Done& done) {
    if (const auto* answer = answer_to(*call, "user"))
      return done(text_result("User response: " + told(*answer)));
    done(ToolResult::asking(
        {form("user", std::string(*find_string(call->arguments, "message")),
              R"("username":{"type":"string","description":"User's response"},)"
              R"("email":{"type":"string","description":"User's email address"})",
              R"("username","email")")}));
  }));
  TRY_VOID(add_tool(bench,
                    {"test_elicitation_sep1034_defaults", "Asks with defaults of every type."},
                    asks_form("defaults", "Please review and update the form fields",
                              std::string(kDefaults), "")));
  TRY_VOID(add_tool(bench, {"test_elicitation_sep1330_enums", "Asks with choices of every form."},
                    asks_form("enums", "Please select options", std::string(kEnums), "")));
  TRY_VOID(add_tool(bench, {"test_streaming_elicitation", "Asks on its stream, if it may."},
                    asks_form("user", "What is your name?", std::string(kNameField), "")));
  return add_tool(bench, {"test_missing_capability", "Cannot do without the client's model."},
                  [](const CallPtr& call, const Done& done) {
                    if (answer_to(*call, "sample")) return done(text_result("Sampled."));
                    done(ToolResult::asking({sampling("sample", "Say something", 10)}));
                  });
}

void greet(const CallPtr& call, const Done& done) {
  const json::object* content = accepted(*call, "user_name");
  const auto name = content != nullptr ? find_string(*content, "name") : std::nullopt;
  if (name) return done(text_result(fmt::format("Hello, {}!", *name)));
  done(ToolResult::asking({form("user_name", "What is your name?", kNameField, R"("name")")}));
}

void confirm(const CallPtr& call, const Done& done) {
  if (call->state == "asked" && accepted(*call, "confirm") != nullptr)
    return done(text_result("state-ok: the state came back as it was given."));
  done(ToolResult::asking(
      {form("confirm", "Please confirm", R"("ok":{"type":"boolean"})", R"("ok")")}, "asked"));
}

void ask_everything(const CallPtr& call, const Done& done) {
  const bool all = accepted(*call, "user_name") != nullptr &&
                   answer_to(*call, "greeting") != nullptr &&
                   answer_to(*call, "client_roots") != nullptr;
  if (all && call->state == "asked") return done(text_result("All three were answered."));
  done(ToolResult::asking({form("user_name", "What is your name?", kNameField, R"("name")"),
                           sampling("greeting", "Generate a greeting", 50), roots("client_roots")},
                          "asked"));
}

void two_rounds(const CallPtr& call, const Done& done) {
  if (call->state == "second" && accepted(*call, "step2") != nullptr)
    return done(text_result("Both steps were answered."));
  if (call->state == "first" && accepted(*call, "step1") != nullptr) {
    return done(ToolResult::asking({form("step2", "Step 2: What is your favorite color?",
                                         R"("color":{"type":"string"})", R"("color")")},
                                   "second"));
  }
  done(ToolResult::asking({form("step1", "Step 1: What is your name?", kNameField, R"("name")")},
                          "first"));
}

Result<> add_modern(const Bench& bench) {
  TRY_VOID(add_tool(bench, {"test_input_required_result_elicitation", "Asks for a name."}, greet));
  TRY_VOID(add_tool(bench, {"test_input_required_result_sampling", "Asks the client's model."},
                    [](const CallPtr& call, const Done& done) {
                      if (answer_to(*call, "capital_question"))
                        return done(text_result("The model has answered."));
                      done(ToolResult::asking(
                          {sampling("capital_question", "What is the capital of France?", 100)}));
                    }));
  TRY_VOID(add_tool(bench, {"test_input_required_result_list_roots", "Asks for the roots."},
                    [](const CallPtr& call, const Done& done) {
                      if (answer_to(*call, "client_roots"))
                        return done(text_result("The roots are known."));
                      done(ToolResult::asking({roots("client_roots")}));
                    }));
  TRY_VOID(add_tool(bench, {"test_input_required_result_request_state", "Asks, with a state."},
                    confirm));
  TRY_VOID(add_tool(bench, {"test_input_required_result_tampered_state", "Asks, with a state."},
                    confirm));
  TRY_VOID(add_tool(bench, {"test_input_required_result_multiple_inputs", "Asks three things."},
                    ask_everything));
  TRY_VOID(add_tool(bench, {"test_input_required_result_multi_round", "Asks twice."}, two_rounds));
  return add_tool(
      bench, {"test_input_required_result_capabilities", "Asks what the client can answer."},
      [](const CallPtr& call, const Done& done) {
        if (!call->answers.empty()) return done(text_result("Answered."));
        done(ToolResult::asking({form("user_name", "What is your name?", kNameField, ""),
                                 sampling("greeting", "Generate a greeting", 50)}));
      });
}

}  // namespace

InputRequest form(std::string key, std::string message, std::string_view properties,
                  std::string_view required) {
  const auto schema = parse_json(fmt::format(
      R"({{"type":"object","properties":{{{}}},"required":[{}]}})", properties, required));
  ASSERT(schema, "forms of fixtures are well formed");
  return {std::move(key),
          "elicitation/create",
          {{"mode", "form"}, {"message", message}, {"requestedSchema", *schema}}};
}

const json::object* accepted(const tools::Call& call, std::string_view key) {
  const json::object* answer = answer_to(call, key);
  if (answer == nullptr || find_string(*answer, "action") != "accept") return nullptr;
  return find_object(*answer, "content");
}

Result<> add_rounds(const Bench& bench) {
  TRY_VOID(add_legacy(bench));
  return add_modern(bench);
}

}  // namespace kubiya::conformance
