// SPDX-License-Identifier: Apache-2.0
//
// Seals the Kubiya keys that this server keeps for people whose tokens carry none: AES-256-GCM
// (NIST SP 800-38D) with a random nonce. What the key is kept for — tenant, issuer, subject or
// reference, version — is authenticated with it, so that a record that was changed, or put in
// another's place, does not open. Pure but for the nonce; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "crypto/seal.h"
#include "identity/jwt.h"
#include "store/vault.h"

namespace kubiya::identity {

// What a header or an environment variable can carry unchanged: 1 to 1024 visible ASCII characters.
bool is_key_text(std::string_view text);

class VaultKeys {
 public:
  static constexpr std::size_t kSecretBytesMin = 32;

  // `current` seals; both open. Code::invalid for one that is too short to be a key.
  static Result<VaultKeys> make(const Secret& current, const std::optional<Secret>& previous);

  // Names a key without telling of it; kept with each record.
  const std::string& current_id() const { return keys_.front().id; }
  bool knows(std::string_view id) const;
  // Fills in key_id and sealed.
  void seal(store::VaultRow& row, const Secret& key) const;
  // vault_key_unknown when no key here sealed it, vault_record_invalid when it is not what was
  // sealed, or not where it was.
  Checked<Secret> open(const store::VaultRow& row) const;

 private:
  struct One {
    std::string id;
    crypto::Sealer sealer;
  };
  static One one(const Secret& secret);
  const One* find(std::string_view id) const;
  std::vector<One> keys_;  // the current one first
};

}  // namespace kubiya::identity
