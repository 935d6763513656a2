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

Scopes Policy::needed(const Operation& operation) const {
  return required_.unite(operation.scopes);
}

tl::expected<Permit, Denied> Policy::decide(PrincipalPtr principal,
                                            const Operation& operation) const {
  const PrincipalFacts& caller = principal->facts();
  const Scopes& held = caller.scopes;
  if (!held.has_all(required_) || !held.has_all(caller.required_scopes) ||
      !held.has_all(operation.scopes)) {
    const Scopes all = needed(operation).unite(caller.required_scopes);
    return tl::unexpected(Denied{Refusal::insufficient_scope, all, held.missing(all)});
  }
  if (operation.needs_api_key && !principal->facts().api_key) {
    return tl::unexpected(Denied{Refusal::no_api_key, needed(operation), {}});
  }
  return Permit(std::move(principal), operation);
}

}  // namespace kubiya::policy
