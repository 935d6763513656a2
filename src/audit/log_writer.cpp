// SPDX-License-Identifier: Apache-2.0
#include "audit/log_writer.h"

#include "audit/record.h"

namespace kubiya::audit {

LogWriter::LogWriter(Files& files, std::string directory, std::uint64_t segment_bytes,
                     NoteSigner signer, Place place)
    : files_(files),
      directory_(std::move(directory)),
      segment_bytes_(segment_bytes),
      signer_(std::move(signer)),
      state_(std::move(place.state)),
      signed_size_(place.signed_size) {}

Error LogWriter::noted(Error error) {
  if (error.code == Code::corrupt) dead_ = true;
  return error;
}

Result<> LogWriter::open_segment() {
  if (segment_ != nullptr && state_.offset < segment_bytes_) return {};
  if (state_.offset >= segment_bytes_) {
    segment_.reset();
    ++state_.segment;
    state_.offset = 0;
  }
  auto file = files_.open_append(segment_path(directory_, state_.segment));
  if (!file) return fail(noted(std::move(file).error()));
  segment_ = std::move(*file);
  // A file that is not as long as the tree says was touched by someone else.
  if (segment_->size() != state_.offset) {
    return fail(noted({Code::corrupt, "an audit segment changed under the journal", {}}));
  }
  return {};
}

Result<> LogWriter::write_and_sync(AppendFile& file, std::string_view bytes) {
  const std::uint64_t good = file.size();
  if (auto written = file.append(bytes); !written) {
    // The part that got in must not stay: a later batch would follow a broken record.
    if (auto cut = file.truncate(good); !cut) return fail(noted(std::move(cut).error()));
    return fail(noted(std::move(written).error()));
  }
  if (auto synced = file.sync(); !synced) return fail(noted(std::move(synced).error()));
  return {};
}

Result<std::uint64_t> LogWriter::append(const std::vector<std::string_view>& bodies) {
  if (dead_) return fail(Code::corrupt, "the audit journal is closed after a disk failure");
  TRY_VOID(open_segment());
  const std::uint64_t first = size();
  Frontier frontier = state_.frontier;
  Hash last = state_.last_leaf;
  std::string bytes;
  for (const std::string_view body : bodies) {
    const std::string line = record_line(frontier.size(), first, last, body);
    last = leaf_hash(line);
    frontier.append(last);
    bytes += line;
    bytes += '\n';
  }
  TRY_VOID(write_and_sync(*segment_, bytes));
  // From here the batch is on disk, so the tree may contain it.
  state_.frontier = std::move(frontier);
  state_.last_leaf = last;
  state_.offset += bytes.size();
  return first;
}

// The history first: a note that anyone may have read must not be missing from it.
Result<> LogWriter::append_note() {
  const Checkpoint checkpoint{signer_.verifier().name(), size(), state_.frontier.root()};
  std::string note = TRY(signer_.sign(checkpoint));
  if (history_ == nullptr) {
    auto file = files_.open_append(history_path(directory_));
    if (!file) return fail(noted(std::move(file).error()));
    history_ = std::move(*file);
  }
  TRY_VOID(write_and_sync(*history_, note));
  noted_ = std::move(note);
  noted_size_ = size();
  return {};
}

Result<> LogWriter::sign() {
  if (dead_) return fail(Code::corrupt, "the audit journal is closed after a disk failure");
  if (is_signed()) return {};
  if (noted_.empty() || noted_size_ != size()) TRY_VOID(append_note());
  auto replaced =
      files_.replace(checkpoint_path(directory_), noted_, Durability::synced, Privacy::shared);
  if (!replaced) return fail(noted(std::move(replaced).error()));
  state_.note = std::exchange(noted_, {});
  signed_size_ = size();
  // Only saves the next start some reading, so its failure is not one.
  (void)files_.replace(state_path(directory_), state_text(state_), Durability::best_effort,
                       Privacy::shared);
  return {};
}

}  // namespace kubiya::audit
