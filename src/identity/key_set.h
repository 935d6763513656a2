// SPDX-License-Identifier: Apache-2.0
//
// A key set (JWKS, RFC 7517 §5), parsed once and then immutable.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/signature.h"
#include "identity/jwt.h"

namespace kubiya::identity {

class KeySet {
 public:
  // Keys that we cannot or must not use (oct, `use` other than sig, unknown kty or crv, weak,
  // private, duplicate kid) are left out and named in skipped(); a document that is not a key set,
  // is over 256 KiB or 64 keys, or holds no usable key, is an error.
  static Result<KeySet> parse(std::string_view text);

  // The one key a token may be verified with. With `kid`: exact match. Without: only when the set
  // has one key and the algorithm fits it. A key with `alg` serves that algorithm only.
  // Reason::unknown_key (worth a refetch), key_mismatch, or bad_key_id when the set has several
  // keys and the token names none (a refetch would not help).
  Checked<const crypto::PublicKey*> select(const UnverifiedToken& token) const;
  // The same with rules.provider in view: Entra's keys may be those of one tenant.
  Checked<const crypto::PublicKey*> select(const UnverifiedToken& token,
                                           const TokenRules& rules) const;
  // Whether a key of the set verifies tokens of this algorithm.
  bool serves(crypto::Algorithm algorithm) const;
  std::size_t size() const { return keys_.size(); }
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  struct Entry {
    std::optional<std::string> kid;
    std::optional<crypto::Algorithm> algorithm;
    crypto::PublicKey key;
    std::string issuer;  // as Entra names the tenant whose tokens the key signs; mostly empty
    bool serves(crypto::Algorithm wanted) const {
      return crypto::fits(wanted, key.type()) && algorithm.value_or(wanted) == wanted;
    }
  };
  static Result<Entry> read_entry(const json::value& value);
  Checked<const Entry*> find_entry(const UnverifiedToken& token) const;
  void drop_duplicates();
  std::vector<Entry> keys_;
  std::vector<std::string> skipped_;
};

// rules.algorithms first, then the key; true only for a good signature.
Checked<void> verify_signature(const UnverifiedToken& token, const TokenRules& rules,
                               const KeySet& keys, Trail* trail = nullptr);

}  // namespace kubiya::identity
