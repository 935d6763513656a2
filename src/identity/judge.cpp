// SPDX-License-Identifier: Apache-2.0
#include "identity/judge.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "crypto/digest.h"
#include "identity/key_life.h"
#include "identity/minter.h"
#include "identity/provider.h"

namespace kubiya::identity {
namespace {

Wall saturating_add(Wall time, std::chrono::seconds more) {
  return time > Wall::max() - more ? Wall::max() : time + more;
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

// A key's own end ends the principal too.
Wall key_expiry(const store::KeyRow& row) {
  const std::int64_t ends = ends_ms(row);
  return ends == 0 ? Wall::max() : from_unix_ms(ends);
}

// A key that was made without naming an issuer is, of a server with issuers, for the callers of
// the first: a namesake at another one is another person.
bool belongs_to(const store::KeyRow& row, const TokenFacts& token, bool first_issuer) {
  const bool issuer =
      row.issuer == token.issuer || (first_issuer && row.issuer == store::kKeyIssuer);
  return issuer && row.owner == token.subject && row.tenant == token.tenant;
}

Judgement malformed() {
  return {Refused{Reason::bad_authorization_header, {}, {}, {}}, false, nullptr, 0};
}

// The last word of a trail.
void close(Trail* trail, const Judgement& judgement) {
  const auto* refused = std::get_if<Refused>(&judgement.answer);
  if (trail != nullptr && refused != nullptr) trail->fail(refused->detail);
}

std::string described(const UnverifiedToken& token) {
  return fmt::format("signed with {}, {}", crypto::name(token.algorithm),
                     token.kid ? "key '" + printable(*token.kid, 32) + "'" : "names no key");
}

std::string described(const IssuerOptions& issuer) {
  const std::string_view preset = to_string(issuer.rules.provider);
  return fmt::format("{}{}{}{}{}", issuer.url, issuer.name.empty() ? "" : " (", issuer.name,
                     issuer.name.empty() ? "" : ")", preset.empty() ? "" : ", preset ") +
         std::string(preset);
}

std::string described(const store::KeyRow& row) {
  return fmt::format("key {} of {}, scopes: {}", row.id, row.owner,
                     row.scopes.empty() ? "none" : row.scopes);
}

}  // namespace

Judge::Judge(const AuthenticatorOptions& options,
             const std::vector<std::unique_ptr<Issuer>>& issuers, const KeyBook& keys,
             const PersonBook& people, const Clock& clock)
    : options_(options), issuers_(issuers), keys_(keys), people_(people), clock_(clock) {
  for (std::size_t i = 0; i < issuers_.size(); ++i) {
    if (issuers_[i]->options().tokens == TokenKind::opaque) opaque_issuer_ = i;
  }
}

Judgement Judge::judge(const Credential& credential, HeaderMemo& headers, Trail* trail) const {
  begin(trail, Check::credential);
  Judgement out;
  if (credential.source == Source::token) {
    out = judge_token(credential, headers, trail);
  } else if (is_well_formed(credential)) {
    out = {judge_key(credential, trail), false, nullptr, 0};
  } else {
    out = malformed();
  }
  close(trail, out);
  return out;
}

Judgement Judge::judge_answer(std::size_t index, std::string_view text,
                              const Checked<TokenFacts>& facts, Trail* trail) const {
  const Issuer& issuer = *issuers_[index];
  Judgement judgement;
  judgement.issuer = &issuer;
  judgement.issuer_epoch = issuer.epoch();
  judgement.answer = facts ? admit(text, *facts, judgement, clock_.wall(), trail)
                           : Refused{facts.error().reason, facts.error().detail, {}, {}};
  close(trail, judgement);
  if (auto* good = std::get_if<Good>(&judgement.answer)) {
    const Mono until = clock_.mono() + issuer.options().introspection.cache_time;
    good->deadline = std::min(good->deadline, until);
  }
  return judgement;
}

Refused Judge::refuse_without_keys(std::string_view text, std::size_t issuer, Trail* trail) const {
  Refused refused{Reason::unknown_key, {}, {}, {}};
  if (!issuers_[issuer]->keys()) {
    refused.reason = Reason::keys_unavailable;
  } else if (const auto token = parse_token(text, kTokenLimits)) {
    Claimed claimed = claimed_by(*token);
    refused.claimed_issuer = std::move(claimed.issuer);
    refused.claimed_subject = std::move(claimed.subject);
    refused.detail = printable(token->kid.value_or(""), 32);
  }
  if (trail != nullptr) {
    trail->fail(refused.reason == Reason::unknown_key ? "no key of this name"
                                                      : issuers_[issuer]->health().problem);
  }
  return refused;
}

Judgement Judge::judge_token(const Credential& credential, HeaderMemo& headers,
                             Trail* trail) const {
  Judgement out;
  const auto token = parse_token(credential.text, kTokenLimits, &headers);
  // What can be parsed is well formed: three parts of base64url and two dots.
  if (!token && !is_well_formed(credential)) return malformed();
  if (const auto issuer = to_be_asked(credential.text, token)) {
    begin(trail, Check::introspection);
    say(trail, [&] { return "asked: " + described(issuers_[*issuer]->options()); });
    out.answer = NeedsAnswer{*issuer};
    return out;
  }
  begin(trail, Check::token);
  if (!token) {
    const Failure why = explain(credential.text, token.error());
    out.answer = Refused{why.reason, why.detail, {}, {}};
    return out;
  }
  say(trail, [&] { return described(*token); });
  out.answer = judge_parsed(credential.text, *token, out, trail);
  if (auto* refused = std::get_if<Refused>(&out.answer)) {
    Claimed claimed = claimed_by(*token);
    refused->claimed_issuer = std::move(claimed.issuer);
    refused->claimed_subject = std::move(claimed.subject);
  }
  return out;
}

Answer Judge::judge_parsed(std::string_view text, const UnverifiedToken& token, Judgement& out,
                           Trail* trail) const {
  const auto failed = [](Failure failure) {
    return Refused{failure.reason, std::move(failure.detail), {}, {}};
  };
  begin(trail, Check::issuer);
  const auto index = issuer_of(token);
  if (!index) return failed(index.error());
  const Issuer& issuer = *issuers_[*index];
  say(trail, [&] { return described(issuer.options()); });
  const TokenRules& rules = issuer.options().rules;
  const Wall wall = clock_.wall();
  auto facts = check_claims(token, rules, wall, trail);
  if (!facts) return failed(facts.error());

  // The epoch is read before the keys: a change in between makes the entry stale at once.
  out.issuer = &issuer;
  out.issuer_epoch = issuer.epoch();
  const auto keys = issuer.keys();
  if (!keys) begin(trail, Check::signing_key);
  if (!keys) return NeedsKeys{*index, out.issuer_epoch};
  const auto verified = verify_signature(token, rules, *keys, trail);
  out.signature_checked = verified || verified.error().reason == Reason::bad_signature;
  if (!verified) {
    if (verified.error().reason == Reason::unknown_key) return NeedsKeys{*index, out.issuer_epoch};
    return failed(verified.error());
  }
  return admit(text, std::move(*facts), out, wall, trail);
}

// The issuer to ask about this text, by configuration and not by the text's looks: all of an
// issuer whose tokens are opaque, and what is no JWT where such an issuer is among others.
std::optional<std::size_t> Judge::to_be_asked(std::string_view text,
                                              const Checked<UnverifiedToken>& token) const {
  if (!opaque_issuer_ || text.size() > kTokenLimits.token_bytes) return std::nullopt;
  if (issuers_.size() == 1 || !token) return opaque_issuer_;
  const auto named = issuer_of(*token);
  return named && *named == *opaque_issuer_ ? opaque_issuer_ : std::nullopt;
}

Failure Judge::explain(std::string_view text, const Failure& failure) const {
  if (failure.reason != Reason::not_three_parts) return failure;
  for (const auto& issuer : issuers_) {
    if (auto why = explain_opaque(text, issuer->options().rules)) return std::move(*why);
  }
  return failure;
}

// By the unverified `iss`, among the configured ones only: no token makes us fetch anything new.
Checked<std::size_t> Judge::issuer_of(const UnverifiedToken& token) const {
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

Answer Judge::admit(std::string_view text, TokenFacts token, const Judgement& judgement, Wall wall,
                    Trail* trail) const {
  const TokenRules& rules = judgement.issuer->options().rules;
  if (rules.require_dpop && (!token.confirmation || token.confirmation->key.empty())) {
    return Refused{Reason::token_not_bound, "the issuer's tokens must be bound by DPoP", {}, {}};
  }
  Good good;
  good.confirmation = std::move(token.confirmation);
  good.issuer = judgement.issuer;
  good.issuer_epoch = judgement.issuer_epoch;
  good.key_epoch = keys_.epoch();
  good.valid_until = saturating_add(token.expires_at, rules.leeway);
  // The epoch is read before the book: a change in between makes the entry stale at once.
  good.people_epoch = people_.epoch();
  const Person person{token.tenant, token.issuer, token.subject};
  good.people_stamp = people_.stamp(person);
  begin(trail, Check::person);
  if (is_cut_off(person, token.issued_at, rules.lifetime_max, wall)) {
    return Refused{Reason::person_cut_off, {}, {}, {}};
  }
  if (!token.api_key) {
    begin(trail, Check::vault);
    good.key_by_reference = !token.key_reference.empty();
    auto kept = good.key_by_reference ? people_.key_under(person, token.key_reference)
                                      : people_.key_of(person);
    if (!kept) return Refused{kept.error().reason, kept.error().detail, {}, {}};
    if (*kept) token.api_key_source = good.key_by_reference ? "vault:reference" : "vault";
    token.api_key = std::move(*kept);
    say(trail, [&] {
      return token.api_key ? "fingerprint " + crypto::fingerprint(token.api_key->reveal())
                           : std::string("keeps none");
    });
  }

  PrincipalFacts facts;
  facts.scopes = options_.scope_rules.expand(token.scopes);
  facts.expires_at = token.expires_at;
  if (token.api_key) {
    begin(trail, Check::api_key);
    if (looks_like_our_key(token.api_key->reveal())) {
      const auto row = keys_.check(token.api_key->reveal(), wall);
      if (!row) return Refused{row.error().reason, token.api_key_source, {}, {}};
      if (!belongs_to(*row, token, judgement.issuer == issuers_.front().get())) {
        return Refused{Reason::key_of_another_owner, token.api_key_source, {}, {}};
      }
      say(trail, [&] { return described(*row); });
      good.from_key_book = true;
      good.valid_until = std::min(good.valid_until, key_expiry(*row));
      facts.expires_at = std::min(facts.expires_at, key_expiry(*row));
      facts.scopes = facts.scopes.intersect(options_.scope_rules.expand(scopes_of(*row)));
    }
    if (!good.from_key_book) say(trail, [] { return "not of this installation: not judged here"; });
    facts.key_fingerprint = crypto::fingerprint(token.api_key->reveal());
  }
  facts.tenant = std::move(token.tenant);
  facts.issuer = std::move(token.issuer);
  facts.subject = std::move(token.subject);
  facts.display_name = std::move(token.display_name);
  facts.email = std::move(token.email);
  facts.client = std::move(token.client);
  facts.required_scopes = rules.required_scopes;
  facts.groups = std::move(token.groups);
  facts.token_scopes = std::move(token.scopes);
  facts.kind = token.of_client ? CredentialKind::client_token : CredentialKind::token;
  facts.api_key = std::move(token.api_key);
  facts.api_key_source = std::move(token.api_key_source);
  // A bound token is of no use without its client's key.
  if (judgement.issuer->options().exchange.is_configured() && !good.confirmation) {
    facts.token = Secret(text);
  }
  facts.trusted_until = good.valid_until;
  const IssuerOptions& issuer = judgement.issuer->options();
  if (issuer.tokens == TokenKind::opaque) {
    const Wall asked_again = saturating_add(wall, issuer.introspection.stream_time);
    facts.trusted_until = std::min(facts.trusted_until, asked_again);
  }
  good.deadline = deadline(good.valid_until, wall);
  good.principal = Minter::mint(std::move(facts));
  return good;
}

// A token that does not say when it was issued was issued within its greatest lifetime.
bool Judge::is_cut_off(const Person& person, std::optional<Wall> issued_at,
                       std::chrono::seconds lifetime_max, Wall wall) const {
  const auto cut = people_.cutoff(person);
  if (!cut) return false;
  if (cut->in_force) return true;
  return issued_at ? *issued_at < cut->lifted : wall < saturating_add(cut->lifted, lifetime_max);
}

Answer Judge::judge_key(const Credential& credential, Trail* trail) const {
  begin(trail, Check::api_key);
  const Wall wall = clock_.wall();
  Good good;
  good.from_key_book = true;
  good.key_epoch = keys_.epoch();
  good.people_epoch = people_.epoch();
  const auto row = keys_.check(credential.text, wall);
  if (!row) return Refused{row.error().reason, row.error().detail, {}, {}};
  say(trail, [&] { return described(*row); });
  const Person person{row->tenant, row->issuer, row->owner};
  good.people_stamp = people_.stamp(person);
  if (is_cut_off(person, from_unix_ms(row->created_ms), {}, wall)) {
    return Refused{Reason::person_cut_off, {}, {}, {}};
  }

  PrincipalFacts facts;
  facts.tenant = row->tenant;
  facts.issuer = row->issuer;
  facts.subject = row->owner;
  facts.display_name = row->owner;
  facts.token_scopes = scopes_of(*row);
  facts.scopes = options_.scope_rules.expand(facts.token_scopes);
  facts.kind = credential.source == Source::shared_key ? CredentialKind::shared_key
                                                       : CredentialKind::api_key;
  facts.api_key = Secret(credential.text);
  facts.api_key_source = source_name(credential.source);
  facts.key_fingerprint = crypto::fingerprint(credential.text);
  facts.expires_at = key_expiry(*row);
  facts.trusted_until = facts.expires_at;
  good.valid_until = facts.expires_at;
  good.deadline = deadline(good.valid_until, wall);
  good.principal = Minter::mint(std::move(facts));
  return good;
}

// min(exp, cache_seconds) on the monotonic clock, so that a stepped wall clock prolongs nothing.
Mono Judge::deadline(Wall valid_until, Wall wall) const {
  const Mono latest = clock_.mono() + options_.cache_seconds;
  if (valid_until - wall >= options_.cache_seconds) return latest;
  return clock_.mono() + std::chrono::duration_cast<Mono::duration>(valid_until - wall);
}

}  // namespace kubiya::identity
