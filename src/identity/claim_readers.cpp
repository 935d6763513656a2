// SPDX-License-Identifier: Apache-2.0
#include "identity/claim_readers.h"

#include <algorithm>

#include "base/encoding.h"
#include "crypto/digest.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kShownBytes = 128;
constexpr std::size_t kScopeNames = 64;
constexpr std::size_t kScopeBytes = 2048;
constexpr std::size_t kKeyBytes = 1024;

// RFC 6749 §3.3: %x21 / %x23-5B / %x5D-7E.
bool is_scope_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '\\';
  });
}

// "a b c": exactly one space between names. The empty string holds no names.
Checked<Scopes> scopes_from(std::string_view text, const std::string& claim) {
  std::vector<std::string> names;
  if (text.size() > kScopeBytes) return fail(Reason::bad_claim, claim);
  const auto spaces = static_cast<std::size_t>(std::count(text.begin(), text.end(), ' '));
  names.reserve(std::min(spaces + 1, kScopeNames));
  while (!text.empty()) {
    const auto space = text.find(' ');
    const std::string_view name = text.substr(0, space);
    const bool last = space == text.npos;
    text.remove_prefix(last ? text.size() : space + 1);
    if (!is_scope_name(name) || (!last && text.empty()) || names.size() == kScopeNames) {
      return fail(Reason::bad_claim, claim);
    }
    names.emplace_back(name);
  }
  return Scopes(std::move(names));
}

Checked<Scopes> scopes_from(const json::array& list, const std::string& claim) {
  std::vector<std::string> names;
  std::size_t bytes = 0;
  if (list.size() > kScopeNames) return fail(Reason::bad_claim, claim);
  for (const json::value& item : list) {
    if (!item.is_string()) return fail(Reason::bad_claim, claim);
    const std::string_view name = view(item.get_string());
    bytes += name.size();
    if (bytes > kScopeBytes) return fail(Reason::bad_claim, claim);
    if (is_scope_name(name)) names.emplace_back(name);
  }
  return Scopes(std::move(names));
}

Checked<Scopes> scopes_from(const json::value& value, const std::string& claim) {
  if (const auto* text = value.if_string()) return scopes_from(view(*text), claim);
  if (const auto* list = value.if_array()) return scopes_from(*list, claim);
  return fail(Reason::bad_claim, claim);
}

// What a header or an environment variable can carry unchanged.
bool is_key_text(std::string_view text) {
  return !text.empty() && text.size() <= kKeyBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

const json::value* find_claim(const json::object& claims, std::string_view path) {
  if (const json::value* whole = claims.if_contains(path)) return whole;
  const auto dot = path.find('.');
  if (dot == path.npos) return nullptr;
  const json::object* inner = find_object(claims, path.substr(0, dot));
  return inner == nullptr ? nullptr : find_claim(*inner, path.substr(dot + 1));
}

bool is_plain(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max && printable(text, text.size()) == text;
}

std::string shown_claim(const json::object& claims, std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    if (const auto text = find_string(claims, name)) return printable(*text, kShownBytes);
  }
  return {};
}

Checked<std::optional<double>> read_time(const json::object& claims, std::string_view name) {
  const json::value* value = find(claims, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_int64()) return static_cast<double>(value->get_int64());
  if (value->is_uint64()) return static_cast<double>(value->get_uint64());
  if (value->is_double()) return value->get_double();
  return fail(Reason::bad_claim, std::string(name));
}

Checked<Scopes> read_scopes(const json::object& claims, const TokenRules& rules) {
  std::optional<Scopes> first;
  std::optional<Scopes> second;              // of `scope` or `scp`, where another came first
  const Scopes* by_standard_name = nullptr;  // of `scope` or `scp`
  for (const std::string& path : rules.scope_claims) {
    const bool standard = path == "scope" || path == "scp";
    if (first && !standard) continue;
    const json::value* value = find_claim(claims, path);
    if (value == nullptr) continue;
    Scopes scopes = TRY(scopes_from(*value, path));
    if (standard && by_standard_name != nullptr && *by_standard_name != scopes) {
      return fail(Reason::bad_claim, "scope and scp differ");
    }
    std::optional<Scopes>& place = first ? second : first;
    place = std::move(scopes);
    if (standard) by_standard_name = &*place;
  }
  return std::move(first).value_or(Scopes());
}

Checked<FoundKey> read_api_key(const json::object& claims, const TokenRules& rules) {
  FoundKey found;
  for (const std::string& path : rules.key_claims) {
    const json::value* value = find_claim(claims, path);
    if (value == nullptr) continue;
    if (!value->is_string() || !is_key_text(view(value->get_string()))) {
      return fail(Reason::bad_claim, path);
    }
    const std::string_view key = view(value->get_string());
    if (!found.key) {
      found = {Secret(key), "claim:" + path};
    } else if (!crypto::equal_constant_time(found.key->reveal(), key)) {
      return fail(Reason::key_claims_disagree, path);
    }
  }
  return found;
}

}  // namespace kubiya::identity
