// SPDX-License-Identifier: Apache-2.0
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

void append_list(std::string& out, const std::vector<std::string>& words) {
  out += '[';
  for (const auto& word : words) {
    if (out.back() != '[') out += ',';
    append_json_string(out, word);
  }
  out += ']';
}

void append_key_facts(std::string& out, const PrincipalFacts& facts) {
  if (!facts.api_key) {
    out.append(R"({"found":false})");
    return;
  }
  out.append(R"({"found":true,"source":)");
  append_json_string(out, facts.api_key_source);
  out.append(R"(,"fingerprint":)");
  append_json_string(out, facts.key_fingerprint);
  out += '}';
}

std::string sentence(const PrincipalFacts& facts) {
  std::string out;
  out.reserve(256);
  out.append("You are ").append(facts.display_name.empty() ? facts.subject : facts.display_name);
  out.append(" (").append(facts.subject).append(") in tenant ").append(facts.tenant);
  out.append(". Scopes:");
  for (const auto& scope : facts.scopes.names()) out.append(" ").append(scope);
  if (facts.scopes.names().empty()) out.append(" none");
  out.append(". Kubiya API key: ");
  if (facts.api_key) return out.append("found in ").append(facts.api_key_source).append(".");
  return out.append("none.");
}

// The most called tool of all, and the only one that touches no disk: written in one pass.
ToolResult who(const PrincipalFacts& facts, const std::string& server) {
  JsonObjectWriter out(512);
  out.add("server", server).add("tenant", facts.tenant).add("issuer", facts.issuer);
  out.add("subject", facts.subject);
  if (!facts.display_name.empty()) out.add("name", facts.display_name);
  if (!facts.email.empty()) out.add("email", facts.email);
  if (!facts.client.empty()) out.add("client", facts.client);
  append_list(out.member("scopes"), facts.scopes.names());
  out.add("credential", word(facts.kind));
  append_key_facts(out.member("api_key"), facts);
  if (facts.expires_at == Wall::max()) {
    out.add_json("expires_at", "null");
  } else {
    out.add("expires_at", format_time(facts.expires_at));
  }
  ToolResult result;
  result.structured = out.take();
  result.text = sentence(facts);
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
