// SPDX-License-Identifier: Apache-2.0
//
// Decides whether a principal may perform an operation. The answer is a Permit,
// which nobody else can make, or a refusal that names everything missing at once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/principal.h"
#include "base/result.h"
#include "base/scopes.h"
#include "policy/operation.h"
#include "policy/tool_rule.h"

namespace kubiya::policy {

// Which presented scope grants which of ours. By default `workflows:read` and
// `read` mean the same, likewise write and execute, `workflows:manage` is write,
// and `admin` implies read, write and execute.
struct ScopeRules {
  struct Rule {
    std::string presented;
    std::vector<std::string> grants;
  };
  std::vector<Rule> rules;
  static ScopeRules defaults();
  // The closure of `presented` under the rules. Names without a rule stay.
  Scopes expand(const Scopes& presented) const;
};

enum class Refusal { insufficient_scope, no_api_key };

struct Denied {
  Refusal reason = Refusal::insufficient_scope;
  Scopes needed;  // everything the operation and the server ask for
  Scopes missing;
};

class Permit {
 public:
  const PrincipalPtr& principal() const { return principal_; }
  const Operation& operation() const { return *operation_; }
  bool is_admin() const { return principal_->facts().scopes.has("admin"); }

 private:
  friend class Policy;
  Permit(PrincipalPtr principal, const Operation& operation)
      : principal_(std::move(principal)), operation_(&operation) {}
  PrincipalPtr principal_;
  const Operation* operation_;
};

class Policy {
 public:
  // `required` is the server-wide minimum (--required-scopes) on top of each operation's own,
  // which `rules` may change or add to.
  explicit Policy(Scopes required, std::vector<ToolRule> rules = {})
      : required_(std::move(required)), rules_(std::move(rules)) {}
  // `operation` must outlive the permit. `principal` carries expanded scopes.
  tl::expected<Permit, Denied> decide(PrincipalPtr principal, const Operation& operation,
                                      const Asked& asked = {}) const;
  // The same for a permitted call of which more is known now. Nothing: it stays permitted.
  std::optional<Denied> decide_again(const Permit& permit, const Asked& asked) const;
  // Whether some call of the operation could be permitted: what a caller who may not does not
  // see is one question less.
  bool may_ever(const Principal& principal, const Operation& operation) const;
  // What the operation needs in all; for challenges.
  Scopes needed(const Operation& operation, const Asked& asked = {}) const;
  const Scopes& required() const { return required_; }
  const std::vector<ToolRule>& rules() const { return rules_; }
  // Every scope that a rule names.
  Scopes scopes() const;

 private:
  std::optional<Denied> refuse(const PrincipalFacts& caller, const Operation& operation,
                               const Asked& asked) const;
  Scopes required_;
  std::vector<ToolRule> rules_;
};

}  // namespace kubiya::policy
