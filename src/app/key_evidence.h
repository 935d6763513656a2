// SPDX-License-Identifier: Apache-2.0
//
// The making of an API key is in the audit journal before the key counts; its revocation counts
// at once and is recorded too. Whoever holds the journal writes the records: the server for keys
// that the command line made beside it, else the command line itself.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "audit/journal.h"
#include "base/result.h"
#include "identity/api_key.h"
#include "store/store.h"

namespace kubiya::app {

inline constexpr std::chrono::milliseconds kEvidencePatience{8'000};

// For the command line, where no server runs: records what is not on record yet and waits for
// the disk, `patience` at most. `user` is the system's user who acts. A crash in between repeats
// a record.
Result<> record_key_changes(store::Database& database, audit::Journal& journal, unsigned user,
                            std::chrono::milliseconds patience = kEvidencePatience);

// For a server: holds the book to what the database says. Has a thread of its own, so that a
// revocation waits neither for the audit disk nor for busy workers. All references outlive it.
class KeyWatch {
 public:
  KeyWatch(store::Database& database, audit::Journal& journal, identity::KeyBook& book);
  ~KeyWatch();
  KeyWatch(const KeyWatch&) = delete;
  KeyWatch& operator=(const KeyWatch&) = delete;

  // From now on looks twice a second, has `also` look each time, and writes down every few seconds
  // how often keys were used.
  void start(std::function<Result<>()> also = {});
  // One look: hands the journal each change that is not on record, once, and fills the book. Blocks
  // on the database only. After an error the next look tries again. Any thread: who changed a key
  // and looks has changed it for every event loop.
  Result<> look();
  // Looks, waits until what was handed in is on record, `patience` at most, and looks again.
  Result<> settle(std::chrono::milliseconds patience = kEvidencePatience);

 private:
  using Recorded = store::KeyRow::Recorded;
  struct Progress {
    Recorded handed_in = Recorded::nothing;
    Recorded recorded = Recorded::nothing;
  };
  struct Told {
    std::string key;
    Recorded state = Recorded::nothing;
    std::int64_t change = 0;  // id of a change that has its own row; 0: the state is meant
    Result<> result;
  };
  // Outlives the watch as long as the journal owes an answer.
  struct Answers {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Told> told;
    std::size_t owed = 0;
    bool stopping = false;
  };

  void run();
  void take_answers();
  void hand_in(const store::KeyRow& row);
  void hand_in(const store::KeyChange& change);
  void tell(std::string_view event, const json::object& fields, Told answer);
  void write_uses();
  void report(const Result<>& looked);
  Result<> look_around();

  store::Database& database_;
  store::Keys keys_;
  audit::Journal& journal_;
  identity::KeyBook& book_;
  std::mutex looking_;  // guards what follows but `answers_`
  std::shared_ptr<Answers> answers_ = std::make_shared<Answers>();
  std::unordered_map<std::string, Progress> progress_;  // of keys changed since the start
  std::int64_t changes_told_ = 0;                       // id of the last one that was handed in
  std::optional<std::int64_t> seen_version_;            // of the database, when it was last read
  bool stale_ = true;
  bool failing_ = false;
  std::function<Result<>()> also_;
  std::thread thread_;
};

}  // namespace kubiya::app
