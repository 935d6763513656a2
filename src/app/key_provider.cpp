// SPDX-License-Identifier: Apache-2.0
#include "app/key_provider.h"

#include <chrono>
#include <utility>
#include <vector>

#include "app/vault_keys.h"

namespace kubiya::app {
namespace {

// For those who came before, and for the record of a new key.
constexpr std::chrono::seconds kPatience{2};
constexpr std::string_view kBy = "just_in_time";

identity::Person person(const PrincipalFacts& facts) {
  return {facts.tenant, facts.issuer, facts.subject};
}

}  // namespace

bool KeyProvider::has_key(const identity::Person& who) const {
  const auto found = books_.people.key_of(who);
  return found && found->has_value();
}

Result<> KeyProvider::store(const identity::Person& who, Secret key, std::string_view by) {
  store::VaultRow row;
  row.tenant = who.tenant;
  row.issuer = who.issuer;
  row.name = who.subject;
  std::vector<store::Vault::Change> changes;
  changes.push_back(
      vault_change(std::move(row), std::move(key), unix_ms(clock_.wall()), {{"by", by}}));
  return vault_.set(std::move(changes), sealing(config_, vault_));
}

Result<> KeyProvider::create(const Principal& who) {
  const std::unique_lock lock(one_at_a_time_, kPatience);
  if (!lock) return fail(Code::busy, "Many keys are being made; call again shortly");
  const identity::Person owner = person(who.facts());
  if (has_key(owner)) return {};  // an earlier call of the same person was quicker
  const identity::NewKey key = books_.keys.make();
  store::KeyRow row;
  row.id = key.id;
  row.digest = key.digest;
  row.hint = key.hint;
  row.tenant = owner.tenant;
  row.issuer = owner.issuer;
  row.owner = owner.subject;
  row.name = std::string(kBy);
  row.scopes = config_.just_in_time_scopes.text();
  row.created_ms = unix_ms(clock_.wall());
  row.made_by = std::string(kBy);
  TRY_VOID(keys_.create(row));
  Result<> kept = books_.key_watch.settle(kPatience);
  if (kept && !books_.keys.check(key.key.reveal(), clock_.wall())) {
    kept = fail(Code::unavailable, "Your new key could not be recorded; call again later",
                "the audit journal is slow");
  }
  if (kept) kept = store(owner, key.key, kBy);
  if (!kept) {
    // A key without evidence must not work, and nobody could use one that is not kept.
    TRY_VOID(keys_.revoke(row.id, unix_ms(clock_.wall()), kBy));
    return kept;
  }
  return books_.person_watch.look();
}

Result<> KeyProvider::keep(const Principal& who, Secret key) {
  return keep_for(person(who.facts()), std::move(key), std::string(kBy));
}

Result<> KeyProvider::keep_for(const identity::Person& who, Secret key, const std::string& by) {
  const std::unique_lock lock(one_at_a_time_, kPatience);
  if (!lock) return fail(Code::busy, "Many keys are being kept; call again shortly");
  TRY_VOID(store(who, std::move(key), by));
  return books_.person_watch.look();
}

}  // namespace kubiya::app
