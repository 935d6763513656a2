// SPDX-License-Identifier: Apache-2.0
#include "app/key_provider.h"

#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "app/vault_keys.h"
#include "crypto/digest.h"

namespace kubiya::app {
namespace {

// The book of people is filled twice a second.
constexpr std::chrono::milliseconds kLookEvery{20};
constexpr std::chrono::seconds kPatience{5};
constexpr std::string_view kBy = "just_in_time";

}  // namespace

bool KeyProvider::has_key(const identity::Person& who, std::string_view fingerprint) const {
  const auto found = people_.key_of(who);
  if (!found || !found->has_value()) return false;
  return fingerprint.empty() || crypto::fingerprint((*found)->reveal()) == fingerprint;
}

Result<> KeyProvider::store(const identity::Person& who, Secret key, std::string_view by) {
  store::VaultRow row;
  row.tenant = who.tenant;
  row.issuer = who.issuer;
  row.name = who.subject;
  const std::string fingerprint = crypto::fingerprint(key.reveal());
  std::vector<store::Vault::Change> changes;
  changes.push_back(
      vault_change(std::move(row), std::move(key), unix_ms(clock_.wall()), {{"by", by}}));
  TRY_VOID(vault_.set(std::move(changes), sealing(config_, vault_)));
  const Mono deadline = clock_.mono() + kPatience;
  while (!has_key(who, fingerprint)) {
    if (clock_.mono() >= deadline) {
      return fail(Code::unavailable, "The new key is not known everywhere yet; call again");
    }
    std::this_thread::sleep_for(kLookEvery);
  }
  return {};
}

Result<> KeyProvider::create(const Principal& who) {
  const std::lock_guard lock(one_at_a_time_);
  const PrincipalFacts& facts = who.facts();
  const identity::Person person{facts.tenant, facts.issuer, facts.subject};
  if (has_key(person)) return {};  // an earlier call of the same person was quicker
  const identity::NewKey key = book_.make();
  store::KeyRow row;
  row.id = key.id;
  row.digest = key.digest;
  row.hint = key.hint;
  row.tenant = facts.tenant;
  row.issuer = facts.issuer;
  row.owner = facts.subject;
  row.name = std::string(kBy);
  row.scopes = config_.just_in_time_scopes.text();
  row.created_ms = unix_ms(clock_.wall());
  row.made_by = std::string(kBy);
  TRY_VOID(keys_.create(row));
  const Result<> settled = watch_.settle();
  if (!settled || !book_.check(key.key.reveal(), clock_.wall())) {
    // A key without evidence must not work, nor be kept.
    TRY_VOID(keys_.revoke(row.id, unix_ms(clock_.wall()), kBy));
    return fail(Code::unavailable, "Your new key could not be recorded; call again later",
                settled ? "the audit journal is slow" : settled.error().detail);
  }
  Result<> kept = store(person, key.key, kBy);
  if (kept || kept.error().code == Code::unavailable) return kept;
  // Nobody can ever use it.
  TRY_VOID(keys_.revoke(row.id, unix_ms(clock_.wall()), kBy));
  return kept;
}

Result<> KeyProvider::keep(const Principal& who, Secret key) {
  const std::lock_guard lock(one_at_a_time_);
  const PrincipalFacts& facts = who.facts();
  return store({facts.tenant, facts.issuer, facts.subject}, std::move(key), kBy);
}

Result<> KeyProvider::keep_for(const identity::Person& person, Secret key, const std::string& by) {
  const std::lock_guard lock(one_at_a_time_);
  return store(person, std::move(key), by);
}

}  // namespace kubiya::app
