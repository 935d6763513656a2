// An application with a tool of its own under the server's authentication, scopes and audit.
#include <cstdlib>
#include <iostream>

#include <kubiya/server_auth.h>

int main() {
  const char* auth_server = std::getenv("KUBIYA_AUTH_SERVER");
  const char* port = std::getenv("PORT");
  auto server = kubiya::create_mcp_server_auth({
      .name = "Greeter",
      .auth_server_url = auth_server ? auth_server : "",
      .auth_server_type = "oidc",  // or "oauth"
      .required_scopes = {"read"},
      .port = static_cast<std::uint16_t>(port ? std::atoi(port) : 8000),
      .data_dir = "./greeter-data",
  });

  const auto added = server.add_tool({.name = "greet",
                                      .description = "Greets the person who asks.",
                                      .scopes = {"read"},
                                      .mutates = false},
                                     [](const kubiya::Caller& caller, std::string_view) {
                                       return kubiya::ToolReply{
                                           .json = "{}", .text = "Hello, " + caller.subject + "!"};
                                     });
  if (!added) {
    std::cerr << added.message << '\n';
    return 1;
  }
  return server.run();
}
