// SPDX-License-Identifier: Apache-2.0
//
// An MCP server with authentication inside your own program, and tools of your own
// under the same authentication, scopes and audit:
//
//   auto server = kubiya::create_mcp_server_auth({
//       .name = "Kubiya MCP Server",
//       .auth_server_url = "https://your-auth-server.com",
//       .auth_server_type = "oidc",  // or "oauth"
//       .required_scopes = {"read"}});
//   server.add_tool({...}, [](const kubiya::Caller& caller, std::string_view arguments) { ... });
//   return server.run();
//
// The header needs the standard library only. JSON crosses it as text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kubiya {

struct ServerAuthOptions {
  std::string name = "Kubiya MCP Server";
  // Empty: API-key mode.
  std::string auth_server_url = {};
  std::string auth_server_type = "oidc";  // or "oauth"
  // The minimum every request needs, on top of what each tool asks for.
  std::vector<std::string> required_scopes = {};
  std::string audience = {};  // empty: the server's own URL
  std::string host = "localhost";
  std::uint16_t port = 8000;  // 0 picks a free one and needs the setting public_url
  std::string data_dir = "./data";
  // Any further key of docs/configuration.md: {"server.tls_cert", "/etc/…"}.
  std::vector<std::pair<std::string, std::string>> settings = {};
};

// Who calls, verified.
struct Caller {
  std::string tenant, issuer, subject, name, client;
  std::vector<std::string> scopes;
};

struct ToolDefinition {
  std::string name;  // 1 to 64 of A-Z a-z 0-9 _ - .
  std::string title = {};
  std::string description;
  std::string input_schema = R"({"type":"object","additionalProperties":false})";
  std::string output_schema = {};        // empty: none
  std::vector<std::string> scopes = {};  // all are needed
  // True: the call's intent is on disk before the handler runs, and refused when it cannot be.
  bool mutates = true;
};

struct ToolReply {
  std::string json = "{}";  // an object; fits the output schema unless `failed`
  std::string text = {};    // for people and models; what is not UTF-8 becomes U+FFFD
  bool failed = false;
};

// `arguments` is a JSON object that fits the input schema. Called on worker threads, several at
// once; an exception is answered as an internal error and logged without its text.
using ToolHandler = std::function<ToolReply(const Caller& caller, std::string_view arguments)>;

// Success, or a sentence that says what is wrong.
struct Status {
  bool ok = true;
  std::string message = {};
  explicit operator bool() const { return ok; }
};

class McpServer {
 public:
  McpServer(McpServer&&) noexcept;
  McpServer& operator=(McpServer&&) noexcept;
  ~McpServer();  // stops; not inside one of its own handlers

  // Before start() or run(). Refused: a name that is taken, by the server's own tools too.
  Status add_tool(ToolDefinition tool, ToolHandler handler);

  // Serves until SIGTERM or SIGINT; returns the exit status for main. Prints one line to stderr
  // when it cannot start. Takes over these signals and SIGHUP for the whole process.
  int run();

  // The same in the background, without touching signals. `log.level` counts for the process.
  Status start();
  std::uint16_t port() const;  // 0 unless started
  // Ends what start() began, any thread. Called by a handler it returns at once, and the server
  // stops when its requests have been answered.
  void stop();

 private:
  friend McpServer create_mcp_server_auth(ServerAuthOptions options);
  struct Impl;
  explicit McpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Checks nothing yet: the first of add_tool(), start() and run() reports an unknown
// auth_server_type, start() and run() whatever else is wrong with the options.
McpServer create_mcp_server_auth(ServerAuthOptions options);

}  // namespace kubiya
