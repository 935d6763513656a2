// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/run.h"
#include "engine/step_state.h"

namespace kubiya::engine {
namespace {

using Kind = workflow::AttemptResult::Kind;

constexpr std::size_t kMostTokens = 200;  // of a run: all are looked for in what is stored

}  // namespace

void Run::get_ready(std::size_t step) {
  if (plan_.step(step).token) return want_token(step);
  launch(step);
}

// Each attempt has a token of its own, so that it is fresh.
void Run::want_token(std::size_t step) {
  if (!host_.options.token_source) {
    return not_launched(step, "Token exchange needs an issuer: callers come with API keys here.");
  }
  if (tokens_ == kMostTokens) {
    return not_launched(step, fmt::format("The run has had {} tokens already.", kMostTokens));
  }
  ++tokens_;
  auto told = [loop = loop_, weak = weak_from_this(), step](Result<Secret> token) {
    loop->post([weak, step, token = std::move(token)] {
      if (const auto run = weak.lock()) run->told_token(step, token);
    });
  };
  const workflow::TokenRequest& wanted = *plan_.step(step).token;
  host_.options.token_source(*facts_.principal, facts_.workflow, wanted, std::move(told));
}

void Run::told_token(std::size_t step, const Result<Secret>& token) {
  record_token(step, token);
  if (!plan_.may_run(step)) return conclude(step, {Kind::canceled, 0, {}}, "canceled");
  const auto taken = take_token(step, token);
  if (!taken) return not_launched(step, taken.error().message);
  launch(step);
}

Result<> Run::take_token(std::size_t step, const Result<Secret>& token) {
  if (!token) return fail(token.error());
  Attempt& attempt = *steps_[step]->attempt;
  attempt.variables = std::make_shared<const Variables>(
      TRY(attempt.variables->with(plan_.step(step).token->env, token->reveal())));
  secrets_.push_back(*token);
  attempt.out = attempt.err = LogStream(secrets_);  // nothing of it has run yet
  return {};
}

void Run::record_token(std::size_t step, const Result<Secret>& token) const {
  const workflow::TokenRequest& wanted = *plan_.step(step).token;
  const PrincipalFacts& who = facts_.principal->facts();
  json::object fields{
      {"run_id", row_.id},           {"tenant", row_.tenant},
      {"workflow", row_.workflow},   {"step", plan_.step(step).name},
      {"issuer", who.issuer},        {"subject", who.subject},
      {"audience", wanted.audience}, {"scopes", fmt::format("{}", fmt::join(wanted.scopes, " "))}};
  if (!token) fields["reason"] = token.error().message;
  host_.journal.event(token ? "token_exchanged" : "token_exchange_refused", fields);
}

}  // namespace kubiya::engine
