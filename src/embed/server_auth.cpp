// SPDX-License-Identifier: Apache-2.0
#include <kubiya/server_auth.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "app/application.h"
#include "app/config.h"
#include "base/encoding.h"
#include "schema/schema.h"

namespace kubiya {
namespace {

// The server's own tools; an application learns of a clash before anything is opened.
constexpr std::array<std::string_view, 19> kBuiltIn{
    "whoami",          "list_workflows",  "get_workflow",      "create_workflow",
    "update_workflow", "delete_workflow", "validate_workflow", "execute_workflow",
    "get_execution",   "list_executions", "cancel_execution",  "get_execution_logs",
    "list_approvals",  "decide_approval", "list_api_keys",     "create_api_key",
    "set_user_key",    "rotate_api_key",  "revoke_api_key"};

bool is_built_in(std::string_view name) {
  return std::find(kBuiltIn.begin(), kBuiltIn.end(), name) != kBuiltIn.end();
}

struct OwnTool {
  ToolDefinition definition;
  ToolHandler handler;
  const void* server = nullptr;  // whose tool it is
  std::optional<schema::Schema> output = {};
};

// The server whose handler this thread is in.
thread_local const void* handler_of = nullptr;

class InHandler {
 public:
  explicit InHandler(const void* server) : before_(handler_of) { handler_of = server; }
  ~InHandler() { handler_of = before_; }
  InHandler(const InHandler&) = delete;
  InHandler& operator=(const InHandler&) = delete;

 private:
  const void* before_;
};

std::size_t character_at(std::string_view text, std::size_t at) {
  for (std::size_t size = 1; size <= 4 && at + size <= text.size(); ++size) {
    if (is_utf8(text.substr(at, size))) return size;
  }
  return 0;
}

// What an application says to people may come from anywhere; JSON carries UTF-8 only.
std::string repaired(std::string text) {
  if (is_utf8(text)) return text;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = character_at(text, at);
    if (size == 0) {
      out += "\uFFFD";
    } else {
      out.append(text, at, size);
    }
    at += std::max<std::size_t>(size, 1);
  }
  return out;
}

Caller caller_of(const policy::Permit& permit) {
  const PrincipalFacts& facts = permit.principal()->facts();
  return {facts.tenant,       facts.issuer, facts.subject,
          facts.display_name, facts.client, facts.scopes.names()};
}

Result<tools::ToolResult> answer(const OwnTool& tool, ToolReply reply) {
  const auto structured = parse_json(reply.json);
  if (!structured || !structured->is_object()) {
    return fail(Code::internal, "The tool failed",
                tool.definition.name + " did not answer with a JSON object");
  }
  if (!reply.failed && tool.output) {
    const auto violations = tool.output->validate(*structured, 1);
    if (!violations.empty()) {
      return fail(
          Code::internal, "The tool failed",
          fmt::format("{} did not answer as its output schema says: {} at \"{}\"",
                      tool.definition.name, violations[0].keyword, printable(violations[0].field)));
    }
  }
  tools::ToolResult result;
  result.structured = to_json(*structured);
  result.text = reply.text.empty() ? result.structured : repaired(std::move(reply.text));
  result.failed = reply.failed;
  return result;
}

Result<tools::ToolResult> invoke(const OwnTool& tool, const tools::Call& call) {
  ToolReply reply;
  try {
    const InHandler mark(tool.server);
    reply = tool.handler(caller_of(call.permit), to_json(json::value(call.arguments)));
  } catch (...) {
    return fail(Code::internal, "The tool failed", tool.definition.name + " threw an exception");
  }
  return answer(tool, std::move(reply));
}

Result<> register_tool(tools::Registry& registry, const std::shared_ptr<const OwnTool>& tool) {
  const ToolDefinition& given = tool->definition;
  tools::ToolSpec spec;
  spec.operation = {given.name, Scopes(given.scopes),
                    given.mutates ? policy::Effect::mutates : policy::Effect::reads, false};
  spec.title = given.title.empty() ? given.name : given.title;
  spec.description = given.description;
  spec.input_schema = given.input_schema;
  spec.output_schema = given.output_schema;
  if (given.mutates) {
    return registry.add(std::move(spec), tools::Tool::MutateHandler(
                                             [tool](std::shared_ptr<const tools::Call> call,
                                                    const audit::DurableTicket&, tools::Done done) {
                                               done(invoke(*tool, *call));
                                             }));
  }
  return registry.add(
      std::move(spec),
      tools::Tool::ReadHandler([tool](const tools::Call& call, const audit::Ticket&,
                                      tools::Done done) { done(invoke(*tool, call)); }));
}

Result<std::shared_ptr<const OwnTool>> make_own(ToolDefinition definition, ToolHandler handler,
                                                const void* server) {
  if (!is_utf8(definition.title) || !is_utf8(definition.description)) {
    return fail(Code::invalid,
                printable(definition.name) + ": title and description must be UTF-8");
  }
  OwnTool own{std::move(definition), std::move(handler), server};
  if (!own.definition.output_schema.empty()) {
    const json::value parsed = TRY(parse_json(own.definition.output_schema));
    own.output = TRY(schema::Schema::compile(parsed));
  }
  return std::make_shared<const OwnTool>(std::move(own));
}

std::string sentence(const Error& error) {
  return error.detail.empty() ? error.message : error.message + " — " + error.detail;
}

std::string joined(const std::vector<std::string>& words) { return Scopes(words).text(); }

}  // namespace

struct [[gnu::visibility("hidden")]] McpServer::Impl {
  ServerAuthOptions options;
  std::vector<std::shared_ptr<const OwnTool>> own_tools;
  std::mutex mutex;  // of all below
  std::unique_ptr<app::Application> application;
  std::thread stopper;  // a handler asked to stop

  // What is wrong with the options that the configuration would not tell, or empty.
  std::string problem() const {
    const std::string& type = options.auth_server_type;
    if (type == "oidc" || type == "oauth") return {};
    return "auth_server_type: allowed: oidc, oauth; not " + printable(type);
  }

  Result<app::Config> config() const {
    if (std::string wrong = problem(); !wrong.empty()) return fail(Code::invalid, std::move(wrong));
    app::Sources sources;
    auto& flags = sources.flags;
    flags = {{"name", options.name},
             {"server.host", options.host},
             {"server.port", fmt::format("{}", options.port)},
             {"data_dir", options.data_dir}};
    if (!options.auth_server_url.empty()) {
      flags.emplace_back("auth.server", options.auth_server_url);
      flags.emplace_back("auth.type", options.auth_server_type);
    }
    if (!options.required_scopes.empty())
      flags.emplace_back("required_scopes", joined(options.required_scopes));
    if (!options.audience.empty()) flags.emplace_back("auth.audience", options.audience);
    flags.insert(flags.end(), options.settings.begin(), options.settings.end());
    return app::load_config(sources);
  }

  app::ServeHooks hooks() const {
    app::ServeHooks hooks;
    hooks.add_tools = [this](tools::Registry& registry) -> Result<> {
      for (const auto& tool : registry.tools())
        ASSERT(is_built_in(tool->name()), "every tool of the server is in the list");
      for (const auto& tool : own_tools) TRY_VOID(register_tool(registry, tool));
      return {};
    };
    return hooks;
  }

  Status start();
  void close();
  void stop();
};

Status McpServer::Impl::start() {
  const std::lock_guard lock(mutex);
  if (application) return {false, "the server runs already"};
  if (handler_of == this) return {false, "the server is stopping"};
  if (stopper.joinable()) stopper.join();
  const auto loaded = config();
  if (!loaded) return {false, loaded.error().message};
  log::set_level(loaded->log_level);
  auto opened = app::Application::open(*loaded, hooks());
  if (!opened) return {false, sentence(opened.error())};
  application = std::move(*opened);
  application->start();
  return {};
}

void McpServer::Impl::close() {
  std::unique_ptr<app::Application> ending;
  {
    const std::lock_guard lock(mutex);
    ending = std::move(application);
  }
  if (ending) ending->stop();
}

// A handler's thread belongs to what is stopped and cannot wait for its own end.
void McpServer::Impl::stop() {
  if (handler_of == this) {
    const std::lock_guard lock(mutex);
    if (application && !stopper.joinable()) stopper = std::thread([this] { close(); });
    return;
  }
  close();
  // Nothing is left that a handler could stop, so no further stopper appears.
  std::thread stopping;
  {
    const std::lock_guard lock(mutex);
    stopping = std::move(stopper);
  }
  if (stopping.joinable()) stopping.join();
}

McpServer::McpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
McpServer::McpServer(McpServer&&) noexcept = default;
McpServer& McpServer::operator=(McpServer&& other) noexcept {
  if (this == &other) return *this;
  if (impl_) impl_->stop();
  impl_ = std::move(other.impl_);
  return *this;
}
McpServer::~McpServer() {
  if (impl_) impl_->stop();
}

Status McpServer::add_tool(ToolDefinition tool, ToolHandler handler) {
  const std::lock_guard lock(impl_->mutex);
  if (std::string wrong = impl_->problem(); !wrong.empty()) return {false, std::move(wrong)};
  if (impl_->application) return {false, "tools are added before the server starts"};
  if (!handler) return {false, tool.name + " has no handler"};
  if (is_built_in(tool.name)) return {false, "the server has a tool named " + tool.name};
  auto own = make_own(std::move(tool), std::move(handler), impl_.get());
  if (!own) return {false, sentence(own.error())};
  // Tried on a registry of its own, so that the caller learns at once what is wrong.
  tools::Registry trial;
  for (const auto& earlier : impl_->own_tools) {
    if (const auto added = register_tool(trial, earlier); !added)
      return {false, sentence(added.error())};
  }
  if (const auto added = register_tool(trial, *own); !added)
    return {false, sentence(added.error())};
  impl_->own_tools.push_back(std::move(*own));
  return {};
}

int McpServer::run() {
  const auto config = impl_->config();
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return 2;
  }
  return app::serve(*config, impl_->hooks());
}

Status McpServer::start() { return impl_->start(); }

std::uint16_t McpServer::port() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->application ? impl_->application->port() : 0;
}

void McpServer::stop() { impl_->stop(); }

McpServer create_mcp_server_auth(ServerAuthOptions options) {
  auto impl = std::make_unique<McpServer::Impl>();
  impl->options = std::move(options);
  return McpServer(std::move(impl));
}

}  // namespace kubiya
