// SPDX-License-Identifier: Apache-2.0
#include "identity/key_life.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/encoding.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kLabelsMax = 16;
constexpr std::size_t kNameBytes = 63;
constexpr std::size_t kValueBytes = 128;

void add_time(json::object& out, std::string_view name, std::int64_t ms) {
  if (ms != 0) out[name] = format_time(from_unix_ms(ms));
}

void add_text(json::object& out, std::string_view name, const std::string& text) {
  if (!text.empty()) out[name] = text;
}

bool is_label_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '/' || c == '-';
         });
}

}  // namespace

std::string_view to_string(KeyState state) {
  switch (state) {
    case KeyState::staged:
      return "staged";
    case KeyState::active:
      return "active";
    case KeyState::retiring:
      return "retiring";
    case KeyState::retired:
      return "retired";
    case KeyState::expired:
      return "expired";
    case KeyState::revoked:
      return "revoked";
  }
  return "unknown";
}

KeyState state_of(const store::KeyRow& key, std::int64_t now_ms) {
  if (key.revoked_ms != 0) return KeyState::revoked;
  if (key.retires_ms != 0 && key.retires_ms <= now_ms) return KeyState::retired;
  if (key.expires_ms != 0 && key.expires_ms <= now_ms) return KeyState::expired;
  if (key.retires_ms != 0) return KeyState::retiring;
  return !key.replaces.empty() && key.promoted_ms == 0 ? KeyState::staged : KeyState::active;
}

std::int64_t ends_ms(const store::KeyRow& key) {
  if (key.expires_ms == 0 || key.retires_ms == 0) return std::max(key.expires_ms, key.retires_ms);
  return std::min(key.expires_ms, key.retires_ms);
}

Scopes scopes_of(const store::KeyRow& key) {
  Scopes out;
  std::string_view text = key.scopes;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) out.add(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

json::object labels_of(const store::KeyRow& key) {
  auto parsed = parse_json(key.labels);
  return parsed && parsed->is_object() ? std::move(parsed->get_object()) : json::object{};
}

json::object describe(const store::KeyRow& key, std::int64_t now_ms) {
  json::array scopes;
  const Scopes held = scopes_of(key);
  for (const std::string& scope : held.names()) scopes.emplace_back(scope);
  json::object out{{"key_id", key.id},
                   {"ends_with", key.hint},
                   {"state", to_string(state_of(key, now_ms))},
                   {"tenant", key.tenant},
                   {"issuer", key.issuer},
                   {"owner", key.owner},
                   {"name", key.name},
                   {"scopes", std::move(scopes)},
                   {"labels", labels_of(key)},
                   {"made_by", key.made_by}};
  add_time(out, "created", key.created_ms);
  add_time(out, "expires", key.expires_ms);
  add_time(out, "last_used", key.last_used_ms);
  add_text(out, "replaces", key.replaces);
  add_time(out, "promoted", key.promoted_ms);
  add_time(out, "retires", key.retires_ms);
  add_time(out, "revoked", key.revoked_ms);
  add_text(out, "revoked_by", key.revoked_by);
  return out;
}

store::KeyRow successor_of(const store::KeyRow& old, std::int64_t now_ms,
                           std::optional<std::int64_t> expires_ms) {
  store::KeyRow row;
  row.tenant = old.tenant;
  row.issuer = old.issuer;
  row.owner = old.owner;
  row.name = old.name;
  row.scopes = old.scopes;
  row.labels = old.labels;
  row.replaces = old.id;
  row.created_ms = now_ms;
  row.expires_ms =
      expires_ms.value_or(old.expires_ms == 0 ? 0 : now_ms + old.expires_ms - old.created_ms);
  return row;
}

Result<> check_labels(const json::object& labels) {
  if (labels.size() > kLabelsMax) {
    return fail(Code::invalid, fmt::format("a key has at most {} labels", kLabelsMax));
  }
  for (const auto& label : labels) {
    const std::string_view name = label.key();
    if (!is_label_name(name)) {
      return fail(Code::invalid,
                  "the label " + printable(name, kNameBytes) +
                      " is not a name: allowed: 1 to 63 letters, digits and . _ / -");
    }
    const auto* value = label.value().if_string();
    if (value == nullptr || value->size() > kValueBytes ||
        printable(view(*value), 2 * kValueBytes) != view(*value)) {
      return fail(Code::invalid, "the value of the label " + std::string(name) +
                                     ": allowed: up to 128 bytes without control characters");
    }
  }
  return {};
}

}  // namespace kubiya::identity
