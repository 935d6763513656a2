// SPDX-License-Identifier: Apache-2.0
#include "identity/authenticator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <variant>

#include "identity/judge.h"
#include "identity/possession.h"
#include "identity/verified_cache.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kQueueMax = 1024;  // per loop: waiting for a turn or for keys
constexpr std::size_t kRefusalsMax = 1024;
constexpr std::chrono::seconds kRefusalSeconds{5};
constexpr std::chrono::milliseconds kSweepEvery{250};
constexpr std::size_t kSweepSteps = 40;  // a whole pass takes ten seconds

struct Bad {
  Refused refused;
  Mono deadline{};
  const Issuer* issuer = nullptr;
  std::uint64_t issuer_epoch = 0;
};

struct Job {
  Secret text;
  Source source = Source::token;
  KeptPossession shown;
  Authenticator::Post post;
  std::function<void(Verdict)> done;
  bool refetched = false;
  std::uint64_t issuer_epoch = 0;  // of the keys that did not serve it

  Credential credential() const { return {text.reveal(), source, shown.view().dpop_scheme}; }
};
using JobPtr = std::shared_ptr<Job>;

// State of one event loop; touched on its thread only.
struct alignas(64) Loop {
  Loop(int number, std::size_t entries, std::size_t issuers, std::size_t cold)
      : index(number), good(entries), bad(kRefusalsMax), waiting(issuers), budget(cold) {}

  const int index;
  crypto::Sha256 sha256;
  DigestMemo memo;
  HeaderMemo headers;
  DigestCache<Good> good;
  DigestCache<Bad> bad;
  std::deque<JobPtr> queue;
  bool drain_posted = false;
  std::vector<std::vector<JobPtr>> waiting;  // by issuer: for its keys
  // By digest of the token: for its issuer's word. Equal tokens are asked about once.
  std::map<crypto::Digest, std::vector<JobPtr>> asked;
  std::size_t waiting_count = 0;  // in both
  std::size_t budget;
  bool turn_asked = false;
  Mono next_sweep{};
};

tl::unexpected<Refused> refuse(Reason reason, std::string detail = {}) {
  return tl::unexpected(Refused{reason, std::move(detail), {}, {}});
}

class AuthenticatorImpl final : public Authenticator {
 public:
  AuthenticatorImpl(AuthenticatorOptions options, std::vector<std::unique_ptr<Issuer>> issuers,
                    KeyBook& keys, const Clock& clock, const PersonBook& people)
      : options_(std::move(options)),
        issuers_(std::move(issuers)),
        keys_(keys),
        people_(people),
        clock_(clock) {
    options_.cold_per_turn = std::max<std::size_t>(1, options_.cold_per_turn);
    for (int i = 0; i < std::max(1, options_.loops); ++i) {
      loops_.push_back(std::make_unique<Loop>(i, options_.cache_entries, issuers_.size(),
                                              options_.cold_per_turn));
    }
  }

  Mode mode() const override { return options_.mode; }
  const std::vector<std::unique_ptr<Issuer>>& issuers() const override { return issuers_; }

  std::optional<Verdict> now(const Presented& presented, int loop_index) override {
    const auto credential = find_credential(presented, options_);
    if (!credential) return Verdict(refuse(credential.error()));
    return answer_now(*credential, presented, loop(loop_index));
  }

  void later(const Presented& presented, int loop_index, Post post,
             std::function<void(Verdict)> done) override {
    Loop& loop = this->loop(loop_index);
    const auto tell = [&](Verdict verdict) {
      post([done, verdict = std::move(verdict)] { done(verdict); });
    };
    const auto credential = find_credential(presented, options_);
    if (!credential) return tell(refuse(credential.error()));
    if (loop.queue.size() + loop.waiting_count >= kQueueMax) {
      return tell(refuse(Reason::overloaded));
    }
    auto job = std::make_shared<Job>(Job{Secret(credential->text), credential->source,
                                         KeptPossession(possession_of(presented, *credential)),
                                         std::move(post), std::move(done), false, 0});
    if (!may_check(loop)) return enqueue(std::move(job), loop_index);
    const CacheKey key = cache_key(*credential, loop);
    const Judgement judgement = judge(*credential, loop);
    if (const auto* needs = std::get_if<NeedsKeys>(&judgement.answer)) {
      return wait_for_keys(std::move(job), *needs, loop_index);
    }
    if (const auto* needs = std::get_if<NeedsAnswer>(&judgement.answer)) {
      return ask_issuer(std::move(job), key, needs->issuer, loop_index);
    }
    Verdict verdict = conclude(key, judgement, *job, loop);
    job->post([job, verdict = std::move(verdict)] { job->done(verdict); });
  }

  void turn(int loop_index) override {
    Loop& loop = this->loop(loop_index);
    loop.budget = options_.cold_per_turn;
    loop.turn_asked = false;
    const Mono now = clock_.mono();
    if (now < loop.next_sweep) return;
    loop.next_sweep = now + kSweepEvery;
    loop.memo.sweep(now);
    loop.good.sweep(now, kSweepSteps);
    loop.bad.sweep(now, kSweepSteps);
  }

  bool needs_turn(int loop_index) override {
    Loop& loop = this->loop(loop_index);
    if (loop.turn_asked || loop.budget == options_.cold_per_turn) return false;
    return loop.turn_asked = true;
  }

  std::string proof_nonce() const override { return possession_.nonce(); }
  // Both only grow.
  std::uint64_t credential_epoch() const override { return keys_.epoch() + people_.epoch(); }

  bool still_good(const Principal& principal) const override {
    const Wall now = clock_.wall();
    if (principal->trusted_until <= now) return false;
    const auto cut = people_.cutoff({principal->tenant, principal->issuer, principal->subject});
    if (cut && cut->in_force) return false;
    const auto& key = principal->api_key;
    return !key || !looks_like_our_key(key->reveal()) || keys_.check(key->reveal(), now);
  }

  void tick() override {
    for (const auto& issuer : issuers_) issuer->tick();
  }

 private:
  Loop& loop(int index) {
    ASSERT(index >= 0 && static_cast<std::size_t>(index) < loops_.size(), "a loop we know");
    return *loops_[static_cast<std::size_t>(index)];
  }

  // First come, first served: nobody overtakes the queue.
  static bool may_check(const Loop& loop) { return loop.budget > 0 && loop.queue.empty(); }

  static CacheKey cache_key(const Credential& credential, Loop& loop) {
    return CacheKey{loop.sha256(credential.text), credential.source};
  }

  std::optional<Verdict> answer_now(const Credential& credential, const Presented& presented,
                                    Loop& loop) {
    if (credential.text.size() > kTokenLimits.token_bytes) {
      const bool token = credential.source == Source::token;
      return Verdict(refuse(token ? Reason::token_too_long : Reason::bad_api_key));
    }
    const Mono now = clock_.mono();
    const CacheKey* known = loop.memo.find(credential.text, credential.source, now);
    const CacheKey key = known != nullptr ? *known : cache_key(credential, loop);
    if (const Good* good = recall(key, loop, now)) {
      if (good->uses) good->uses->add();
      if (known == nullptr) loop.memo.put(credential.text, key, now);
      if (!needs_proof(*good, credential)) return Verdict(good->principal);
      if (!may_check(loop)) return std::nullopt;
      return prove(*good, credential, possession_of(presented, credential), loop);
    }
    if (auto refused = recall_refusal(key, loop, now)) return refused;
    if (credential.source == Source::token && !may_check(loop)) return std::nullopt;
    const Judgement judgement = judge(credential, loop);
    if (!is_final(judgement)) return std::nullopt;
    remember(key, judgement, loop);
    return verdict_of(judgement, credential, possession_of(presented, credential), loop);
  }

  static bool is_final(const Judgement& judgement) {
    return std::holds_alternative<Good>(judgement.answer) ||
           std::holds_alternative<Refused>(judgement.answer);
  }

  // The hot path: no lock, no allocation.
  Good* recall(const CacheKey& key, Loop& loop, Mono now) {
    Good* good = loop.good.find(key, now);
    if (good == nullptr) return nullptr;
    // Of ten thousand callers each comes rarely, and everything behind this reads the principal.
    prefetch(*good->principal);
    if (is_current(*good)) return good;
    loop.good.erase(key);
    return nullptr;
  }

  static void prefetch(const Principal& principal) {
    constexpr std::size_t kLine = 64;
    const char* const begin = reinterpret_cast<const char*>(&principal);
    for (std::size_t at = 0; at < sizeof principal; at += kLine) __builtin_prefetch(begin + at);
  }

  static std::optional<Verdict> recall_refusal(const CacheKey& key, Loop& loop, Mono now) {
    if (const Bad* bad = loop.bad.find(key, now)) {
      if (bad->issuer->epoch() == bad->issuer_epoch) return Verdict(tl::unexpected(bad->refused));
      loop.bad.erase(key);
    }
    return std::nullopt;
  }

  bool is_current(Good& good) const {
    if (clock_.wall() >= good.valid_until) return false;
    if (good.issuer && good.issuer->epoch() != good.issuer_epoch) return false;
    if (good.from_key_book && keys_.epoch() != good.key_epoch) return false;
    return people_.epoch() == good.people_epoch || is_unchanged(good);
  }

  // Spares everybody a new judgement when something changed for somebody else.
  bool is_unchanged(Good& good) const {
    if (good.key_by_reference) return false;
    const std::uint64_t epoch = people_.epoch();
    const PrincipalFacts& facts = good.principal->facts();
    if (people_.stamp({facts.tenant, facts.issuer, facts.subject}) != good.people_stamp) {
      return false;
    }
    good.people_epoch = epoch;
    return true;
  }

  // Whether the token alone does not say who this is.
  static bool needs_proof(const Good& good, const Credential& credential) {
    return good.confirmation || credential.dpop;
  }

  std::size_t place_of(const Issuer& issuer) const {
    std::size_t place = 0;
    while (issuers_[place].get() != &issuer) ++place;
    return place;
  }

  // A proof is a signature to check, and is never remembered as an answer.
  Verdict prove(const Good& good, const Credential& credential, const Possession& shown,
                Loop& loop) {
    if (loop.budget > 0) --loop.budget;
    const auto proven =
        possession_.check(good.confirmation.get(), credential.text, shown, place_of(*good.issuer));
    if (proven) return good.principal;
    const Failure& why = proven.error();
    return tl::unexpected(Refused{why.reason, why.detail, good.principal->facts().issuer,
                                  good.principal->facts().subject});
  }

  Verdict verdict_of(const Judgement& judgement, const Credential& credential,
                     const Possession& shown, Loop& loop) {
    const auto* good = std::get_if<Good>(&judgement.answer);
    if (good == nullptr) return tl::unexpected(std::get<Refused>(judgement.answer));
    if (!needs_proof(*good, credential)) return good->principal;
    return prove(*good, credential, shown, loop);
  }

  // Remembers the judgement and turns it into the caller's answer.
  Verdict conclude(const CacheKey& key, const Judgement& judgement, const Job& job, Loop& loop) {
    remember(key, judgement, loop);
    return verdict_of(judgement, job.credential(), job.shown.view(), loop);
  }

  void remember(const CacheKey& key, const Judgement& judgement, Loop& loop) {
    const Mono now = clock_.mono();
    if (const auto* good = std::get_if<Good>(&judgement.answer)) {
      Good counted = *good;
      count_first(counted, loop);
      return loop.good.put(key, counted, now);
    }
    const auto& refused = std::get<Refused>(judgement.answer);
    const bool settled =
        refused.reason == Reason::bad_signature || refused.reason == Reason::token_inactive;
    if (settled && judgement.issuer) {
      loop.bad.put(
          key, Bad{refused, now + kRefusalSeconds, judgement.issuer, judgement.issuer_epoch}, now);
    }
  }

  // Later calls out of the cache only add to the counter.
  void count_first(Good& good, const Loop& loop) {
    const auto& facts = good.principal->facts();
    if (!good.from_key_book || !facts.api_key) return;
    const auto parts = parse_key(facts.api_key->reveal());
    if (!parts) return;
    good.uses = keys_.uses().counter(loop.index, parts->id, facts.client);
    good.uses->add();
  }

  Judgement judge(const Credential& credential, Loop& loop) {
    Judgement judgement = judge_.judge(credential, loop.headers);
    if (judgement.signature_checked && loop.budget > 0) --loop.budget;
    return judgement;
  }

  void enqueue(JobPtr job, int loop_index) {
    Loop& loop = this->loop(loop_index);
    loop.queue.push_back(std::move(job));
    post_drain(loop_index);
  }

  void post_drain(int loop_index) {
    Loop& loop = this->loop(loop_index);
    if (loop.drain_posted || loop.queue.empty()) return;
    loop.drain_posted = true;
    loop.queue.front()->post([this, alive = std::weak_ptr<int>(alive_), loop_index] {
      if (!alive.expired()) drain(loop_index);
    });
  }

  // One posted call is one turn: between two of them the loop serves everybody else.
  void drain(int loop_index) {
    Loop& loop = this->loop(loop_index);
    loop.drain_posted = false;
    loop.budget = options_.cold_per_turn;
    for (std::size_t n = 0; n < options_.cold_per_turn && !loop.queue.empty(); ++n) {
      JobPtr job = std::move(loop.queue.front());
      loop.queue.pop_front();
      run(std::move(job), loop_index);
    }
    post_drain(loop_index);
  }

  void run(JobPtr job, int loop_index) {
    Loop& loop = this->loop(loop_index);
    const Credential credential = job->credential();
    const CacheKey key = cache_key(credential, loop);
    const Mono now = clock_.mono();
    if (const Good* good = recall(key, loop, now)) {
      if (!needs_proof(*good, credential)) return job->done(good->principal);
      return job->done(prove(*good, credential, job->shown.view(), loop));
    }
    if (auto refused = recall_refusal(key, loop, now)) return job->done(std::move(*refused));
    const Judgement judgement = judge(credential, loop);
    if (const auto* needs = std::get_if<NeedsAnswer>(&judgement.answer)) {
      return ask_issuer(std::move(job), key, needs->issuer, loop_index);
    }
    const auto* needs = std::get_if<NeedsKeys>(&judgement.answer);
    if (!needs) return job->done(conclude(key, judgement, *job, loop));
    if (!job->refetched) return wait_for_keys(std::move(job), *needs, loop_index);
    job->done(refuse_without_keys(*job, needs->issuer));
  }

  Verdict refuse_without_keys(const Job& job, std::size_t issuer) const {
    return tl::unexpected(judge_.refuse_without_keys(job.text.reveal(), issuer));
  }

  void ask_issuer(JobPtr job, const CacheKey& key, std::size_t index, int loop_index) {
    Loop& loop = this->loop(loop_index);
    auto& waiting = loop.asked[key.digest];
    waiting.push_back(job);
    ++loop.waiting_count;
    if (waiting.size() > 1) return;
    issuers_[index]->introspect(
        job->text.reveal(), [this, alive = std::weak_ptr<int>(alive_), post = job->post, key, index,
                             loop_index](const Checked<TokenFacts>& facts) {
          post([this, alive, key, index, loop_index, facts] {
            if (!alive.expired()) answered(key, index, loop_index, facts);
          });
        });
  }

  void answered(const CacheKey& key, std::size_t index, int loop_index,
                const Checked<TokenFacts>& facts) {
    Loop& loop = this->loop(loop_index);
    const auto jobs = loop.asked.extract(key.digest);
    if (!jobs) return;
    loop.waiting_count -= jobs.mapped().size();
    const Judgement judgement = judge_.judge_answer(index, jobs.mapped()[0]->text.reveal(), facts);
    remember(key, judgement, loop);
    for (const JobPtr& job : jobs.mapped()) {
      job->done(verdict_of(judgement, job->credential(), job->shown.view(), loop));
    }
  }

  // All jobs of a loop that need the same issuer's keys wait on one request to it.
  void wait_for_keys(JobPtr job, NeedsKeys needs, int loop_index) {
    Loop& loop = this->loop(loop_index);
    job->refetched = true;
    job->issuer_epoch = needs.epoch;
    auto& waiting = loop.waiting[needs.issuer];
    Post post = job->post;
    waiting.push_back(std::move(job));
    ++loop.waiting_count;
    if (waiting.size() > 1) return;
    issuers_[needs.issuer]->refetch([this, alive = std::weak_ptr<int>(alive_),
                                     post = std::move(post), issuer = needs.issuer,
                                     loop_index](bool fetched) {
      post([this, alive, issuer, loop_index, fetched] {
        if (!alive.expired()) resume(issuer, loop_index, fetched);
      });
    });
  }

  // Where nothing new has come in since, judging again would only cost time.
  void resume(std::size_t issuer, int loop_index, bool fetched) {
    Loop& loop = this->loop(loop_index);
    const std::vector<JobPtr> jobs = std::exchange(loop.waiting[issuer], {});
    loop.waiting_count -= jobs.size();
    const std::uint64_t epoch = issuers_[issuer]->epoch();
    for (const auto& job : jobs) {
      if (fetched || epoch != job->issuer_epoch) {
        loop.queue.push_back(job);
      } else {
        job->done(refuse_without_keys(*job, issuer));
      }
    }
    post_drain(loop_index);
  }

  AuthenticatorOptions options_;
  std::vector<std::unique_ptr<Issuer>> issuers_;
  KeyBook& keys_;
  const PersonBook& people_;
  const Clock& clock_;
  const Judge judge_{options_, issuers_, keys_, people_, clock_};
  PossessionJudge possession_{options_.dpop, issuers_.size(), clock_};
  std::vector<std::unique_ptr<Loop>> loops_;
  // Expires first: what was posted to a loop before must not find us gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

std::unique_ptr<Authenticator> Authenticator::open(AuthenticatorOptions options,
                                                   std::vector<std::unique_ptr<Issuer>> issuers,
                                                   KeyBook& keys, const Clock& clock,
                                                   const PersonBook& people) {
  return std::make_unique<AuthenticatorImpl>(std::move(options), std::move(issuers), keys, clock,
                                             people);
}

}  // namespace kubiya::identity
