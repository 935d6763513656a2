// SPDX-License-Identifier: Apache-2.0
#include "app/explanation.h"

#include <array>

#include <fmt/format.h>

#include "base/json.h"
#include "identity/advice.h"
#include "identity/metadata.h"

namespace kubiya::app {
namespace {

using identity::Explanation;
using identity::Outcome;
using policy::Policy;

constexpr std::array<std::string_view, 4> kOperations{"read", "write", "execute", "admin"};

// What the policy says of an operation that needs exactly `scopes`.
Scopes missing(const PrincipalPtr& principal, const Policy& policy, Scopes scopes) {
  const policy::Operation operation{"", std::move(scopes), policy::Effect::reads, false};
  const auto decided = policy.decide(principal, operation);
  return decided ? Scopes() : decided.error().missing;
}

std::string shown(const Scopes& scopes) { return scopes.empty() ? "none" : scopes.text(); }

std::string when(const policy::ToolRule& rule) {
  std::string out;
  if (!rule.workflow.empty()) out += " of " + rule.workflow;
  for (const policy::Condition& one : rule.conditions) {
    out += fmt::format(" when {} is {}{}", one.path, one.negated ? "not " : "",
                       fmt::join(one.values, " or "));
  }
  return out;
}

Scopes needs_of(const policy::ToolRule& rule) {
  return rule.scopes ? rule.needs.unite(*rule.scopes) : rule.needs;
}

std::string checks_text(const identity::Trail& trail) {
  std::string out = "\nChecks, in order:\n";
  for (const auto& step : trail.steps()) {
    const std::string_view word = step.outcome == Outcome::passed   ? "passed"
                                  : step.outcome == Outcome::failed ? "FAILED"
                                                                    : "not reached";
    out += fmt::format("  {:<12} {:<16} {}\n", word, to_string(step.check), question(step.check));
    if (!step.detail.empty()) out += fmt::format("  {:<29} {}\n", "", step.detail);
  }
  return out;
}

std::string refused_text(const identity::Refused& refused) {
  const identity::Advice advice = identity::advice(refused.reason);
  std::string out =
      fmt::format("Refused: {}. The caller sees HTTP {}, \"{}\".\n", to_string(refused.reason),
                  identity::http_status(refused.reason), identity::public_message(refused.reason));
  out += fmt::format("  means: {}\n", advice.meaning);
  if (!refused.detail.empty()) out += fmt::format("  found: {}\n", refused.detail);
  out += fmt::format("  next:  {}\n", advice.next);
  if (!refused.claimed_issuer.empty() || !refused.claimed_subject.empty()) {
    out += fmt::format("  It says, unverified, that it is of {} at {}.\n", refused.claimed_subject,
                       refused.claimed_issuer);
  }
  return out;
}

std::string accepted_text(const PrincipalPtr& principal, const Policy& policy) {
  const PrincipalFacts& facts = principal->facts();
  std::string out = fmt::format("Accepted: {} in tenant {}.\n", facts.subject, facts.tenant);
  out += fmt::format("  issuer:     {}\n", facts.issuer);
  out += fmt::format("  presented:  {}\n", shown(facts.token_scopes));
  out += fmt::format("  effective:  {}\n", shown(facts.scopes));
  out += facts.api_key
             ? fmt::format("  Kubiya key: {}, fingerprint {}\n", facts.api_key_source,
                           facts.key_fingerprint)
             : fmt::format("  Kubiya key: none ({})\n", identity::advice_for("no_api_key").next);
  out += "\nWhat it may do:\n";
  const Scopes always = missing(principal, policy, {});
  if (!always.empty()) {
    out += fmt::format("  nothing: every request needs {}, and {} is missing.\n  next:  {}\n",
                       policy.required().unite(facts.required_scopes).text(), always.text(),
                       identity::advice_for("insufficient_scope").next);
  }
  for (const std::string_view name : kOperations) {
    const Scopes lacks = missing(principal, policy, {name});
    out += fmt::format("  {:<12} {}\n", name,
                       lacks.empty() ? "allowed" : "refused, missing: " + lacks.text());
  }
  for (const policy::ToolRule& rule : policy.rules()) {
    const Scopes lacks = facts.scopes.missing(needs_of(rule));
    out += fmt::format("  rule for {}{}: needs {}{}{}\n", rule.tool, when(rule),
                       shown(needs_of(rule)), lacks.empty() ? "" : ", missing: ", lacks.text());
  }
  return out;
}

json::array list(const Scopes& scopes) {
  return json::array(scopes.names().begin(), scopes.names().end());
}

json::array checks_json(const identity::Trail& trail) {
  json::array out;
  for (const auto& step : trail.steps()) {
    json::object one{{"check", to_string(step.check)}, {"outcome", to_string(step.outcome)}};
    if (!step.detail.empty()) one["detail"] = step.detail;
    out.push_back(std::move(one));
  }
  return out;
}

json::object refused_json(const identity::Refused& refused) {
  const identity::Advice advice = identity::advice(refused.reason);
  return {{"reason", to_string(refused.reason)},
          {"detail", refused.detail},
          {"status", identity::http_status(refused.reason)},
          {"message", identity::public_message(refused.reason)},
          {"means", advice.meaning},
          {"next", advice.next},
          {"claimed_issuer", refused.claimed_issuer},
          {"claimed_subject", refused.claimed_subject}};
}

json::object accepted_json(const PrincipalPtr& principal, const Policy& policy) {
  const PrincipalFacts& facts = principal->facts();
  json::object allowed;
  for (const std::string_view name : kOperations) {
    allowed[name] = list(missing(principal, policy, {name}));
  }
  json::array rules;
  for (const policy::ToolRule& rule : policy.rules()) {
    rules.push_back({{"tool", rule.tool},
                     {"needs", list(needs_of(rule))},
                     {"missing", list(facts.scopes.missing(needs_of(rule)))}});
  }
  json::object key{{"found", facts.api_key.has_value()}};
  if (facts.api_key) {
    key["source"] = facts.api_key_source;
    key["fingerprint"] = facts.key_fingerprint;
  }
  return {{"tenant", facts.tenant},
          {"issuer", facts.issuer},
          {"subject", facts.subject},
          {"presented_scopes", list(facts.token_scopes)},
          {"scopes", list(facts.scopes)},
          {"api_key", std::move(key)},
          {"required", list(policy.required().unite(facts.required_scopes))},
          {"missing_for_every_request", list(missing(principal, policy, {}))},
          {"missing_for", std::move(allowed)},
          {"rules", std::move(rules)}};
}

}  // namespace

Scopes missing_of_all(const Explanation& out, const Policy& policy) {
  return out.verdict ? missing(*out.verdict, policy, {}) : Scopes();
}

std::string explanation_text(const Explanation& out, const Policy& policy) {
  const std::string decision =
      out.verdict ? accepted_text(*out.verdict, policy) : refused_text(out.verdict.error());
  return decision + checks_text(out.trail);
}

std::string explanation_json(const Explanation& out, const Policy& policy) {
  json::object all{{"accepted", out.verdict.has_value()}};
  if (out.verdict) {
    all["caller"] = accepted_json(*out.verdict, policy);
  } else {
    all["refused"] = refused_json(out.verdict.error());
  }
  all["checks"] = checks_json(out.trail);
  return to_json(all) + "\n";
}

std::string reasons_page() {
  std::string out;
  for (const std::string_view name : identity::known_reasons()) {
    const identity::Advice advice = identity::advice_for(name);
    out += fmt::format("### `{}`\n\n{} {}\n\n", name, advice.meaning, advice.next);
  }
  return out;
}

}  // namespace kubiya::app
