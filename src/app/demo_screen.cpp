// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "app/demo.h"

namespace kubiya::app {
namespace {

std::string users_part(const DemoIssuer& issuer) {
  std::string text;
  for (const DemoUser& user : issuer.users()) {
    text += fmt::format("  {:<9} {:<14} scopes: {}\n", user.subject, user.name, user.scope);
  }
  return text;
}

// The three snippets of "Testing Authentication", with a real token.
std::string seed_part(const Config& config, const Secret& token) {
  return fmt::format(R"(1. Check the metadata endpoint

curl {0}/.well-known/oauth-authorization-server

2. Test with a bearer token (deployer's)

TOKEN="{2}"
curl -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  {0}/

3. Use an MCP client

from fastmcp.client import Client
from fastmcp.client.transports import StreamableHttpTransport

transport = StreamableHttpTransport(
    "{0}{1}",
    auth="{2}"
)
client = Client(transport)
)",
                     config.public_url, config.mcp_path, token.reveal());
}

std::string call_part(const Config& config) {
  return fmt::format(R"(Run a workflow as deployer (MCP 2026-07-28)

. {2}/demo.env
curl -H "Authorization: Bearer $DEPLOYER_TOKEN" -H "Content-Type: application/json" \
  -H "Accept: application/json, text/event-stream" -H "MCP-Protocol-Version: 2026-07-28" \
  -H "Mcp-Method: tools/call" -H "Mcp-Name: execute_workflow" {0}{1} \
  -d '{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"execute_workflow","arguments":{{"name":"hello"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}'

The same in the older form (MCP 2025-11-25)

curl -H "Authorization: Bearer $DEPLOYER_TOKEN" -H "Content-Type: application/json" \
  -H "Accept: application/json, text/event-stream" -H "MCP-Protocol-Version: 2025-11-25" {0}{1} \
  -d '{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"execute_workflow","arguments":{{"name":"hello"}}}}}}'

The same as viewer: refused with 403 and a challenge that names the missing scope

curl -i -H "Authorization: Bearer $VIEWER_TOKEN" -H "Content-Type: application/json" \
  -H "Accept: application/json, text/event-stream" -H "MCP-Protocol-Version: 2025-11-25" {0}{1} \
  -d '{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"execute_workflow","arguments":{{"name":"hello"}}}}}}'
)",
                     config.public_url, config.mcp_path, config.data_dir);
}

std::string after_part(const Config& config, const DemoIssuer& issuer) {
  return fmt::format(R"(Who did what, and is the record of it whole?

build/release/kubiya-mcp audit list --data-dir {0}
build/release/kubiya-mcp audit verify --data-dir {0}

A fresh token (one hour)

curl {1}/token -d grant_type=client_credentials -d client_id=deployer \
  -d client_secret={2}
)",
                     config.data_dir, issuer.url(), issuer.users().front().client_secret.reveal());
}

}  // namespace

std::string demo_screen(const Config& config, const DemoIssuer& issuer, const DemoTokens& tokens) {
  const std::string rule = "\n" + std::string(72, '-') + "\n\n";
  return rule +
         fmt::format("kubiya-mcp demonstration: {}{}\nissuer: {}\n\n", config.public_url,
                     config.mcp_path, issuer.url()) +
         users_part(issuer) +
         fmt::format("\nTokens (8 hours) are in {}/demo.env. They are for this machine only.\n",
                     config.data_dir) +
         rule + seed_part(config, tokens.deployer) + rule + call_part(config) + rule +
         after_part(config, issuer) + rule + "Serving until Ctrl-C.\n\n";
}

}  // namespace kubiya::app
