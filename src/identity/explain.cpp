// SPDX-License-Identifier: Apache-2.0
#include "identity/explain.h"

#include <future>
#include <utility>

#include "identity/judge.h"

namespace kubiya::identity {
namespace {

// One credential's way through the judge, with the waits that an event loop spreads over turns.
class Inquiry {
 public:
  Inquiry(const AuthenticatorOptions& options, const std::vector<std::unique_ptr<Issuer>>& issuers,
          const KeyBook& keys, const PersonBook& people, const Clock& clock,
          std::chrono::milliseconds patience)
      : judge_(options, issuers, keys, people, clock), issuers_(issuers), patience_(patience) {}

  Explanation run(const Credential& credential) {
    Judgement judgement = judge(credential);
    if (const auto* needs = std::get_if<NeedsAnswer>(&judgement.answer)) {
      return conclude(ask(credential, needs->issuer));
    }
    if (const auto* needs = std::get_if<NeedsKeys>(&judgement.answer)) {
      const std::size_t issuer = needs->issuer;
      await_keys(issuer);
      judgement = judge(credential);
      if (std::holds_alternative<NeedsKeys>(judgement.answer)) {
        judgement.answer = judge_.refuse_without_keys(credential.text, issuer, trail_.get());
      }
    }
    return conclude(judgement);
  }

 private:
  Judgement judge(const Credential& credential) {
    trail_->clear();
    HeaderMemo headers;
    return judge_.judge(credential, headers, trail_.get());
  }

  void await_keys(std::size_t issuer) {
    const auto done = std::make_shared<std::promise<void>>();
    issuers_[issuer]->refetch([done](bool) { done->set_value(); });
    done->get_future().wait_for(patience_);
  }

  // An answer that comes too late finds what it writes to, and nobody who reads it.
  Judgement ask(const Credential& credential, std::size_t issuer) {
    struct Question {
      std::shared_ptr<Trail> trail;
      std::promise<Checked<TokenFacts>> answer;
    };
    const auto asked = std::make_shared<Question>(Question{trail_, {}});
    issuers_[issuer]->introspect(
        credential.text,
        [asked](Checked<TokenFacts> facts) { asked->answer.set_value(std::move(facts)); },
        asked->trail.get());
    auto answer = asked->answer.get_future();
    if (answer.wait_for(patience_) == std::future_status::ready) {
      return judge_.judge_answer(issuer, credential.text, answer.get(), trail_.get());
    }
    trail_ = std::make_shared<Trail>();
    trail_->begin(Check::introspection);
    const Failure late{Reason::introspection_unavailable, "no answer in time"};
    return judge_.judge_answer(issuer, credential.text, tl::unexpected(late), trail_.get());
  }

  Explanation conclude(const Judgement& judgement) {
    if (const auto* good = std::get_if<Good>(&judgement.answer)) return {good->principal, *trail_};
    return {tl::unexpected(std::get<Refused>(judgement.answer)), *trail_};
  }

  const Judge judge_;
  const std::vector<std::unique_ptr<Issuer>>& issuers_;
  const std::chrono::milliseconds patience_;
  std::shared_ptr<Trail> trail_ = std::make_shared<Trail>();
};

}  // namespace

Explanation explain(const Presented& presented, const AuthenticatorOptions& options,
                    const std::vector<std::unique_ptr<Issuer>>& issuers, const KeyBook& keys,
                    const PersonBook& people, const Clock& clock,
                    std::chrono::milliseconds patience) {
  const auto credential = find_credential(presented, options);
  if (credential) return Inquiry(options, issuers, keys, people, clock, patience).run(*credential);
  Explanation out{tl::unexpected(Refused{credential.error(), {}, {}, {}}), {}};
  out.trail.begin(Check::credential);
  out.trail.fail({});
  return out;
}

}  // namespace kubiya::identity
