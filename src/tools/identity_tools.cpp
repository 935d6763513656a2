// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "tools/families.h"
#include "tools/view.h"

namespace kubiya::tools {
namespace {

constexpr std::string_view kWhoamiOutput = R"({
  "type": "object",
  "properties": {
    "server": {"type": "string"},
    "tenant": {"type": "string"},
    "issuer": {"type": "string"},
    "subject": {"type": "string"},
    "name": {"type": "string"},
    "email": {"type": "string"},
    "client": {"type": "string"},
    "scopes": {"type": "array", "items": {"type": "string"}},
    "credential": {"enum": ["token", "api_key", "shared_key"]},
    "api_key": {
      "type": "object",
      "properties": {
        "found": {"type": "boolean"},
        "source": {"type": "string"},
        "fingerprint": {"type": "string"}
      },
      "required": ["found"],
      "additionalProperties": false
    },
    "expires_at": {"type": ["string", "null"]}
  },
  "required": ["server", "tenant", "issuer", "subject", "scopes", "credential", "api_key"],
  "additionalProperties": false
})";

std::string_view word(CredentialKind kind) {
  switch (kind) {
    case CredentialKind::token:
      return "token";
    case CredentialKind::api_key:
      return "api_key";
    case CredentialKind::shared_key:
      return "shared_key";
  }
  return "token";
}

ToolResult who(const PrincipalFacts& facts, const std::string& server) {
  ToolResult result;
  json::object& out = result.structured;
  out.reserve(11);
  out["server"] = server;
  out["tenant"] = facts.tenant;
  out["issuer"] = facts.issuer;
  out["subject"] = facts.subject;
  if (!facts.display_name.empty()) out["name"] = facts.display_name;
  if (!facts.email.empty()) out["email"] = facts.email;
  if (!facts.client.empty()) out["client"] = facts.client;
  json::array scopes;
  for (const auto& name : facts.scopes.names()) scopes.emplace_back(name);
  out["scopes"] = std::move(scopes);
  out["credential"] = word(facts.kind);
  json::object key{{"found", facts.api_key.has_value()}};
  if (facts.api_key) {
    key["source"] = facts.api_key_source;
    key["fingerprint"] = facts.key_fingerprint;
  }
  out["api_key"] = std::move(key);
  out["expires_at"] = facts.expires_at == Wall::max() ? json::value(nullptr)
                                                      : time_value(unix_ms(facts.expires_at));
  const std::string scopes_text = facts.scopes.text();
  result.text = fmt::format("You are {} ({}) in tenant {}. Scopes: {}. Kubiya API key: {}.",
                            facts.display_name.empty() ? facts.subject : facts.display_name,
                            facts.subject, facts.tenant, scopes_text.empty() ? "none" : scopes_text,
                            facts.api_key ? "found in " + facts.api_key_source : "none");
  return result;
}

}  // namespace

Result<> add_identity_tools(Registry& registry, const Services& services) {
  ToolSpec spec;
  spec.operation = {"whoami", {"read"}, policy::Effect::reads, false};
  spec.title = "Who am I";
  spec.description =
      "Tells who this server takes you for: tenant, issuer, subject, scopes, and whether your own "
      "Kubiya API key was found and where. Shows no secret.";
  spec.input_schema = R"({"type":"object","additionalProperties":false})";
  spec.output_schema = kWhoamiOutput;
  spec.placement = Placement::loop;
  return registry.add(std::move(spec), [server = services.server_name](
                                           const Call& call, const audit::Ticket&, Done done) {
    done(who(call.permit.principal()->facts(), server));
  });
}

}  // namespace kubiya::tools
