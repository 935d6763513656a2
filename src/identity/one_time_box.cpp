// SPDX-License-Identifier: Apache-2.0
#include "identity/one_time_box.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "identity/link_token.h"

namespace kubiya::identity {
namespace {

// A link that is over is still known as one for as long as it lived.
constexpr int kKnownLifetimes = 2;
constexpr std::size_t kKnownForEach = 4;

bool same_person(const Unseen& what, std::string_view issuer, std::string_view subject) {
  return what.issuer == issuer && what.subject == subject;
}

}  // namespace

Result<OneTimeBox::Link> OneTimeBox::put(Unseen what, bool with_code) {
  const std::lock_guard lock(mutex_);
  expire();
  std::size_t waiting = 0;
  std::size_t of_one = 0;
  for (const auto& [at, entry] : entries_) {
    if (!entry.what) continue;
    ++waiting;
    if (same_person(*entry.what, what.issuer, what.subject)) ++of_one;
  }
  if (of_one >= options_.most_of_one || waiting >= options_.most) {
    return fail(Code::busy, "Too many new keys wait to be looked at; open their links first");
  }
  // Links that are over are told from unknown ones as long as there is room for that.
  if (entries_.size() >= kKnownForEach * options_.most) {
    std::erase_if(entries_, [](const auto& one) { return !one.second.what; });
  }
  Link link{new_link_token(), with_code ? new_link_code() : std::string()};
  entries_[link_place(link.token)] = {std::move(what), link.code, 0,
                                      clock_.mono() + options_.lifetime};
  return link;
}

OneTimeBox::Entry* OneTimeBox::find(std::string_view token) {
  const auto found = entries_.find(link_place(token));
  return found == entries_.end() ? nullptr : &found->second;
}

OneTimeBox::State OneTimeBox::look(std::string_view token) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(link_place(token));
  if (found == entries_.end()) return State::unknown;
  const Entry& entry = found->second;
  if (!entry.what || entry.ends <= clock_.mono()) return State::gone;
  return entry.code.empty() ? State::waiting : State::waiting_for_code;
}

tl::expected<Unseen, OneTimeBox::Trouble> OneTimeBox::take(std::string_view token,
                                                           std::string_view code) {
  // Of one entry only: this runs on an event loop.
  const std::lock_guard lock(mutex_);
  Entry* const entry = find(token);
  if (entry == nullptr) return tl::unexpected(Trouble::unknown);
  if (!entry->what || entry->ends <= clock_.mono()) return tl::unexpected(Trouble::gone);
  if (!entry->code.empty() && !crypto::equal_constant_time(entry->code, code)) {
    if (++entry->wrong_codes < kWrongCodes) return tl::unexpected(Trouble::wrong_code);
    lost_.push_back(entry->what->key_id);
    entry->what.reset();
    return tl::unexpected(Trouble::gone);
  }
  return *std::exchange(entry->what, std::nullopt);
}

void OneTimeBox::lose(const std::string& key_id) {
  const std::lock_guard lock(mutex_);
  lost_.push_back(key_id);
}

void OneTimeBox::drop(std::string_view key_id) {
  const std::lock_guard lock(mutex_);
  for (auto& [at, entry] : entries_) {
    if (entry.what && entry.what->key_id == key_id) entry.what.reset();
  }
}

void OneTimeBox::drop_of(std::string_view issuer, std::string_view subject) {
  const std::lock_guard lock(mutex_);
  for (auto& [at, entry] : entries_) {
    if (!entry.what || !same_person(*entry.what, issuer, subject)) continue;
    lost_.push_back(entry.what->key_id);
    entry.what.reset();
  }
}

std::vector<std::string> OneTimeBox::take_lost() {
  const std::lock_guard lock(mutex_);
  expire();
  return std::exchange(lost_, {});
}

void OneTimeBox::expire() {
  const Mono now = clock_.mono();
  for (auto& [at, entry] : entries_) {
    if (!entry.what || entry.ends > now) continue;
    lost_.push_back(entry.what->key_id);
    entry.what.reset();
  }
  const auto forgotten = (kKnownLifetimes - 1) * options_.lifetime;
  std::erase_if(entries_, [&](const auto& one) { return one.second.ends + forgotten <= now; });
}

}  // namespace kubiya::identity
