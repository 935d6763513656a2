// SPDX-License-Identifier: Apache-2.0
#include "identity/ask_box.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "identity/link_token.h"

namespace kubiya::identity {

Result<std::string> AskBox::put(const Principal& who, Question question) {
  const std::lock_guard lock(mutex_);
  const Mono now = clock_.mono();
  std::erase_if(entries_, [&](const auto& one) { return one.second.ends <= now; });
  const auto mine = std::count_if(entries_.begin(), entries_.end(),
                                  [&](const auto& one) { return one.second.owner == who.owner(); });
  if (entries_.size() >= options_.most || static_cast<std::size_t>(mine) >= options_.most_of_one) {
    return fail(Code::busy, "Too many questions for secrets are open; answer them first");
  }
  std::string token = new_link_token();
  entries_[link_place(token)] = {
      who.owner(), std::move(question), std::nullopt, {}, now + options_.lifetime};
  return token;
}

const AskBox::Entry* AskBox::find(std::string_view token) const {
  const auto found = entries_.find(link_place(token));
  return found == entries_.end() || found->second.ends <= clock_.mono() ? nullptr : &found->second;
}

std::optional<AskBox::Question> AskBox::look(std::string_view token) const {
  const std::lock_guard lock(mutex_);
  const Entry* const entry = find(token);
  if (entry == nullptr || entry->given) return std::nullopt;
  return entry->question;
}

std::optional<std::string> AskBox::give(std::string_view token, Given given) {
  const std::lock_guard lock(mutex_);
  const Entry* const entry = find(token);
  if (entry == nullptr || entry->given) return std::nullopt;
  const auto& names = entry->question.names;
  const bool all = given.size() == names.size() &&
                   std::all_of(names.begin(), names.end(),
                               [&](const std::string& name) { return given.count(name) == 1; });
  if (!all) return std::nullopt;
  Entry& kept = entries_[link_place(token)];
  kept.given = std::move(given);
  if (kept.question.with_code) kept.code = new_link_code();
  return kept.code;
}

bool AskBox::was_given(std::string_view token, const Principal& who) const {
  const std::lock_guard lock(mutex_);
  const Entry* const entry = find(token);
  return entry != nullptr && entry->owner == who.owner() && entry->given.has_value();
}

std::optional<AskBox::Given> AskBox::take(std::string_view token, const Principal& who,
                                          std::string_view code) {
  const std::lock_guard lock(mutex_);
  const Entry* const entry = find(token);
  if (entry == nullptr || entry->owner != who.owner() || !entry->given) return std::nullopt;
  auto taken = entries_.extract(link_place(token));
  if (!crypto::equal_constant_time(taken.mapped().code, code)) return std::nullopt;
  return std::move(taken.mapped().given);
}

}  // namespace kubiya::identity
