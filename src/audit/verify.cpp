// SPDX-License-Identifier: Apache-2.0
#include "audit/verify.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "audit/files.h"
#include "audit/layout.h"
#include "audit/reader.h"
#include "audit/record.h"
#include "audit/tree.h"

namespace kubiya::audit {
namespace {

struct Place {
  std::string segment;
  std::uint64_t line = 0;
};

class Verification {
 public:
  Verification(Files& files, std::string directory, const NoteVerifier& verifier)
      : files_(files), directory_(std::move(directory)), verifier_(verifier) {}

  void add_anchor(const Checkpoint& checkpoint) { expect(checkpoint, "the anchored checkpoint"); }

  VerifyReport run() {
    read_checkpoints();
    if (!report_.fault) read_records();
    if (!report_.fault) check_end();
    return std::move(report_);
  }

 private:
  struct Expected {
    Hash root;
    std::string name;
  };

  std::uint64_t size() const { return frontier_.size(); }

  void blame(std::string what) { report_.fault = Fault{std::move(what), {}, 0, {}, {}}; }
  void blame(std::string what, const Place& place, std::uint64_t sequence) {
    report_.fault = Fault{std::move(what), place.segment, place.line, sequence, sequence};
  }

  // Two signed roots for one size are a fork, whichever of them the records fit.
  void expect(const Checkpoint& checkpoint, std::string name) {
    const auto [known, added] =
        expected_.try_emplace(checkpoint.size, Expected{checkpoint.root, name});
    if (!added && known->second.root != checkpoint.root) {
      blame(fmt::format("{} and {} name different trees of {} records: the journal was forked",
                        known->second.name, name, checkpoint.size));
    }
  }

  // In the order opposite to the one a running server writes them in (records, checkpoints.log,
  // checkpoint), so that what is read later can only be ahead.
  void read_checkpoints() {
    if (report_.fault) return;
    const auto latest = files_.read(checkpoint_path(directory_));
    const auto history = files_.read(history_path(directory_));
    if (!latest) return blame("the file checkpoint is missing");
    if (!history) return blame("the file checkpoints.log is missing");
    std::uint64_t number = 0;
    std::uint64_t before = 0;
    bool latest_known = false;
    for (const std::string_view note : split_history(*history).notes) {
      ++number;
      const auto checkpoint = verifier_.open(note);
      if (!checkpoint) {
        return blame(fmt::format("checkpoint {} of checkpoints.log: {}", number,
                                 checkpoint.error().message));
      }
      if (checkpoint->size < before) {
        return blame(fmt::format("checkpoint {} of checkpoints.log goes back", number));
      }
      before = checkpoint->size;
      latest_known = latest_known || note == *latest;
      expect(*checkpoint, fmt::format("checkpoint {} of checkpoints.log", number));
      if (report_.fault) return;
      ++report_.checkpoints;
    }
    const auto checkpoint = verifier_.open(*latest);
    if (!checkpoint) return blame("the file checkpoint: " + checkpoint.error().message);
    if (!latest_known) return blame("checkpoints.log does not hold the file checkpoint");
    report_.last_checkpoint = *latest;
    read_hint();
  }

  // The stored leaf of the last signed record can show, never hide, damage there.
  void read_hint() {
    const auto text = files_.read(state_path(directory_));
    if (!text) return;
    auto state = parse_state(*text, verifier_);
    if (state && state->frontier.size() > 0) hint_ = std::move(*state);
  }

  void read_records() {
    const auto torn =
        for_each_line(directory_, [&](const Line& line) { return take(line); }, files_);
    if (!torn) return blame(torn.error().message, here_, size());
    if (!report_.fault) report_.torn_bytes = *torn;
  }

  bool take(const Line& line) {
    const std::string path = segment_path({}, line.segment);
    here_ = {path.substr(1), line.number};
    const auto record = parse_record(line.text);
    if (!record) {
      blame(fmt::format("record {} is not a record: {}", size(), record.error().message), here_,
            size());
      return false;
    }
    if (doubt_) return settle_doubt(record->previous);
    const std::uint64_t place = size() + (pending_ ? 1 : 0);
    if (record->sequence != place) {
      const std::string what = record->sequence > place
                                   ? fmt::format("record {} is missing, record {} is in its place",
                                                 place, record->sequence)
                                   : fmt::format("record {} is repeated where record {} belongs",
                                                 record->sequence, place);
      blame(what, here_, place);
      return false;
    }
    const Hash leaf = leaf_hash(line.text);
    if (pending_) return blame_pending(record->previous == pending_->leaf);
    if (record->previous != last_leaf_) {
      pending_ = Pending{record->sequence, record->previous, leaf, here_};
      return true;
    }
    accept(leaf);
    return true;
  }

  // Record n says that record n - 1 was another. Which of the two was changed shows in
  // record n + 1: if it still knows n as n is, then n is as it was written.
  struct Pending {
    std::uint64_t sequence = 0;
    Hash previous{};
    Hash leaf{};
    Place place;
  };

  bool blame_pending(bool pending_intact) {
    const std::uint64_t n = pending_->sequence;
    if (pending_intact && n > 0) {
      blame(fmt::format("record {} was changed: record {} knows another", n - 1, n), last_place_,
            n - 1);
    } else {
      blame(fmt::format("record {} was changed: it does not follow the record before", n),
            pending_->place, n);
    }
    return false;
  }

  void accept(const Hash& leaf) {
    before_last_ = frontier_;
    frontier_.append(leaf);
    last_leaf_ = leaf;
    last_place_ = here_;
    report_.records = size();
    const auto expected = expected_.find(size());
    if (expected == expected_.end()) return;
    if (expected->second.root == frontier_.root()) {
      good_size_ = size();
    } else {
      doubt_ = expected->second;
    }
  }

  // The signed root is another. Every record but the last is vouched for by its successor,
  // so if the root fits with `original` as the last leaf, the last record alone was changed;
  // otherwise the chain was rewritten since the last good checkpoint.
  bool settle_doubt(const Hash& original) {
    Frontier tree = before_last_;
    tree.append(original);
    if (tree.root() == doubt_->root) {
      blame(fmt::format("record {} was changed: it is not the one that was signed", size() - 1),
            last_place_, size() - 1);
      return false;
    }
    blame(fmt::format("records {} to {} are not those of {}: they were rewritten together",
                      good_size_, size() - 1, doubt_->name),
          last_place_, good_size_);
    report_.fault->last_sequence = size() - 1;
    return false;
  }

  void check_end() {
    if (doubt_) {
      const bool hinted = hint_ && hint_->frontier.size() == size();
      settle_doubt(hinted ? hint_->last_leaf : last_leaf_);
      return;
    }
    if (pending_) {
      // The last record has no successor; the signed root decides in its place.
      Frontier original = before_last_;
      original.append(pending_->previous);
      original.append(pending_->leaf);
      const auto expected = expected_.find(original.size());
      blame_pending(expected != expected_.end() && expected->second.root == original.root());
      return;
    }
    const std::uint64_t signed_size = expected_.empty() ? 0 : expected_.rbegin()->first;
    report_.signed_records = signed_size;
    if (size() < signed_size) {
      blame(fmt::format("records {} to {} are missing: {} covers {} records", size(),
                        signed_size - 1, expected_.rbegin()->second.name, signed_size),
            here_, size());
      report_.fault->last_sequence = signed_size - 1;
      return;
    }
    report_.unsigned_records = size() - signed_size;
  }

  Files& files_;
  std::string directory_;
  const NoteVerifier& verifier_;
  VerifyReport report_;
  std::map<std::uint64_t, Expected> expected_;
  std::optional<TreeState> hint_;
  Frontier frontier_;
  Frontier before_last_;
  Hash last_leaf_{};
  Place here_;
  Place last_place_;
  std::optional<Pending> pending_;
  std::optional<Expected> doubt_;
  std::uint64_t good_size_ = 0;
};

}  // namespace

Result<VerifyReport> verify_directory(const std::string& directory, std::string_view public_key,
                                      std::optional<std::string_view> anchored, Files& files) {
  const NoteVerifier verifier = TRY(NoteVerifier::parse(public_key));
  Verification verification(files, directory, verifier);
  if (anchored) {
    auto checkpoint = verifier.open(*anchored);
    if (!checkpoint) return fail(Code::invalid, "the anchor: " + checkpoint.error().message);
    verification.add_anchor(*checkpoint);
  }
  return verification.run();
}

}  // namespace kubiya::audit
