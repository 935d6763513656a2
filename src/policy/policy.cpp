// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.h"

namespace kubiya::policy {

ScopeRules ScopeRules::defaults() {
  return {{{"admin", {"read", "write", "execute"}},
           {"workflows:read", {"read"}},
           {"workflows:write", {"write"}},
           {"workflows:manage", {"write"}},
           {"workflows:execute", {"execute"}},
           {"workflows:admin", {"admin", "read", "write", "execute"}}}};
}

Scopes ScopeRules::expand(const Scopes& presented) const {
  Scopes out = presented;
  for (std::size_t before = 0; before != out.names().size();) {
    before = out.names().size();
    for (const auto& rule : rules) {
      if (!out.has(rule.presented)) continue;
      for (const auto& granted : rule.grants) out.add(granted);
    }
  }
  return out;
}

Scopes Policy::needed(const Operation& operation, const Asked& asked) const {
  Scopes own = operation.scopes;
  Scopes more;
  for (const ToolRule& rule : rules_) {
    if (rule.tool != operation.name || !applies(rule, asked)) continue;
    if (rule.scopes) own = *rule.scopes;
    more = more.unite(rule.needs);
  }
  return required_.unite(own).unite(more);
}

// Everything missing is told at once: a client that signs in again for one scope must not come
// back for the next.
std::optional<Denied> Policy::refuse(const PrincipalFacts& caller, const Operation& operation,
                                     const Asked& asked) const {
  const Scopes& held = caller.scopes;
  if (rules_.empty() && held.has_all(required_) && held.has_all(caller.required_scopes) &&
      held.has_all(operation.scopes)) {
    return std::nullopt;
  }
  const Scopes all = needed(operation, asked).unite(caller.required_scopes);
  if (held.has_all(all)) return std::nullopt;
  return Denied{Refusal::insufficient_scope, all, held.missing(all)};
}

tl::expected<Permit, Denied> Policy::decide(PrincipalPtr principal, const Operation& operation,
                                            const Asked& asked) const {
  if (auto denied = refuse(principal->facts(), operation, asked)) {
    return tl::unexpected(std::move(*denied));
  }
  if (operation.needs_api_key && !principal->facts().api_key) {
    return tl::unexpected(Denied{Refusal::no_api_key, needed(operation, asked), {}});
  }
  return Permit(std::move(principal), operation);
}

std::optional<Denied> Policy::decide_again(const Permit& permit, const Asked& asked) const {
  if (rules_.empty()) return std::nullopt;
  return refuse(permit.principal()->facts(), permit.operation(), asked);
}

bool Policy::may_ever(const Principal& principal, const Operation& operation) const {
  const Scopes& held = principal.facts().scopes;
  if (!held.has_all(required_) || !held.has_all(principal.facts().required_scopes)) return false;
  const Scopes* own = &operation.scopes;
  bool any = false;
  for (const ToolRule& rule : rules_) {
    if (rule.tool != operation.name) continue;
    const bool always = is_unconditional(rule);
    if (always && !held.has_all(rule.needs)) return false;
    if (rule.scopes && always) own = &*rule.scopes;
    any = any || (rule.scopes && !always && held.has_all(*rule.scopes));
  }
  return any || held.has_all(*own);
}

Scopes Policy::scopes() const {
  Scopes all;
  for (const ToolRule& rule : rules_) {
    all = all.unite(rule.needs);
    if (rule.scopes) all = all.unite(*rule.scopes);
  }
  return all;
}

}  // namespace kubiya::policy
