// SPDX-License-Identifier: Apache-2.0
//
// From a credential to what can be said of it now: who it is, why not, or what must be fetched
// first. Changes nothing and waits for nothing; the authenticator remembers, and waits. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "identity/authenticator.h"
#include "identity/credential.h"
#include "identity/trail.h"

namespace kubiya::identity {

inline constexpr TokenLimits kTokenLimits{};

struct Good {
  PrincipalPtr principal;
  ConfirmationPtr confirmation;  // the principal is who the token says only with this shown
  Mono deadline{};
  Wall valid_until{};
  const Issuer* issuer = nullptr;
  std::uint64_t issuer_epoch = 0;
  bool from_key_book = false;
  std::uint64_t key_epoch = 0;
  std::shared_ptr<UseCounter> uses;  // of a key that is in the book
  std::uint64_t people_epoch = 0;
  std::size_t people_stamp = 0;   // of the principal in the book of people, at that epoch
  bool key_by_reference = false;  // the stamp says nothing of the key
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

// All references outlive it.
class Judge {
 public:
  Judge(const AuthenticatorOptions& options, const std::vector<std::unique_ptr<Issuer>>& issuers,
        const KeyBook& keys, const PersonBook& people, const Clock& clock);

  // `headers` is of one thread at a time. With `trail`, each check is written there; a judgement
  // that needs something first leaves it open.
  Judgement judge(const Credential& credential, HeaderMemo& headers, Trail* trail = nullptr) const;
  // What an issuer that was asked said of the token `text`.
  Judgement judge_answer(std::size_t issuer, std::string_view text,
                         const Checked<TokenFacts>& facts, Trail* trail = nullptr) const;
  // Of a token whose issuer's keys were asked for: it has none, or not the one of the token.
  Refused refuse_without_keys(std::string_view text, std::size_t issuer,
                              Trail* trail = nullptr) const;

 private:
  Judgement judge_token(const Credential& credential, HeaderMemo& headers, Trail* trail) const;
  Answer judge_parsed(std::string_view text, const UnverifiedToken& token, Judgement& out,
                      Trail* trail) const;
  Answer judge_key(const Credential& credential, Trail* trail) const;
  std::optional<std::size_t> to_be_asked(std::string_view text,
                                         const Checked<UnverifiedToken>& token) const;
  Failure explain(std::string_view text, const Failure& failure) const;
  Checked<std::size_t> issuer_of(const UnverifiedToken& token) const;
  Answer admit(std::string_view text, TokenFacts token, const Judgement& judgement, Wall wall,
               Trail* trail) const;
  bool is_cut_off(const Person& person, std::optional<Wall> issued_at,
                  std::chrono::seconds lifetime_max, Wall wall) const;
  Mono deadline(Wall valid_until, Wall wall) const;

  const AuthenticatorOptions& options_;
  const std::vector<std::unique_ptr<Issuer>>& issuers_;
  const KeyBook& keys_;
  const PersonBook& people_;
  const Clock& clock_;
  std::optional<std::size_t> opaque_issuer_;
};

}  // namespace kubiya::identity
