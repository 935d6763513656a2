// SPDX-License-Identifier: Apache-2.0
#include <kubiya/server_auth.h>

#include <cstdio>
#include <optional>

#include <fmt/format.h>

#include "app/application.h"
#include "app/config.h"

namespace kubiya {
namespace {

struct OwnTool {
  ToolDefinition definition;
  ToolHandler handler;
};

Caller caller_of(const policy::Permit& permit) {
  const PrincipalFacts& facts = permit.principal()->facts();
  return {facts.tenant,       facts.issuer, facts.subject,
          facts.display_name, facts.client, facts.scopes.names()};
}

Result<tools::ToolResult> invoke(const OwnTool& tool, const tools::Call& call) {
  ToolReply reply;
  try {
    reply = tool.handler(caller_of(call.permit), to_json(json::value(call.arguments)));
  } catch (...) {
    return fail(Code::internal, "The tool failed", tool.definition.name + " threw an exception");
  }
  const auto structured = parse_json(reply.json);
  if (!structured || !structured->is_object()) {
    return fail(Code::internal, "The tool failed",
                tool.definition.name + " did not answer with a JSON object");
  }
  tools::ToolResult result;
  result.structured = to_json(*structured);
  result.text = reply.text.empty() ? reply.json : reply.text;
  result.failed = reply.failed;
  return result;
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

std::string joined(const std::vector<std::string>& words) { return Scopes(words).text(); }

}  // namespace

struct McpServer::Impl {
  ServerAuthOptions options;
  std::vector<std::shared_ptr<const OwnTool>> own_tools;
  std::unique_ptr<app::Application> application;

  Result<app::Config> config() const {
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
      for (const auto& tool : own_tools) TRY_VOID(register_tool(registry, tool));
      return {};
    };
    return hooks;
  }
};

McpServer::McpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
McpServer::McpServer(McpServer&&) noexcept = default;
McpServer& McpServer::operator=(McpServer&&) noexcept = default;
McpServer::~McpServer() {
  if (impl_) stop();
}

Status McpServer::add_tool(ToolDefinition tool, ToolHandler handler) {
  if (impl_->application) return {false, "tools are added before the server starts"};
  if (!handler) return {false, tool.name + " has no handler"};
  // Tried on a registry of its own, so that the caller learns at once what is wrong.
  auto own = std::make_shared<const OwnTool>(OwnTool{std::move(tool), std::move(handler)});
  tools::Registry trial;
  for (const auto& earlier : impl_->own_tools) {
    if (const auto added = register_tool(trial, earlier); !added)
      return {false, added.error().message};
  }
  if (const auto added = register_tool(trial, own); !added) return {false, added.error().message};
  impl_->own_tools.push_back(std::move(own));
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

Status McpServer::start() {
  if (impl_->application) return {false, "the server runs already"};
  const auto config = impl_->config();
  if (!config) return {false, config.error().message};
  auto application = app::Application::open(*config, impl_->hooks());
  if (!application) return {false, application.error().message};
  impl_->application = std::move(*application);
  impl_->application->start();
  return {};
}

std::uint16_t McpServer::port() const {
  return impl_->application ? impl_->application->port() : 0;
}

void McpServer::stop() {
  if (impl_->application) impl_->application->stop();
  impl_->application.reset();
}

McpServer create_mcp_server_auth(ServerAuthOptions options) {
  auto impl = std::make_unique<McpServer::Impl>();
  impl->options = std::move(options);
  return McpServer(std::move(impl));
}

}  // namespace kubiya
