// SPDX-License-Identifier: Apache-2.0
#include "app/config_issuers.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "app/config_secret.h"
#include "app/config_value.h"
#include "base/encoding.h"
#include "base/json.h"
#include "identity/preset.h"

namespace kubiya::app {
namespace {

constexpr std::string_view kSection = "auth.";
constexpr std::size_t kIssuersMax = 64;

std::string table_key(std::string_view item_key) {
  return std::string(kSection) + std::string(item_key == "url" ? "server" : item_key);
}

std::optional<std::string> scalar(const json::value& value) {
  if (value.is_string()) return std::string(view(value.get_string()));
  if (value.is_object() || value.is_array() || value.is_null()) return std::nullopt;
  return to_json(value);
}

std::optional<std::vector<std::string>> values_of(const json::value& value, const Key& key) {
  std::vector<std::string> values;
  if (key.shape == Key::Shape::list && value.is_array()) {
    for (const json::value& item : value.get_array()) {
      auto text = scalar(item);
      if (!text) return std::nullopt;
      values.push_back(std::move(*text));
    }
    return values;
  }
  const auto text = scalar(value);
  if (!text) return std::nullopt;
  return key.shape == Key::Shape::list ? split_list(*text) : std::vector<std::string>{*text};
}

std::vector<std::string> item_keys() {
  std::vector<std::string> names;
  for (const Key& key : config_table()) {
    if (key.name.starts_with(kSection)) names.push_back(issuer_key(key.name));
  }
  return names;
}

Result<> collect(const json::object& map, const std::string& prefix,
                 std::vector<IssuerSetting>& out) {
  for (const auto& [name, value] : map) {
    const std::string dotted = prefix + std::string(name);
    const Key* key = dotted == "server" ? nullptr : find_key(table_key(dotted));
    if (key == nullptr && value.is_object()) {
      TRY_VOID(collect(value.get_object(), dotted + ".", out));
      continue;
    }
    if (key == nullptr) {
      const std::string meant = closest(dotted, item_keys());
      return fail(Code::invalid, fmt::format("unknown key {}{}", printable(dotted),
                                             meant.empty() ? "" : "; did you mean " + meant + "?"));
    }
    auto values = values_of(value, *key);
    if (!values) return fail(Code::invalid, dotted + ": allowed: " + key->allowed);
    out.push_back({key, std::move(*values)});
  }
  return {};
}

Result<> set(Draft& draft, const IssuerSetting& setting) {
  const Key& key = *setting.key;
  const bool secret = key.shape == Key::Shape::secret;
  std::vector<std::string> values = setting.values;
  if (secret) {
    auto text = resolve_secret(values.front(), draft.config.allow_readable_files);
    if (!text) return fail(Code::invalid, issuer_key(key.name) + ": " + text.error().message);
    values.front() = std::move(*text);
  }
  if (const Result<> done = key.set(draft, values); !done) {
    const std::string shown = secret ? "the value" : "\"" + printable(join(values, " ")) + "\"";
    return fail(Code::invalid, fmt::format("{}: {} is not allowed; allowed: {}",
                                           issuer_key(key.name), shown, done.error().message));
  }
  return {};
}

json::value shown(const Key& key, Draft& draft) {
  const std::vector<std::string> values = key.get(draft);
  if (key.shape == Key::Shape::list) return json::array(values.begin(), values.end());
  if (key.shape == Key::Shape::toggle) return json::value(values.front() == "true");
  return json::value(values.front());
}

json::object item_of(const identity::IssuerOptions& issuer, const Config& config) {
  Draft one;
  one.config.allow_readable_files = config.allow_readable_files;
  one.issuer = issuer;
  json::object item;
  for (const Key& key : config_table()) {
    if (!key.name.starts_with(kSection)) continue;
    const std::string name = issuer_key(key.name);
    const std::size_t dot = name.find('.');
    json::object* section = &item;
    if (dot != name.npos) {
      json::value& child = item[name.substr(0, dot)];
      if (!child.is_object()) child.emplace_object();
      section = &child.get_object();
    }
    (*section)[name.substr(dot == name.npos ? 0 : dot + 1)] = shown(key, one);
  }
  return item;
}

}  // namespace

std::string issuer_key(std::string_view table_key) {
  if (table_key == "auth.server") return "url";
  return std::string(table_key.substr(kSection.size()));
}

bool is_before_preset(const Key& key) {
  return key.name == "auth.preset" || key.name == "auth.server" || key.name == "auth.client_id";
}

Result<> apply_issuer(Draft& draft, const std::vector<IssuerSetting>& settings) {
  for (const bool first : {true, false}) {
    for (const IssuerSetting& setting : settings) {
      if (is_before_preset(*setting.key) == first) TRY_VOID(set(draft, setting));
    }
    if (first) identity::apply_preset(draft.issuer);
  }
  return {};
}

Result<> read_issuers(Draft& draft, std::string_view json_text) {
  const auto parsed = parse_json(json_text);
  if (!parsed || !parsed->is_array() || parsed->get_array().size() > kIssuersMax) {
    return fail(Code::invalid, fmt::format(": allowed: a list of at most {} maps", kIssuersMax));
  }
  std::vector<identity::IssuerOptions> issuers;
  for (std::size_t i = 0; i < parsed->get_array().size(); ++i) {
    const auto in_item = [i](const Error& error) {
      return fail(error.code, fmt::format("[{}]: {}", i, error.message));
    };
    const json::object* map = parsed->get_array()[i].if_object();
    if (map == nullptr) return in_item({Code::invalid, "allowed: a map of keys", {}});
    std::vector<IssuerSetting> settings;
    Draft one = default_draft();
    one.config.allow_readable_files = draft.config.allow_readable_files;
    if (const auto read = collect(*map, "", settings); !read) return in_item(read.error());
    if (const auto done = apply_issuer(one, settings); !done) return in_item(done.error());
    issuers.push_back(std::move(one.issuer));
  }
  draft.issuers = std::move(issuers);
  return {};
}

std::string write_issuers(const Draft& draft) {
  json::array items;
  for (const auto& issuer : draft.issuers) items.push_back(item_of(issuer, draft.config));
  return to_json(json::value(std::move(items)));
}

bool issuers_hold_secret(std::string_view json_text) {
  const auto parsed = parse_json(json_text);
  if (!parsed || !parsed->is_array()) return false;
  for (const json::value& item : parsed->get_array()) {
    std::vector<IssuerSetting> settings;
    if (!item.is_object() || !collect(item.get_object(), "", settings)) continue;
    const bool literal =
        std::any_of(settings.begin(), settings.end(), [](const IssuerSetting& setting) {
          return setting.key->shape == Key::Shape::secret &&
                 !is_file_reference(setting.values.front());
        });
    if (literal) return true;
  }
  return false;
}

}  // namespace kubiya::app
