// SPDX-License-Identifier: Apache-2.0
//
// Secrets that wait to be shown once, each behind a link of 256 random bits that is known here only
// by its SHA-256. In memory only: what nobody fetched within its lifetime is wiped, and a restart
// forgets all. Any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"

namespace kubiya::identity {

// A new API key on its way to the person it is for.
struct Unseen {
  std::string key_id;
  std::string tenant;
  std::string issuer, subject;  // who asked for it
  std::string title;            // what the person called it
  Secret secret;
  std::function<Result<>()> seen = {};  // what happens because it is shown, before it is; may block
};

class OneTimeBox {
 public:
  static constexpr int kWrongCodes = 5;  // then it is lost

  struct Options {
    std::chrono::milliseconds lifetime{600'000};
    std::size_t most = 1'024;
    std::size_t most_of_one = 16;
  };
  struct Link {
    std::string token;  // 43 characters, base64url
    std::string code;   // 8 digits that have to be told as well; empty: none
  };
  enum class State { waiting, waiting_for_code, gone, unknown };
  enum class Trouble { wrong_code, gone, unknown };

  OneTimeBox(Options options, const Clock& clock) : options_(options), clock_(clock) {}

  // Code::busy when too many wait, of all or of this person.
  Result<Link> put(Unseen what, bool with_code);
  // Consumes nothing.
  State look(std::string_view token) const;
  // Once. A code that is wrong too often loses what it guards.
  tl::expected<Unseen, Trouble> take(std::string_view token, std::string_view code);
  // What was taken could not be shown.
  void lose(const std::string& key_id);
  // The key is no longer wanted, or whoever asked for it is not.
  void drop(std::string_view key_id);
  void drop_of(std::string_view issuer, std::string_view subject);
  // Ids of keys whose secret is gone and was seen by nobody, each told once.
  std::vector<std::string> take_lost();

 private:
  struct Entry {
    std::optional<Unseen> what;  // nothing: shown, dropped or lost
    std::string code;
    int wrong_codes = 0;
    Mono ends{};
  };
  Entry* find(std::string_view token);
  void expire();

  const Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<std::string, Entry> entries_;
  std::vector<std::string> lost_;
};

}  // namespace kubiya::identity
