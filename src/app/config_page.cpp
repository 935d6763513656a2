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
- **Secrets** may be written `${file:/path}`. A key file, or a configuration file with a secret in it, that
  group or others can read stops the start, unless `allow_readable_files` is set (the log then says so). A
  configuration file that everybody can write stops it in any case. A proxy URL with user or password is a secret.
- **Sizes** are bytes or carry KiB, MiB or GiB. **Durations** carry ms, s, m, h or d.
- **Audience.** Without `auth.audience` a token must be issued for the address of the MCP endpoint
  (`public_url` + `mcp_path`) or for `public_url` itself; nothing else is accepted.
- **API-key mode and issuers.** Without `auth.server` callers present Kubiya API keys. With it they present
  tokens of that issuer, and `identity.shared_key` is ignored (the log says so): no default may stand in for a person.

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
  Draft draft{config, config.issuers.empty() ? default_draft().issuer : config.issuers.front()};
  json::object root;
  for (const Key& key : config_table()) {
    // Without an issuer these have no meaning, and a file that sets them would not start.
    if (config.issuers.empty() && key.name.starts_with("auth.")) continue;
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
