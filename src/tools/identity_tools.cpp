// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

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
    "credential": {"enum": ["token", "client_token", "api_key", "shared_key"]},
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
    "expires_at": {"type": ["string", "null"]},
    "checks": {
      "type": "array",
      "items": {
        "type": "object",
        "properties": {"check": {"type": "string"}, "outcome": {"type": "string"}},
        "required": ["check", "outcome"],
        "additionalProperties": false
      }
    },
    "tools": {
      "type": "array",
      "items": {
        "type": "object",
        "properties": {
          "name": {"type": "string"},
          "allowed": {"type": "boolean"},
          "missing": {"type": "array", "items": {"type": "string"}}
        },
        "required": ["name", "allowed"],
        "additionalProperties": false
      }
    }
  },
  "required": ["server", "tenant", "issuer", "subject", "scopes", "credential", "api_key"],
  "additionalProperties": false
})";

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
  out.add("credential", to_string(facts.kind));
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

std::string listed(const Scopes& scopes) { return scopes.empty() ? "none" : scopes.text(); }

// How this server came to its view of the caller, in the order in which it looked. Whoever reads it
// was let in, so each check passed; no secret and no rule about anybody else is in it.
std::vector<std::pair<std::string_view, std::string>> checks(const PrincipalFacts& facts,
                                                             const Scopes& required) {
  const bool token =
      facts.kind == CredentialKind::token || facts.kind == CredentialKind::client_token;
  std::vector<std::pair<std::string_view, std::string>> out;
  if (token) {
    out.emplace_back("issuer", fmt::format("{} is an issuer of this server, and vouches for the "
                                           "token (its key signed it, or it was asked)",
                                           facts.issuer));
    out.emplace_back("audience", "the token was issued for this server");
    out.emplace_back("kind", facts.kind == CredentialKind::client_token
                                 ? "a client acts for itself; it is the principal"
                                 : "a person is behind it");
  } else {
    out.emplace_back("key", facts.kind == CredentialKind::shared_key
                                ? "the server's own key, for callers on its machine"
                                : "an API key of this server");
  }
  out.emplace_back("lifetime", facts.expires_at == Wall::max()
                                   ? std::string("it does not end by itself")
                                   : "good until " + format_time(facts.expires_at));
  out.emplace_back("subject", facts.subject);
  out.emplace_back("tenant", facts.tenant);
  out.emplace_back("scopes presented", listed(facts.token_scopes));
  out.emplace_back("Kubiya API key",
                   !facts.api_key ? std::string("none: tools that run workflows are refused")
                                  : fmt::format("found in {}, fingerprint {}", facts.api_key_source,
                                                facts.key_fingerprint));
  out.emplace_back(
      "scopes in force",
      listed(facts.scopes) + (facts.api_key && token ? " (no more than the key has)" : ""));
  out.emplace_back("scopes that every call needs", listed(required.unite(facts.required_scopes)));
  return out;
}

json::array strings(const std::vector<std::string>& words) {
  return json::array(words.begin(), words.end());
}

ToolResult explained(const PrincipalFacts& facts, const Services& services,
                     const Registry& registry) {
  ToolResult result = who(facts, services.server_name);
  auto told = parse_json(result.structured);
  ASSERT(told && told->is_object(), "what who() writes is an object");
  json::object& out = told->get_object();
  json::array passed;
  for (const auto& [check, outcome] : checks(facts, services.policy.required())) {
    passed.push_back(json::object{{"check", check}, {"outcome", outcome}});
    result.text += fmt::format("\n- {}: {}", check, outcome);
  }
  out["checks"] = std::move(passed);
  json::array all;
  for (const auto& tool : registry.tools()) {
    const Scopes needed = services.policy.needed(tool->operation()).unite(facts.required_scopes);
    const Scopes missing = facts.scopes.missing(needed);
    const bool no_key = tool->operation().needs_api_key && !facts.api_key;
    json::object one{{"name", tool->name()}, {"allowed", missing.empty() && !no_key}};
    if (!missing.empty()) one["missing"] = strings(missing.names());
    all.push_back(std::move(one));
    if (missing.empty() && !no_key) continue;
    result.text += fmt::format("\n- {} is refused: {}", tool->name(),
                               missing.empty() ? std::string("you have no Kubiya API key")
                                               : "it needs " + missing.text() + " as well");
  }
  out["tools"] = std::move(all);
  result.structured = to_json(out);
  return result;
}

}  // namespace

Result<> add_identity_tools(Registry& registry, const Services& services) {
  ToolSpec spec;
  spec.operation = {"whoami", {"read"}, policy::Effect::reads, false};
  spec.title = "Who am I";
  spec.description =
      "Tells who this server takes you for: tenant, issuer, subject, scopes, and whether your own "
      "Kubiya API key was found and where. With `explain` also how it came to that, and which "
      "tools "
      "you may use or what you lack for them. Shows no secret.";
  spec.input_schema =
      R"({"type":"object","properties":{"explain":{"type":"boolean","description":"Say why, too"}},"additionalProperties":false})";
  spec.output_schema = kWhoamiOutput;
  spec.placement = Placement::loop;
  return registry.add(std::move(spec),
                      [services, &registry](const Call& call, const audit::Ticket&, Done done) {
                        const PrincipalFacts& facts = call.permit.principal()->facts();
                        if (find_bool(call.arguments, "explain").value_or(false)) {
                          return done(explained(facts, services, registry));
                        }
                        done(who(facts, services.server_name));
                      });
}

}  // namespace kubiya::tools
