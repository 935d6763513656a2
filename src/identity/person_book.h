// SPDX-License-Identifier: Apache-2.0
//
// What this server itself knows of people: the Kubiya keys it keeps for them, and who was cut off.
// In memory, replaced as a whole, so that a look-up waits for nothing. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "identity/key_vault.h"
#include "store/cutoffs.h"

namespace kubiya::identity {

struct Person {
  std::string_view tenant, issuer, subject;
};

// Nothing the person holds is good while it is in force; afterwards, nothing that was issued before
// it was lifted.
struct Cutoff {
  bool in_force = true;
  Wall lifted{};
};

class PersonBook {
 public:
  // One that knows nobody.
  static const PersonBook& nobody();

  // Without `keys`, records are refused as vault_key_unknown.
  void replace(std::vector<store::VaultRow> vault, std::shared_ptr<const VaultKeys> keys,
               const std::vector<store::CutoffRow>& cutoffs = {});
  // Grows with each replacement; see stamp().
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }

  // The key that is kept for this person; nothing when none is. vault_key_unknown or
  // vault_record_invalid when there is a record and it cannot be believed.
  Checked<std::optional<Secret>> key_of(const Person& person) const;
  // The key that is kept under a name that this person's token refers to. key_reference_unknown
  // when there is none: a token that names a key is not served without it.
  Checked<std::optional<Secret>> key_under(const Person& person, std::string_view reference) const;
  // Whatever the tenant.
  std::optional<Cutoff> cutoff(const Person& person) const;
  // Two equal stamps of a person, taken at two epochs: nothing changed in between that concerns
  // that person.
  std::size_t stamp(const Person& person) const;

 private:
  struct Book {
    std::unordered_map<std::string, store::VaultRow> vault;
    std::unordered_map<std::string, Cutoff> cutoffs;
    std::shared_ptr<const VaultKeys> keys;
  };
  std::shared_ptr<const Book> snapshot() const;
  static Checked<std::optional<Secret>> open(const Book& book, const std::string& place);

  mutable std::mutex mutex_;  // guards the pointer, held for its copy only
  std::shared_ptr<const Book> book_ = std::make_shared<Book>();
  std::atomic<std::uint64_t> epoch_{0};
};

}  // namespace kubiya::identity
