// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "fixtures.h"

namespace kubiya::conformance {
namespace {

using tools::Done;
using tools::ToolResult;

constexpr std::string_view kTemplateHead = "test://template/";
constexpr std::string_view kTemplateTail = "/data";

std::string listing(std::string_view uri, std::string_view name, std::string_view mime) {
  return fmt::format(
      R"({{"uri":"{}","name":"{}","description":"A resource of the tests.","mimeType":"{}"}})", uri,
      name, mime);
}

class Resources final : public tools::ResourceFamily {
 public:
  const policy::Operation& operation() const override { return operation_; }
  bool serves(std::string_view uri) const override { return uri.starts_with("test://"); }

  std::vector<std::string> templates() const override {
    return {
        R"({"uriTemplate":"test://template/{id}/data","name":"Template","description":"A template of the tests.","mimeType":"application/json"})"};
  }

  Result<Page> list(const PrincipalPtr&, const std::string&, int) override {
    return Page{{listing("test://static-text", "Static text", "text/plain"),
                 listing("test://static-binary", "Static binary", "image/png"),
                 listing("test://watched-resource", "Watched resource", "text/plain")},
                {}};
  }

  void read(const tools::Call& call, const audit::Ticket&, Done done) override {
    const std::string_view uri = *find_string(call.arguments, "uri");
    json::object contents{{"uri", uri}};
    if (uri == "test://static-binary") {
      contents["mimeType"] = "image/png";
      contents["blob"] = kPng;
    } else if (uri == "test://static-text" || uri == "test://watched-resource") {
      contents["mimeType"] = "text/plain";
      contents["text"] = "This is the content of the static text resource.";
    } else if (uri.starts_with(kTemplateHead) && uri.ends_with(kTemplateTail)) {
      const std::string_view id = uri.substr(
          kTemplateHead.size(), uri.size() - kTemplateHead.size() - kTemplateTail.size());
      contents["mimeType"] = "application/json";
      contents["text"] = fmt::format(R"({{"id":"{}","templateTest":true}})", id);
    } else {
      return done(fail(Code::not_found, "There is no such resource"));
    }
    done(content_result(to_json(json::value(json::array{contents}))));
  }

  Result<std::unique_ptr<tools::Watch>> watch(const PrincipalPtr&, std::string_view,
                                              std::function<void()>) override {
    return std::unique_ptr<tools::Watch>();
  }

 private:
  const policy::Operation operation_{"read_resource", {}, policy::Effect::reads, false};
};

std::string message(std::string_view content) {
  return fmt::format(R"([{{"role":"user","content":{}}}])", content);
}

std::string text_block(std::string_view text) {
  std::string out = R"({"type":"text","text":)";
  append_json_string(out, text);
  return out + "}";
}

Result<> add_prompt(const Bench& bench, tools::PromptSpec spec,
                    std::function<ToolResult(const tools::Call&)> get) {
  tools::Prompt prompt;
  prompt.spec = std::move(spec);
  prompt.get = [get = std::move(get)](const tools::Call& call, const audit::Ticket&,
                                      const Done& done) { done(get(call)); };
  prompt.complete = [](const PrincipalPtr&, const tools::Typed& typed) {
    return tools::Completion{{std::string(typed.value) + "-completed"}, {}};
  };
  return bench.catalogue.add(std::move(prompt));
}

std::string argument(const tools::Call& call, std::string_view name) {
  return std::string(find_string(call.arguments, name).value_or(""));
}

}  // namespace

Result<> add_resources_and_prompts(const Bench& bench) {
  bench.catalogue.add(std::make_unique<Resources>());
  TRY_VOID(add_prompt(
      bench, {"test_simple_prompt", "", "A prompt without arguments.", {}}, [](const tools::Call&) {
        return content_result(message(text_block("This is a simple prompt for testing.")));
      }));
  TRY_VOID(add_prompt(
      bench,
      {"test_prompt_with_arguments",
       "",
       "A prompt with two arguments.",
       {{"arg1", "", "First test argument", true}, {"arg2", "", "Second test argument", true}}},
      [](const tools::Call& call) {
        return content_result(
            message(text_block(fmt::format("Prompt with arguments: arg1='{}', arg2='{}'",
                                           argument(call, "arg1"), argument(call, "arg2")))));
      }));
  TRY_VOID(add_prompt(bench,
                      {"test_prompt_with_embedded_resource",
                       "",
                       "A prompt that holds a resource.",
                       {{"resourceUri", "", "URI of the resource to embed", true}}},
                      [](const tools::Call& call) {
                        const json::object block{
                            {"type", "resource"},
                            {"resource", json::object{{"uri", argument(call, "resourceUri")},
                                                      {"mimeType", "text/plain"},
                                                      {"text", "Embedded resource"}}}};
                        return content_result(message(to_json(block)));
                      }));
  TRY_VOID(add_prompt(bench, {"test_prompt_with_image", "", "A prompt that holds an image.", {}},
                      [](const tools::Call&) {
                        return content_result(message(fmt::format(
                            R"({{"type":"image","data":"{}","mimeType":"image/png"}})", kPng)));
                      }));
  return add_prompt(
      bench, {"test_input_required_result_prompt", "", "A prompt that asks first.", {}},
      [](const tools::Call& call) {
        const json::object* content = accepted(call, "user_context");
        if (content == nullptr) {
          return ToolResult::asking({form("user_context", "What context should the prompt use?",
                                          R"("context":{"type":"string"})", R"("context")")});
        }
        return content_result(message(text_block(
            "Use this context: " + std::string(find_string(*content, "context").value_or("")))));
      });
}

}  // namespace kubiya::conformance
