// SPDX-License-Identifier: Apache-2.0
#include "app/config.h"

#include <algorithm>
#include <optional>

#include "app/config_files.h"
#include "app/config_issuers.h"
#include "app/config_secret.h"
#include "app/config_table.h"
#include "app/config_value.h"
#include "base/encoding.h"
#include "base/json.h"
#include "base/yaml.h"
#include "identity/preset.h"

namespace kubiya::app {
namespace {

constexpr std::size_t kFileMax = 256 * 1024;

using Values = std::vector<std::string>;

// One key as one source gives it.
struct Setting {
  const Key* key = nullptr;
  Values values;
  std::string where;  // "config.yaml line 3", "KUBIYA_SERVER_PORT", "--port"
};

Values key_names() {
  Values names;
  for (const Key& key : config_table()) names.push_back(key.name);
  return names;
}

std::string suggestion(std::string_view meant) {
  return meant.empty() ? std::string() : "; did you mean " + std::string(meant) + "?";
}

// ---- the file

bool starts_section(std::string_view line, std::string_view name) {
  if (line.starts_with('"') || line.starts_with('\'')) line.remove_prefix(1);
  if (!line.starts_with(name)) return false;
  line.remove_prefix(name.size());
  if (line.starts_with('"') || line.starts_with('\'')) line.remove_prefix(1);
  return trim(line).starts_with(':');
}

// Where a dotted key stands in block-style YAML; nothing when the style hides it.
std::optional<std::size_t> line_of(std::string_view text, std::string_view dotted) {
  std::optional<std::size_t> indent;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t start = line.find_first_not_of(' ');
    if (start == line.npos || line[start] == '#') continue;
    if (indent && start <= *indent) return std::nullopt;  // left the section
    const std::size_t dot = std::min(dotted.find('.'), dotted.size());
    if (!starts_section(line.substr(start), dotted.substr(0, dot))) continue;
    if (!indent && start != 0) continue;
    if (dot == dotted.size()) return number;
    dotted.remove_prefix(dot + 1);
    indent = start;
  }
  return std::nullopt;
}

struct File {
  const std::string& path;
  std::string_view text;
  std::string place(std::string_view key) const {
    const std::optional<std::size_t> line = line_of(text, key);
    return line ? path + " line " + std::to_string(*line) : path;
  }
};

std::optional<std::string> scalar(const json::value& value) {
  if (value.is_string()) return std::string(view(value.get_string()));
  if (value.is_object() || value.is_array() || value.is_null()) return std::nullopt;
  return to_json(value);
}

std::optional<Values> values_of(const json::value& value, const Key& key) {
  if (key.shape == Key::Shape::items) return Values{to_json(value)};
  if (key.shape == Key::Shape::list && value.is_array()) {
    Values values;
    for (const json::value& item : value.get_array()) {
      const std::optional<std::string> text = scalar(item);
      if (!text) return std::nullopt;
      values.push_back(*text);
    }
    return values;
  }
  const std::optional<std::string> text = scalar(value);
  if (!text) return std::nullopt;
  return key.shape == Key::Shape::list ? split_list(*text) : Values{*text};
}

Result<> read_section(const File& file, const std::string& prefix, const json::object& section,
                      std::vector<Setting>& out) {
  for (const auto& [name, value] : section) {
    const std::string dotted = prefix + std::string(name);
    const Key* key = find_key(dotted);
    if (key == nullptr && value.is_object()) {
      TRY_VOID(read_section(file, dotted + ".", value.get_object(), out));
      continue;
    }
    if (key == nullptr) {
      return fail(Code::invalid, file.place(dotted) + ": unknown key " + printable(dotted) +
                                     suggestion(closest(dotted, key_names())));
    }
    std::optional<Values> values = values_of(value, *key);
    if (!values) {
      return fail(Code::invalid, file.place(dotted) + ": " + dotted + ": allowed: " + key->allowed);
    }
    out.push_back({key, std::move(*values), file.place(dotted)});
  }
  return {};
}

Result<std::vector<Setting>> read_settings(const std::string& path) {
  const std::string text = TRY(read_file(path, kFileMax));
  std::vector<Setting> settings;
  if (trim(text).empty()) return settings;
  const Result<json::value> document = parse_yaml(text);
  if (!document) return fail(Code::invalid, path + ": " + document.error().message);
  if (document->is_null()) return settings;
  if (!document->is_object()) return fail(Code::invalid, path + ": not a map of keys");
  TRY_VOID(read_section({path, text}, "", document->get_object(), settings));
  return settings;
}

// ---- the environment

// "SERVER_" for every section of the table: where a variable of that form must be a key.
Values section_prefixes() {
  Values prefixes;
  for (const Key& key : config_table()) {
    const std::size_t dot = key.name.find('.');
    if (dot == key.name.npos) continue;
    const std::string prefix = environment_name(key.name.substr(0, dot)) + "_";
    if (std::find(prefixes.begin(), prefixes.end(), prefix) == prefixes.end()) {
      prefixes.push_back(prefix);
    }
  }
  return prefixes;
}

Result<std::vector<Setting>> read_environment(
    const std::vector<std::pair<std::string, std::string>>& environment) {
  std::vector<Setting> settings;
  const Values prefixes = section_prefixes();
  for (const auto& [name, value] : environment) {
    Values names;
    const Key* found = nullptr;
    for (const Key& key : config_table()) {
      names.push_back(environment_name(key.name));
      if (name == names.back() || name == key.alias) found = &key;
    }
    if (found != nullptr) {
      if (value.empty()) continue;  // the usual way to unset a variable in a unit file
      const bool list = found->shape == Key::Shape::list;
      settings.push_back({found, list ? split_list(value) : Values{value}, name});
      continue;
    }
    const bool typo = std::any_of(prefixes.begin(), prefixes.end(),
                                  [&, &n = name](auto& prefix) { return n.starts_with(prefix); });
    if (typo) {
      return fail(Code::invalid, "environment: unknown variable " + printable(name) +
                                     suggestion(closest(name, names)));
    }
  }
  return settings;
}

// ---- the flags

Result<std::vector<Setting>> read_flags(
    const std::vector<std::pair<std::string, std::string>>& flags) {
  std::vector<Setting> settings;
  for (const auto& [name, value] : flags) {
    const Key* key = find_key(name);
    if (key == nullptr) {
      return fail(Code::invalid,
                  "unknown key " + printable(name) + suggestion(closest(name, key_names())));
    }
    const std::string where = key->flag.empty() ? key->name : key->flag;
    if (key->shape != Key::Shape::list) {
      settings.push_back({key, {value}, where});
      continue;
    }
    const auto earlier = std::find_if(settings.begin(), settings.end(),
                                      [&](const Setting& s) { return s.key == key; });
    const Values items = split_list(value);
    if (earlier == settings.end()) {
      settings.push_back({key, items, where});
    } else {
      earlier->values.insert(earlier->values.end(), items.begin(), items.end());
    }
  }
  return settings;
}

// ---- merging

// What the value of a setting is: where it stands, which key it is of, what is wrong with it.
tl::unexpected<Error> refuse(const Setting& setting, const std::string& why) {
  return fail(Code::invalid, setting.where + ": " + setting.key->name + ": " + why);
}

bool holds_secret(const Setting& setting) {
  const Key& key = *setting.key;
  if (key.name == "issuers") return issuers_hold_secret(setting.values.front());
  return key.shape == Key::Shape::secret &&
         (!key.if_secret || key.if_secret(setting.values.front())) &&
         !is_file_reference(setting.values.front());
}

Result<> apply(Draft& draft, const Setting& setting) {
  const bool secret = setting.key->shape == Key::Shape::secret;
  Values values = setting.values;
  if (secret) {
    auto text = resolve_secret(values.front(), draft.config.allow_readable_files);
    if (!text) return refuse(setting, text.error().message);
    values.front() = std::move(*text);
  }
  const Result<> set = setting.key->set(draft, values);
  if (set) return {};
  if (setting.key->shape == Key::Shape::items) {
    return fail(Code::invalid, setting.where + ": " + setting.key->name + set.error().message);
  }
  const std::string shown = secret ? "the value" : "\"" + printable(join(values, " ")) + "\"";
  return refuse(setting, shown + " is not allowed; allowed: " + set.error().message);
}

Result<> check_file_mode(const std::string& path, const std::vector<Setting>& settings,
                         bool allow_readable) {
  const bool has_secret = std::any_of(settings.begin(), settings.end(),
                                      [](const Setting& s) { return holds_secret(s); });
  if (has_secret) TRY_VOID(check_private(path, allow_readable));
  if (TRY(writable_by_all(path))) {
    return fail(Code::invalid, path + ": everybody can write it; run chmod o-w");
  }
  return {};
}

// Keys of an issuer without an issuer would leave the server in API-key mode unnoticed.
Result<> check_auth_keys(const Draft& draft, const std::vector<Setting>& settings) {
  if (!draft.issuer.url.empty()) return {};
  for (const Setting& setting : settings) {
    if (setting.key->name.starts_with("auth.") && setting.key->name != "auth.server") {
      return fail(Code::invalid,
                  setting.where + ": " + setting.key->name + " has no meaning without auth.server");
    }
  }
  return {};
}

}  // namespace

Result<Config> load_config(const Sources& sources) {
  std::vector<Setting> settings;
  if (sources.file) settings = TRY(read_settings(*sources.file));
  const std::vector<Setting> of_file = settings;
  for (Setting& setting : TRY(read_environment(sources.environment))) {
    settings.push_back(std::move(setting));
  }
  for (Setting& setting : TRY(read_flags(sources.flags))) settings.push_back(std::move(setting));

  Draft draft = default_draft();
  // First, because it decides how the others are read.
  for (const Setting& setting : settings) {
    if (setting.key->name == "allow_readable_files") TRY_VOID(apply(draft, setting));
  }
  if (sources.file) {
    TRY_VOID(check_file_mode(*sources.file, of_file, draft.config.allow_readable_files));
  }
  // A preset stands behind what it depends on and before all else.
  for (const bool first : {true, false}) {
    for (const Setting& setting : settings) {
      if (is_before_preset(*setting.key) == first) TRY_VOID(apply(draft, setting));
    }
    if (first) identity::apply_preset(draft.issuer);
  }
  TRY_VOID(check_auth_keys(draft, settings));
  return complete(std::move(draft));
}

}  // namespace kubiya::app
