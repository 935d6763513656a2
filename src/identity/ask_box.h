// SPDX-License-Identifier: Apache-2.0
//
// Secrets that a call needs and its client must not see: the person is asked for them on a page of
// this server, behind a link of 256 random bits that is known here only by its SHA-256. In memory
// only; what nobody fetched is wiped with its time. Any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/principal.h"
#include "base/result.h"
#include "base/secret.h"

namespace kubiya::identity {

class AskBox {
 public:
  using Given = std::map<std::string, Secret>;
  struct Question {
    std::string what;                // for the page: "the workflow deploy"
    std::string who;                 // likewise: of whom it is asked
    std::vector<std::string> names;  // of what is to be given
    // The page shows a code that whoever takes it must know: so the one who entered it is the one
    // who is at the client.
    bool with_code = false;
  };
  struct Options {
    std::chrono::milliseconds lifetime{600'000};
    std::size_t most = 1'024;
    std::size_t most_of_one = 16;
  };

  AskBox(Options options, const Clock& clock) : options_(options), clock_(clock) {}

  // The token of the link. Code::busy when too many wait, of all or of this person.
  Result<std::string> put(const Principal& who, Question question);
  // What the page asks; nothing when the link is unknown, over or was answered.
  std::optional<Question> look(std::string_view token) const;
  // From the page, once; the code to show, which may be empty. Nothing as look() says nothing, or
  // when not all names are there.
  std::optional<std::string> give(std::string_view token, Given given);
  // For who asked, by the same link.
  bool was_given(std::string_view token, const Principal& who) const;
  // Once; a wrong code loses what was given.
  std::optional<Given> take(std::string_view token, const Principal& who,
                            std::string_view code = {});

 private:
  struct Entry {
    std::string owner;
    Question question;
    std::optional<Given> given;
    std::string code;
    Mono ends{};
  };
  const Entry* find(std::string_view token) const;

  const Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace kubiya::identity
