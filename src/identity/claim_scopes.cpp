// SPDX-License-Identifier: Apache-2.0
//
// Scopes out of a claim set: those it names, and those that its roles and groups stand for.
#include <algorithm>

#include "base/encoding.h"
#include "identity/claim_readers.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kScopeNames = 64;
constexpr std::size_t kScopeBytes = 2048;
constexpr std::size_t kGroups = 512, kGroupBytes = 256;

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

bool is_standard(std::string_view path) { return path == "scope" || path == "scp"; }

Checked<Scopes> read_first(const json::object& claims, const TokenRules& rules) {
  std::optional<Scopes> first;
  std::optional<Scopes> second;              // of `scope` or `scp`, where another came first
  const Scopes* by_standard_name = nullptr;  // of `scope` or `scp`
  for (const std::string& path : rules.scope_claims) {
    const bool standard = is_standard(path);
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

Checked<Scopes> read_together(const json::object& claims, const TokenRules& rules) {
  Scopes all;
  std::optional<Scopes> by_standard_name;
  for (const std::string& path : rules.scope_claims) {
    const json::value* value = find_claim(claims, path);
    if (value == nullptr) continue;
    const Scopes scopes = TRY(scopes_from(*value, path));
    if (is_standard(path) && by_standard_name && *by_standard_name != scopes) {
      return fail(Reason::bad_claim, "scope and scp differ");
    }
    if (is_standard(path)) by_standard_name = scopes;
    all = all.unite(scopes);
  }
  return all;
}

// Reads `email` as a name of a role only when the provider has seen that the address is the
// caller's.
bool may_grant(const json::object& claims, const std::string& path) {
  if (path != "email") return true;
  return find_bool(claims, "email_verified") == true && !shown_email(claims).empty();
}

void add_grants(Scopes& out, const std::vector<RoleGrant>& grants, std::string_view role) {
  for (const RoleGrant& grant : grants) {
    if (grant.role != role) continue;
    for (const std::string& scope : grant.scopes) out.add(scope);
  }
}

// Entra leaves the groups out of a token that would become too long and says so, as a
// distributed claim (OpenID Connect Core §5.6.2) or, in the implicit flow, as `hasgroups`.
bool is_left_out(const json::object& claims, const std::string& path) {
  const json::object* elsewhere = find_object(claims, "_claim_names");
  if (elsewhere != nullptr && elsewhere->contains(path)) return true;
  return path == "groups" && find_bool(claims, "hasgroups") == true;
}

}  // namespace

Checked<Scopes> read_scopes(const json::object& claims, const TokenRules& rules) {
  Scopes out =
      TRY(rules.all_scope_claims ? read_together(claims, rules) : read_first(claims, rules));
  if (rules.scope_map.empty()) return out;
  const Scopes named = out;
  for (const std::string& name : named.names()) add_grants(out, rules.scope_map, name);
  return out;
}

Checked<Scopes> read_role_grants(const json::object& claims, const TokenRules& rules) {
  Scopes out;
  if (rules.roles.empty()) return out;
  for (const std::string& path : rules.role_claims) {
    const json::value* value = find_claim(claims, path);
    if (value == nullptr) {
      if (rules.ignore_group_overage || !is_left_out(claims, path)) continue;
      return fail(Reason::group_overage, path);
    }
    if (!may_grant(claims, path)) continue;
    if (const auto* text = value->if_string()) {
      add_grants(out, rules.roles, view(*text));
      continue;
    }
    const json::array* list = value->if_array();
    if (list == nullptr) return fail(Reason::bad_claim, path);
    for (const json::value& item : *list) {
      if (!item.is_string()) return fail(Reason::bad_claim, path);
      add_grants(out, rules.roles, view(item.get_string()));
    }
  }
  return out;
}

// Whatever is no name makes nobody a member of anything, so it is no reason to refuse.
std::vector<std::string> read_groups(const json::object& claims, const TokenRules& rules) {
  std::vector<std::string> groups;
  const auto add = [&](const json::value& value) {
    if (!value.is_string() || groups.size() >= kGroups) return;
    const std::string_view name = view(value.get_string());
    if (!name.empty() && name.size() <= kGroupBytes) groups.emplace_back(name);
  };
  for (const std::string& path : rules.role_claims) {
    const json::value* value = find_claim(claims, path);
    if (value == nullptr || !may_grant(claims, path)) continue;
    add(*value);
    if (const json::array* list = value->if_array()) std::for_each(list->begin(), list->end(), add);
  }
  return groups;
}

}  // namespace kubiya::identity
