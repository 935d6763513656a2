// SPDX-License-Identifier: Apache-2.0
//
// The table, shown: effective values, the reference page, the flags of `serve`.
#include "app/config_table.h"
#include "app/config_value.h"
#include "base/yaml.h"

namespace kubiya::app {
namespace {

json::value shown_value(const Key& key, Draft& draft) {
  const std::vector<std::string> values = key.get(draft);
  if (key.shape == Key::Shape::list) return json::array(values.begin(), values.end());
  if (key.shape == Key::Shape::toggle) return json::value(values.front() == "true");
  if (key.shape == Key::Shape::items) return parse_json(values.front()).value();
  if (key.type == "number") return json::value(std::stoll(values.front()));
  return json::value(values.front());
}

json::object& section_of(json::object& root, std::string_view name, std::string_view& leaf) {
  json::object* section = &root;
  std::size_t dot = name.find('.');
  while (dot != name.npos) {
    json::value& child = (*section)[name.substr(0, dot)];
    if (!child.is_object()) child.emplace_object();
    section = &child.get_object();
    name.remove_prefix(dot + 1);
    dot = name.find('.');
  }
  leaf = name;
  return *section;
}

constexpr std::string_view kPageHead = R"(# Configuration

<!-- Generated: kubiya-mcp config docs > docs/configuration.md -->

A value comes from, later ones winning: the default · the file given with `--config` · the environment ·
the flags. `kubiya-mcp config check` says whether a configuration would start, `kubiya-mcp config print` shows
every effective value, secrets masked. An unknown key, a duplicate key, a value out of range or a dangerous
combination stops the start with one line that says which and what is allowed.

- **File.** YAML; the dots of a key are nested maps:

  ```yaml
  public_url: https://mcp.example.com
  required_scopes: [read]
  server:
    port: 8443
    tls_cert: /etc/kubiya-mcp/cert.pem
    tls_key: /etc/kubiya-mcp/key.pem
  auth:
    server: https://login.example.com
    type: oidc
  ```

- **Environment.** `KUBIYA_` and the key in capitals, dots as underscores: `KUBIYA_SERVER_PORT`. Two have a
  second name, given below. An empty variable counts as unset. A variable that starts like a section
  (`KUBIYA_SERVER_…`) and is no key stops the start, because it is a typing error; other `KUBIYA_` variables are
  not ours and are left alone.
- **Lists** are YAML lists, or items separated by commas or spaces; a flag may also be repeated.
- **Secrets** may be written `${file:/path}`, or `${credential:NAME}` for a credential that systemd
  loads (`LoadCredential=NAME:/path`). A key file, or a configuration file with a secret in it, that
  group or others can read stops the start, unless `allow_readable_files` is set (the log then says so). A
  configuration file that everybody can write stops it in any case. A proxy URL with user or password is a secret.
- **Sizes** are bytes or carry KiB, MiB or GiB. **Durations** carry ms, s, m, h or d.
- **Audience.** Without `auth.audience` a token must be issued for the address of the MCP endpoint
  (`public_url` + `mcp_path`) or for `public_url` itself; nothing else is accepted.
- **API-key mode and issuers.** Without `auth.server` or `issuers` callers present Kubiya API keys. With them they
  present tokens, and `identity.shared_key` is ignored (the log says so): no default may stand in for a person.
- **Several issuers.** `issuers` is a list of maps with the keys of `auth`, where `url` stands for `auth.server`;
  use one or the other. The `iss` of a token picks the issuer, byte for byte; each has its own keys, audiences,
  claims, tenants and required scopes. The same `sub` at two issuers is two people. The protected-resource document
  lists all of them in order; `/.well-known/oauth-authorization-server` shows the metadata of the first. The server
  is ready when one of them is. As a variable or a flag the list is one JSON text.

  ```yaml
  issuers:
    - name: staff
      url: https://staff.eu.auth0.com/
      preset: auth0
    - name: partners
      url: https://login.partner.example/realms/main
      preset: keycloak
      tenant: partners
      required_scopes: [read]
  ```

- **Presets.** `preset` fills the other keys of an issuer with what its provider's tokens look like; what is
  configured besides wins. [providers/](providers/) says for each what to click, what to paste, what goes wrong.
- **Tenants.** `tenant_rule` `fixed` gives all callers of an issuer the same `tenant`, `issuer` gives them one called
  like the issuer's `name`, `claim` takes it from `tenant_claim`, where `tenants` lists the accepted ones. With
  several issuers a claim needs that list: no issuer may name another's tenant.
- **Roles and groups.** The names in `scope_claims` are scopes; `scope_map` of an issuer says what names of its own
  grant, `identity.scope_map` what names of all issuers and keys do. Those in `role_claims` grant what `role_map` says
  (`Platform Team=read+execute`) and nothing else; `email` counts only with `email_verified: true`.
- **Rules.** Each operation has a scope of its own. `policy.rules` changes that: `needs` adds scopes, `scopes` stands
  instead of the tool's own. A rule is about one `tool`, about all workflows or those that `workflow` names (`*` for any
  characters), and about all arguments or those with the values of `when`, or without those of `unless`. Params are
  judged as the run will have them, defaults included. What resources show is under `read`, whatever rules say of tools. Name what is harmless (`unless`) rather than what is not: a
  value that nobody thought of then needs the scope. A refusal names everything that is missing at once. `admin` does not
  include scopes that rules invent; `identity.scope_map: ["admin=execute:production"]` gives them.

  ```yaml
  policy:
    rules:
      - tool: execute_workflow
        workflow: deploy-*
        unless: {params.env: [dev, staging]}
        needs: ["execute:production"]
      - tool: delete_workflow
        scopes: [write]
  ```

- **Token exchange.** With `token_exchange` steps may ask for tokens for other services on the caller's behalf
  (RFC 8693): [token-exchange.md](token-exchange.md).
- **Opaque tokens.** With `tokens: opaque` the issuer is asked about each token (RFC 7662) and answers count for
  `introspection.cache_time`. One issuer at most can have it, because such a token does not say whose it is.

)";

std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string default_cell(const Key& key, Draft& defaults) {
  const std::string text = join(key.get(defaults), ", ");
  return text.empty() ? "–" : "`" + cell(text) + "`";
}

// What stands for the value of a flag in a help text.
std::string placeholder(const Key& key) {
  if (key.type == "choice") {
    std::string words = key.allowed;
    std::erase(words, ' ');
    return words;
  }
  return key.shape == Key::Shape::list ? "NAME" : key.type == "number" ? "NUMBER" : "TEXT";
}

std::string heading_of(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == name.npos ? "General" : "`" + name.substr(0, dot) + "`";
}

}  // namespace

std::string print_config(const Config& config) {
  const bool listed = config.issuers_listed;
  const bool single = !listed && !config.issuers.empty();
  Draft draft{config, single ? config.issuers.front() : default_draft().issuer,
              listed ? config.issuers : std::vector<identity::IssuerOptions>()};
  json::object root;
  for (const Key& key : config_table()) {
    // Without an issuer these have no meaning, and a file that sets them would not start.
    if (!single && key.name.starts_with("auth.")) continue;
    if (!listed && key.name == "issuers") continue;
    std::string_view leaf;
    json::object& section = section_of(root, key.name, leaf);
    section[leaf] = shown_value(key, draft);
  }
  return to_yaml(root);
}

std::string configuration_page() {
  std::string page(kPageHead);
  Draft defaults = default_draft();
  std::string heading;
  for (const Key& key : config_table()) {
    if (heading_of(key.name) != heading) {
      heading = heading_of(key.name);
      if (!page.ends_with("\n\n")) page += "\n";
      page += "## " + heading +
              "\n\n| key | default | flag | meaning | allowed |\n|---|---|---|---|---|\n";
    }
    std::string meaning = key.description;
    if (!key.alias.empty()) meaning += " Also `" + key.alias + "`.";
    page += "| `" + key.name + "` | " + default_cell(key, defaults) + " | " +
            (key.flag.empty() ? "" : "`" + key.flag + "`") + " | " + cell(meaning) + " | " +
            cell(key.allowed) + " |\n";
  }
  return page;
}

const std::vector<FlagSpelling>& serve_flags() {
  static const std::vector<FlagSpelling> flags = [] {
    std::vector<FlagSpelling> spellings;
    Draft defaults = default_draft();
    for (const Key& key : config_table()) {
      if (key.flag.empty()) continue;
      const bool list = key.shape == Key::Shape::list;
      spellings.push_back({key.flag, key.name, key.description, placeholder(key),
                           join(key.get(defaults), " "), list, key.shape == Key::Shape::toggle});
    }
    return spellings;
  }();
  return flags;
}

}  // namespace kubiya::app
