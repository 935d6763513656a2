// SPDX-License-Identifier: Apache-2.0
//
// Decides whether a principal may perform an operation. The answer is a Permit,
// which nobody else can make, or a refusal that names everything missing at once.
#pragma once

#include <string>
#include <vector>

#include "base/principal.h"
#include "base/result.h"
#include "base/scopes.h"
#include "policy/operation.h"

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
  // `required` is the server-wide minimum (--required-scopes) on top of each operation's own.
  explicit Policy(Scopes required) : required_(std::move(required)) {}
  // `operation` must outlive the permit. `principal` carries expanded scopes.
  tl::expected<Permit, Denied> decide(PrincipalPtr principal, const Operation& operation) const;
  // What the operation needs in all; for challenges.
  Scopes needed(const Operation& operation) const;
  const Scopes& required() const { return required_; }

 private:
  Scopes required_;
};

}  // namespace kubiya::policy
