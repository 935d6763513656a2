// SPDX-License-Identifier: Apache-2.0
//
// Just in time: a Kubiya key for a person whose token leads to none, at their first call that needs
// one. Made by this installation, or given by the person on a page; either way it is kept in the
// vault from then on. Worker threads only: everything here blocks.
#pragma once

#include <mutex>

#include "app/config.h"
#include "app/key_evidence.h"
#include "app/person_watch.h"
#include "base/principal.h"
#include "identity/person_book.h"
#include "store/vault.h"

namespace kubiya::app {

// All references outlive it.
class KeyProvider {
 public:
  struct Books {
    KeyWatch& key_watch;
    const identity::KeyBook& keys;
    PersonWatch& person_watch;
    const identity::PersonBook& people;
  };
  KeyProvider(const Config& config, store::Database& database, Books books, const Clock& clock)
      : config_(config), keys_(database), vault_(database), books_(books), clock_(clock) {}

  // Once they returned, the person's credential leads to the key. Code::busy and Code::unavailable
  // when others, the journal or the database keep it waiting: workers are few.
  Result<> create(const Principal& who);
  Result<> keep(const Principal& who, Secret key);
  // For somebody else, by the doing of `by`.
  Result<> keep_for(const identity::Person& who, Secret key, const std::string& by);

 private:
  bool has_key(const identity::Person& who) const;
  Result<> store(const identity::Person& who, Secret key, std::string_view by);

  const Config& config_;
  store::Keys keys_;
  store::Vault vault_;
  const Books books_;
  const Clock& clock_;
  std::timed_mutex one_at_a_time_;
};

}  // namespace kubiya::app
