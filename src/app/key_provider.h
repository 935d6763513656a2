// SPDX-License-Identifier: Apache-2.0
//
// Just in time: a Kubiya key for a person whose token leads to none, at their first call that needs
// one. Made by this installation, or given by the person on a page; either way it is kept in the
// vault from then on. Worker threads only: everything here blocks.
#pragma once

#include <mutex>

#include "app/config.h"
#include "app/key_evidence.h"
#include "base/principal.h"
#include "identity/person_book.h"
#include "store/vault.h"

namespace kubiya::app {

// All references outlive it.
class KeyProvider {
 public:
  KeyProvider(const Config& config, store::Database& database, KeyWatch& watch,
              const identity::KeyBook& book, const identity::PersonBook& people, const Clock& clock)
      : config_(config),
        keys_(database),
        vault_(database),
        watch_(watch),
        book_(book),
        people_(people),
        clock_(clock) {}

  // Once it returned, the person's credential leads to the key. Code::unavailable when that is not
  // known in time; the next call finds it.
  Result<> create(const Principal& who);
  Result<> keep(const Principal& who, Secret key);
  // For somebody else, by the doing of `by`.
  Result<> keep_for(const identity::Person& person, Secret key, const std::string& by);

 private:
  bool has_key(const identity::Person& who, std::string_view fingerprint = {}) const;
  Result<> store(const identity::Person& who, Secret key, std::string_view by);

  const Config& config_;
  store::Keys keys_;
  store::Vault vault_;
  KeyWatch& watch_;
  const identity::KeyBook& book_;
  const identity::PersonBook& people_;
  const Clock& clock_;
  std::mutex one_at_a_time_;
};

}  // namespace kubiya::app
