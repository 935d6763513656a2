// SPDX-License-Identifier: Apache-2.0
#include "identity/authenticator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <variant>

#include "base/encoding.h"
#include "identity/credential.h"
#include "identity/minter.h"
#include "identity/provider.h"
#include "identity/verified_cache.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kQueueMax = 1024;  // per loop: waiting for a turn or for keys
constexpr std::size_t kRefusalsMax = 1024;
constexpr std::chrono::seconds kRefusalSeconds{5};
constexpr std::chrono::milliseconds kSweepEvery{250};
constexpr std::size_t kSweepSteps = 40;  // a whole pass takes ten seconds
constexpr std::string_view kKeyIssuer = "urn:kubiya:api-key";
constexpr TokenLimits kTokenLimits{};

struct Good {
  PrincipalPtr principal;
  Mono deadline{};
  Wall valid_until{};
  const Issuer* issuer = nullptr;
  std::uint64_t issuer_epoch = 0;
  bool from_key_book = false;
  std::uint64_t key_epoch = 0;
};

struct Bad {
  Refused refused;
  Mono deadline{};
  const Issuer* issuer = nullptr;
  std::uint64_t issuer_epoch = 0;
};

// The issuer must fetch keys before this token can be judged.
struct NeedsKeys {
  std::size_t issuer = 0;
  std::uint64_t epoch = 0;
};

// The token is opaque: its issuer must be asked.
struct NeedsAnswer {
  std::size_t issuer = 0;
};

using Answer = std::variant<Good, Refused, NeedsKeys, NeedsAnswer>;

struct Judgement {
  Answer answer;
  bool signature_checked = false;
  const Issuer* issuer = nullptr;
  std::uint64_t issuer_epoch = 0;
};

struct Job {
  Secret text;
  Source source = Source::token;
  Authenticator::Post post;
  std::function<void(Verdict)> done;
  bool refetched = false;
  std::uint64_t issuer_epoch = 0;  // of the keys that did not serve it
};
using JobPtr = std::shared_ptr<Job>;

// State of one event loop; touched on its thread only.
struct alignas(64) Loop {
  Loop(std::size_t entries, std::size_t issuers, std::size_t cold)
      : good(entries), bad(kRefusalsMax), waiting(issuers), budget(cold) {}

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

Wall saturating_add(Wall time, std::chrono::seconds more) {
  return time > Wall::max() - more ? Wall::max() : time + more;
}

Scopes split_scopes(std::string_view text) {
  Scopes out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) out.add(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string_view source_name(Source source) {
  switch (source) {
    case Source::argument_key:
      return "argument";
    case Source::shared_key:
      return "environment";
    case Source::token:
    case Source::header_key:
      break;
  }
  return "header";
}

// A key's own expiry ends the principal too.
Wall key_expiry(const store::KeyRow& row) {
  return row.expires_ms == 0 ? Wall::max() : from_unix_ms(row.expires_ms);
}

class AuthenticatorImpl final : public Authenticator {
 public:
  AuthenticatorImpl(AuthenticatorOptions options, std::vector<std::unique_ptr<Issuer>> issuers,
                    KeyBook& keys, const Clock& clock)
      : options_(std::move(options)), issuers_(std::move(issuers)), keys_(keys), clock_(clock) {
    options_.cold_per_turn = std::max<std::size_t>(1, options_.cold_per_turn);
    for (int i = 0; i < std::max(1, options_.loops); ++i) {
      loops_.push_back(
          std::make_unique<Loop>(options_.cache_entries, issuers_.size(), options_.cold_per_turn));
    }
    for (std::size_t i = 0; i < issuers_.size(); ++i) {
      if (issuers_[i]->options().tokens == TokenKind::opaque) opaque_issuer_ = i;
    }
  }

  Mode mode() const override { return options_.mode; }
  const std::vector<std::unique_ptr<Issuer>>& issuers() const override { return issuers_; }

  std::optional<Verdict> now(const Presented& presented, int loop_index) override {
    const auto credential = find_credential(presented, options_);
    if (!credential) return Verdict(refuse(credential.error()));
    return answer_now(*credential, loop(loop_index));
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
    Verdict verdict = conclude(key, judgement, loop);
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

  std::optional<Verdict> answer_now(const Credential& credential, Loop& loop) {
    if (credential.text.size() > kTokenLimits.token_bytes) {
      const bool token = credential.source == Source::token;
      return Verdict(refuse(token ? Reason::token_too_long : Reason::bad_api_key));
    }
    const Mono now = clock_.mono();
    const CacheKey* known = loop.memo.find(credential.text, credential.source, now);
    const CacheKey key = known != nullptr ? *known : cache_key(credential, loop);
    if (auto verdict = cached(key, loop, now)) {
      if (known == nullptr && *verdict) loop.memo.put(credential.text, key, now);
      return verdict;
    }
    if (credential.source == Source::token && !may_check(loop)) return std::nullopt;
    const Judgement judgement = judge(credential, loop);
    if (!is_final(judgement)) return std::nullopt;
    return conclude(key, judgement, loop);
  }

  static bool is_final(const Judgement& judgement) {
    return std::holds_alternative<Good>(judgement.answer) ||
           std::holds_alternative<Refused>(judgement.answer);
  }

  // The hot path: no lock, no allocation.
  std::optional<Verdict> cached(const CacheKey& key, Loop& loop, Mono now) {
    if (const Good* good = loop.good.find(key, now)) {
      if (is_current(*good)) return Verdict(good->principal);
      loop.good.erase(key);
    }
    if (const Bad* bad = loop.bad.find(key, now)) {
      if (bad->issuer->epoch() == bad->issuer_epoch) return Verdict(tl::unexpected(bad->refused));
      loop.bad.erase(key);
    }
    return std::nullopt;
  }

  bool is_current(const Good& good) const {
    if (clock_.wall() >= good.valid_until) return false;
    if (good.issuer && good.issuer->epoch() != good.issuer_epoch) return false;
    return !good.from_key_book || keys_.epoch() == good.key_epoch;
  }

  // Remembers the judgement and turns it into the caller's answer.
  Verdict conclude(const CacheKey& key, const Judgement& judgement, Loop& loop) {
    const Mono now = clock_.mono();
    if (const auto* good = std::get_if<Good>(&judgement.answer)) {
      loop.good.put(key, *good, now);
      return good->principal;
    }
    const auto& refused = std::get<Refused>(judgement.answer);
    const bool settled =
        refused.reason == Reason::bad_signature || refused.reason == Reason::token_inactive;
    if (settled && judgement.issuer) {
      loop.bad.put(
          key, Bad{refused, now + kRefusalSeconds, judgement.issuer, judgement.issuer_epoch}, now);
    }
    return tl::unexpected(refused);
  }

  Judgement judge(const Credential& credential, Loop& loop) {
    if (credential.source != Source::token) {
      if (!is_well_formed(credential)) return malformed();
      return {judge_key(credential), false, nullptr, 0};
    }
    Judgement judgement = judge_token(credential, loop.headers);
    if (judgement.signature_checked && loop.budget > 0) --loop.budget;
    return judgement;
  }

  static Judgement malformed() {
    return {Refused{Reason::bad_authorization_header, {}, {}, {}}, false, nullptr, 0};
  }

  Judgement judge_token(const Credential& credential, HeaderMemo& headers) const {
    Judgement out;
    const auto token = parse_token(credential.text, kTokenLimits, &headers);
    // What can be parsed is well formed: three parts of base64url and two dots.
    if (!token && !is_well_formed(credential)) return malformed();
    if (const auto issuer = to_be_asked(credential.text, token)) {
      out.answer = NeedsAnswer{*issuer};
      return out;
    }
    if (!token) {
      const Failure why = explain(credential.text, token.error());
      out.answer = Refused{why.reason, why.detail, {}, {}};
      return out;
    }
    out.answer = judge_parsed(*token, out);
    if (auto* refused = std::get_if<Refused>(&out.answer)) {
      Claimed claimed = claimed_by(*token);
      refused->claimed_issuer = std::move(claimed.issuer);
      refused->claimed_subject = std::move(claimed.subject);
    }
    return out;
  }

  Answer judge_parsed(const UnverifiedToken& token, Judgement& out) const {
    const auto failed = [](Failure failure) {
      return Refused{failure.reason, std::move(failure.detail), {}, {}};
    };
    const auto index = issuer_of(token);
    if (!index) return failed(index.error());
    const Issuer& issuer = *issuers_[*index];
    const TokenRules& rules = issuer.options().rules;
    const Wall wall = clock_.wall();
    auto facts = check_claims(token, rules, wall);
    if (!facts) return failed(facts.error());

    // The epoch is read before the keys: a change in between makes the entry stale at once.
    out.issuer = &issuer;
    out.issuer_epoch = issuer.epoch();
    const auto keys = issuer.keys();
    if (!keys) return NeedsKeys{*index, out.issuer_epoch};
    const auto verified = verify_signature(token, rules, *keys);
    out.signature_checked = verified || verified.error().reason == Reason::bad_signature;
    if (!verified) {
      if (verified.error().reason == Reason::unknown_key)
        return NeedsKeys{*index, out.issuer_epoch};
      return failed(verified.error());
    }
    return admit(std::move(*facts), rules, out, wall);
  }

  // The issuer to ask about this text, by configuration and not by the text's looks: all of an
  // issuer whose tokens are opaque, and what is no JWT where such an issuer is among others.
  std::optional<std::size_t> to_be_asked(std::string_view text,
                                         const Checked<UnverifiedToken>& token) const {
    if (!opaque_issuer_ || text.size() > kTokenLimits.token_bytes) return std::nullopt;
    if (issuers_.size() == 1 || !token) return opaque_issuer_;
    const auto named = issuer_of(*token);
    return named && *named == *opaque_issuer_ ? opaque_issuer_ : std::nullopt;
  }

  Failure explain(std::string_view text, const Failure& failure) const {
    if (failure.reason != Reason::not_three_parts) return failure;
    for (const auto& issuer : issuers_) {
      if (auto why = explain_opaque(text, issuer->options().rules)) return std::move(*why);
    }
    return failure;
  }

  // By the unverified `iss`, among the configured ones only: no token makes us fetch anything new.
  Checked<std::size_t> issuer_of(const UnverifiedToken& token) const {
    const auto claimed = find_string(token.claims, "iss");
    if (!claimed) return tl::unexpected(Failure{Reason::bad_claim, "iss"});
    for (std::size_t i = 0; i < issuers_.size(); ++i) {
      if (accepts_issuer(issuers_[i]->options().rules, *claimed)) return i;
    }
    for (const auto& issuer : issuers_) {
      std::string why = explain_stranger(*claimed, issuer->options().rules);
      if (!why.empty()) return tl::unexpected(Failure{Reason::wrong_issuer, std::move(why)});
    }
    return tl::unexpected(Failure{Reason::wrong_issuer, "no configured issuer has this name"});
  }

  Answer admit(TokenFacts token, const TokenRules& rules, const Judgement& judgement,
               Wall wall) const {
    Good good;
    good.issuer = judgement.issuer;
    good.issuer_epoch = judgement.issuer_epoch;
    good.key_epoch = keys_.epoch();
    good.valid_until = saturating_add(token.expires_at, rules.leeway);

    PrincipalFacts facts;
    facts.scopes = options_.scope_rules.expand(token.scopes);
    facts.expires_at = token.expires_at;
    if (token.api_key) {
      if (looks_like_our_key(token.api_key->reveal())) {
        const auto row = keys_.check(token.api_key->reveal(), wall);
        if (!row) return Refused{row.error().reason, token.api_key_source, {}, {}};
        if (row->owner != token.subject || row->tenant != token.tenant) {
          return Refused{Reason::key_of_another_owner, token.api_key_source, {}, {}};
        }
        good.from_key_book = true;
        good.valid_until = std::min(good.valid_until, key_expiry(*row));
        facts.expires_at = std::min(facts.expires_at, key_expiry(*row));
        facts.scopes =
            facts.scopes.intersect(options_.scope_rules.expand(split_scopes(row->scopes)));
      }
      facts.key_fingerprint = crypto::fingerprint(token.api_key->reveal());
    }
    facts.tenant = std::move(token.tenant);
    facts.issuer = std::move(token.issuer);
    facts.subject = std::move(token.subject);
    facts.display_name = std::move(token.display_name);
    facts.email = std::move(token.email);
    facts.client = std::move(token.client);
    facts.required_scopes = rules.required_scopes;
    facts.token_scopes = std::move(token.scopes);
    facts.kind = CredentialKind::token;
    facts.api_key = std::move(token.api_key);
    facts.api_key_source = std::move(token.api_key_source);
    good.deadline = deadline(good.valid_until, wall);
    good.principal = Minter::mint(std::move(facts));
    return good;
  }

  Answer judge_key(const Credential& credential) const {
    const Wall wall = clock_.wall();
    Good good;
    good.from_key_book = true;
    good.key_epoch = keys_.epoch();
    const auto row = keys_.check(credential.text, wall);
    if (!row) return Refused{row.error().reason, row.error().detail, {}, {}};

    PrincipalFacts facts;
    facts.tenant = row->tenant;
    facts.issuer = kKeyIssuer;
    facts.subject = row->owner;
    facts.display_name = row->owner;
    facts.token_scopes = split_scopes(row->scopes);
    facts.scopes = options_.scope_rules.expand(facts.token_scopes);
    facts.kind = credential.source == Source::shared_key ? CredentialKind::shared_key
                                                         : CredentialKind::api_key;
    facts.api_key = Secret(credential.text);
    facts.api_key_source = source_name(credential.source);
    facts.key_fingerprint = crypto::fingerprint(credential.text);
    facts.expires_at = key_expiry(*row);
    good.valid_until = facts.expires_at;
    good.deadline = deadline(good.valid_until, wall);
    good.principal = Minter::mint(std::move(facts));
    return good;
  }

  // min(exp, cache_seconds) on the monotonic clock, so that a stepped wall clock prolongs nothing.
  Mono deadline(Wall valid_until, Wall wall) const {
    const Mono latest = clock_.mono() + options_.cache_seconds;
    if (valid_until - wall >= options_.cache_seconds) return latest;
    return clock_.mono() + std::chrono::duration_cast<Mono::duration>(valid_until - wall);
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
    const Credential credential{job->text.reveal(), job->source};
    const CacheKey key = cache_key(credential, loop);
    if (auto verdict = cached(key, loop, clock_.mono())) return job->done(std::move(*verdict));
    const Judgement judgement = judge(credential, loop);
    if (const auto* needs = std::get_if<NeedsAnswer>(&judgement.answer)) {
      return ask_issuer(std::move(job), key, needs->issuer, loop_index);
    }
    const auto* needs = std::get_if<NeedsKeys>(&judgement.answer);
    if (!needs) return job->done(conclude(key, judgement, loop));
    if (!job->refetched) return wait_for_keys(std::move(job), *needs, loop_index);
    job->done(refuse_without_keys(*job, needs->issuer));
  }

  Verdict refuse_without_keys(const Job& job, std::size_t issuer) const {
    if (!issuers_[issuer]->keys()) return refuse(Reason::keys_unavailable);
    Refused refused{Reason::unknown_key, {}, {}, {}};
    if (const auto token = parse_token(job.text.reveal(), kTokenLimits)) {
      Claimed claimed = claimed_by(*token);
      refused.claimed_issuer = std::move(claimed.issuer);
      refused.claimed_subject = std::move(claimed.subject);
      refused.detail = printable(token->kid.value_or(""), 32);
    }
    return tl::unexpected(std::move(refused));
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
    const Issuer& issuer = *issuers_[index];
    Judgement judgement;
    judgement.issuer = &issuer;
    judgement.issuer_epoch = issuer.epoch();
    judgement.answer = facts ? admit(*facts, issuer.options().rules, judgement, clock_.wall())
                             : Refused{facts.error().reason, facts.error().detail, {}, {}};
    if (auto* good = std::get_if<Good>(&judgement.answer)) {
      const Mono until = clock_.mono() + issuer.options().introspection.cache_time;
      good->deadline = std::min(good->deadline, until);
    }
    const Verdict verdict = conclude(key, judgement, loop);
    for (const JobPtr& job : jobs.mapped()) job->done(verdict);
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
  const Clock& clock_;
  std::optional<std::size_t> opaque_issuer_;
  std::vector<std::unique_ptr<Loop>> loops_;
  // Expires first: what was posted to a loop before must not find us gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

std::unique_ptr<Authenticator> Authenticator::open(AuthenticatorOptions options,
                                                   std::vector<std::unique_ptr<Issuer>> issuers,
                                                   KeyBook& keys, const Clock& clock) {
  return std::make_unique<AuthenticatorImpl>(std::move(options), std::move(issuers), keys, clock);
}

}  // namespace kubiya::identity
