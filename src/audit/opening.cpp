// SPDX-License-Identifier: Apache-2.0
#include "audit/opening.h"

#include <optional>

#include <fmt/format.h>

#include "audit/record.h"
#include "base/encoding.h"
#include "base/ids.h"

namespace kubiya::audit {
namespace {

constexpr std::uint64_t kHistoryTail = 64 * 1024;

// Empty when there is no such file.
Result<std::optional<std::string>> read_if_present(Files& files, const std::string& path) {
  auto text = files.read(path);
  if (text) return std::optional<std::string>(std::move(*text));
  if (text.error().code == Code::not_found) return std::optional<std::string>();
  return fail(std::move(text).error());
}

Result<bool> exists(Files& files, const std::string& path) {
  const auto size = files.size(path);
  if (!size && size.error().code != Code::not_found) return fail(size.error());
  return size.has_value();
}

Error checkpoints_gone(const std::string& directory) {
  return {Code::corrupt,
          "the audit journal was signed before, but its checkpoints are gone: restore them from a "
          "backup, or move its directory away to begin another journal",
          directory};
}

struct Keys {
  NoteSigner signer;
  Secret digest_key;
};

Result<Secret> digest_key(Files& files, const std::string& path, bool fresh) {
  auto text = TRY(read_if_present(files, path));
  if (!text && !fresh) return fail(Code::corrupt, "the audit journal's digest.key is missing");
  if (!text) {
    std::string bytes(32, '\0');
    random_bytes(bytes.data(), bytes.size());
    text = hex(bytes) + "\n";
    TRY_VOID(files.replace(path, *text, Durability::synced, Privacy::owner_only));
  }
  auto bytes = unhex(trim(std::string_view(*text).substr(0, text->find('\n'))));
  wipe_memory(text->data(), text->size());
  if (!bytes || bytes->size() != 32) return fail(Code::corrupt, "the digest.key is malformed");
  return Secret::take(std::move(*bytes));
}

Result<NoteSigner> signing_key(Files& files, const std::string& path, const std::string& origin,
                               bool fresh) {
  auto pem = TRY(read_if_present(files, path));
  if (!pem && !fresh) return fail(Code::corrupt, "the audit journal's audit.key is missing");
  if (!pem) {
    const auto key = TRY(crypto::PrivateKey::generate(crypto::KeyType::ed25519));
    pem = key.to_pem();
    TRY_VOID(files.replace(path, *pem, Durability::synced, Privacy::owner_only));
  }
  auto key = crypto::PrivateKey::from_pem(*pem);
  wipe_memory(pem->data(), pem->size());
  if (!key || key->public_key().type() != crypto::KeyType::ed25519) {
    return fail(Code::corrupt, "the audit journal's audit.key is not an Ed25519 key");
  }
  return NoteSigner(origin, std::move(*key));
}

std::string public_key_text(const NoteSigner& signer) { return signer.verifier().text() + "\n"; }

// `fresh`: no checkpoint was ever signed here, so missing keys may be made.
Result<Keys> load_keys(Files& files, const std::string& directory, const std::string& origin,
                       bool fresh) {
  Secret digests = TRY(digest_key(files, directory + "/digest.key", fresh));
  NoteSigner signer = TRY(signing_key(files, directory + "/audit.key", origin, fresh));
  const auto stored = TRY(read_if_present(files, public_key_path(directory)));
  if (stored && *stored != public_key_text(signer)) {
    return fail(Code::corrupt, "audit.pub does not belong to audit.key and this origin");
  }
  return Keys{std::move(signer), std::move(digests)};
}

struct Latest {
  std::string note;
  Checkpoint checkpoint;
};

// The last note of the history, empty when there is none yet. What a crash left behind it is cut
// off. Only the end is read: the history grows by a note a second.
Result<std::string> last_noted(Files& files, const std::string& path) {
  const auto size = files.size(path);
  if (!size && size.error().code == Code::not_found) return std::string();
  if (!size) return fail(size.error());
  const std::uint64_t from = *size > kHistoryTail ? *size - kHistoryTail : 0;
  const std::string piece = TRY(files.read(path, from));
  const std::size_t begin = from > 0 ? first_note(piece) : 0;
  const History history = split_history(std::string_view(piece).substr(begin));
  if (history.notes.empty() && from > 0) {
    return fail(Code::corrupt, "the end of checkpoints.log holds no checkpoint");
  }
  if (begin + history.good_bytes < piece.size()) {
    auto file = TRY(files.open_append(path));
    TRY_VOID(file->truncate(from + begin + history.good_bytes));
    TRY_VOID(file->sync());
  }
  return history.notes.empty() ? std::string() : std::string(history.notes.back());
}

// The last of the history, which is written before the file `checkpoint`: a crash may fall between
// the two, and then the file is brought up to date.
Result<std::optional<Latest>> latest_checkpoint(Files& files, const std::string& directory,
                                                const NoteVerifier& verifier) {
  const auto note = TRY(read_if_present(files, checkpoint_path(directory)));
  std::string noted = TRY(last_noted(files, history_path(directory)));
  const std::uint64_t shown = note ? TRY(verifier.open(*note)).size : 0;
  if (noted.empty() && !note) return std::optional<Latest>();
  if (noted.empty()) return fail(Code::corrupt, "the audit journal's checkpoints.log is missing");
  const Checkpoint checkpoint = TRY(verifier.open(noted));
  if (shown > checkpoint.size || (note && shown == checkpoint.size && *note != noted)) {
    return fail(Code::corrupt,
                "the audit journal's checkpoints.log does not hold the file checkpoint");
  }
  if (!note || *note != noted) {
    TRY_VOID(files.replace(checkpoint_path(directory), noted, Durability::synced, Privacy::shared));
  }
  return Latest{std::move(noted), checkpoint};
}

// The first broken record may be the remains of a write that was never acknowledged, and
// then everything behind it belongs to the same write. A whole record of a later write
// proves that the broken one had been synced: that is damage, not a crash.
bool later_write_follows(std::string_view rest, std::uint64_t broken) {
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) return false;
    const auto record = parse_record(rest.substr(0, end));
    if (record && record->batch > broken) return true;
    rest.remove_prefix(end + 1);
  }
  return false;
}

class TailReader {
 public:
  TailReader(Files& files, std::string directory, TreeState start, std::optional<Latest> latest)
      : files_(files),
        directory_(std::move(directory)),
        state_(std::move(start)),
        latest_(std::move(latest)) {}

  Result<> read(unsigned segments) {
    start_ = size();
    TRY_VOID(check_root());
    for (unsigned number = state_.segment; number <= segments; ++number) {
      TRY_VOID(read_segment(number, number == segments));
    }
    if (latest_ && size() < latest_->checkpoint.size) {
      return fail(Code::corrupt,
                  fmt::format("audit record {} is missing: the last checkpoint covers {} records",
                              size(), latest_->checkpoint.size));
    }
    return {};
  }

  TreeState& state() { return state_; }
  const TornTail& torn() const { return torn_; }
  std::uint64_t reread() const { return size() - start_; }

 private:
  std::uint64_t size() const { return state_.frontier.size(); }

  Result<> check_root() const {
    if (!latest_ || size() != latest_->checkpoint.size) return {};
    if (state_.frontier.root() == latest_->checkpoint.root) return {};
    return fail(Code::corrupt,
                fmt::format("the audit records before {} are not those of the signed checkpoint; "
                            "run `audit verify`",
                            size()));
  }

  // Why the line is not the next record; empty when it is.
  std::string fault(std::string_view line) const {
    const auto record = parse_record(line);
    if (!record) return record.error().message;
    if (record->sequence != size()) return fmt::format("it has sequence {}", record->sequence);
    if (record->previous != state_.last_leaf) return "it does not follow the record before";
    return {};
  }

  Result<> read_segment(unsigned number, bool last) {
    if (number != state_.segment) {
      state_.segment = number;
      state_.offset = 0;
    }
    const std::string text = TRY(files_.read(segment_path(directory_, number), state_.offset));
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      const std::string_view line = rest.substr(0, end);
      const std::string why = end == std::string_view::npos ? "it is cut off" : fault(line);
      if (!why.empty()) return broken(rest, why, last);
      state_.last_leaf = leaf_hash(line);
      state_.frontier.append(state_.last_leaf);
      state_.offset += end + 1;
      rest.remove_prefix(end + 1);
      TRY_VOID(check_root());
    }
    return {};
  }

  Result<> broken(std::string_view rest, const std::string& why, bool last) {
    const bool covered = latest_ && size() < latest_->checkpoint.size;
    if (covered || !last || later_write_follows(rest, size())) {
      return fail(Code::corrupt, fmt::format("audit record {} in segment {} is damaged: {}", size(),
                                             state_.segment, why));
    }
    torn_ = {rest.size(), hex(crypto::view(crypto::sha256(rest))), state_.segment, state_.offset};
    auto file = TRY(files_.open_append(segment_path(directory_, state_.segment)));
    TRY_VOID(file->truncate(state_.offset));
    return file->sync();
  }

  Files& files_;
  std::string directory_;
  TreeState state_;
  std::optional<Latest> latest_;
  TornTail torn_;
  std::uint64_t start_ = 0;
};

// From the stored state when it is vouched for and not ahead of the segments.
TreeState starting_point(Files& files, const std::string& directory, const NoteVerifier& verifier,
                         const std::optional<Latest>& latest, unsigned segments) {
  auto text = files.read(state_path(directory));
  if (!text || !latest) return {};
  auto state = parse_state(*text, verifier);
  if (!state || state->frontier.size() > latest->checkpoint.size) return {};
  if (state->offset == 0) return std::move(*state);
  if (state->segment > segments) return {};
  // A shorter segment is read from the start, so that the message names the record.
  const auto tail = files.read(segment_path(directory, state->segment), state->offset - 1);
  if (!tail || !tail->starts_with('\n')) return {};
  return std::move(*state);
}

}  // namespace

Result<Opened> open_log(Files& files, const std::string& directory, const std::string& origin,
                        std::uint64_t segment_bytes) {
  if (!NoteSigner::is_name(origin)) {
    return fail(Code::invalid, "the audit origin must be printable ASCII without spaces and '+'");
  }
  TRY_VOID(files.make_directory(directory));
  Opened opened;
  opened.lock = TRY(files.lock(directory + "/lock"));
  const unsigned segments = TRY(count_segments(files, directory));
  const bool signed_before =
      TRY(exists(files, checkpoint_path(directory))) || TRY(exists(files, history_path(directory)));
  // The checkpoint of the empty tree is signed before audit.pub and the first record are written.
  const bool announced = TRY(exists(files, public_key_path(directory)));
  if ((announced || segments > 0) && !signed_before) return fail(checkpoints_gone(directory));
  Keys keys = TRY(load_keys(files, directory, origin, !signed_before));
  opened.digest_key = std::move(keys.digest_key);
  opened.created = !signed_before;

  auto latest = TRY(latest_checkpoint(files, directory, keys.signer.verifier()));
  if ((announced || segments > 0) && !latest) return fail(checkpoints_gone(directory));
  TreeState start = starting_point(files, directory, keys.signer.verifier(), latest, segments);
  TailReader reader(files, directory, std::move(start), latest);
  TRY_VOID(reader.read(segments));
  opened.torn = reader.torn();
  opened.reread = reader.reread();

  LogWriter::Place place{std::move(reader.state()), latest ? latest->checkpoint.size : 0};
  place.state.note = latest ? latest->note : "";
  const std::string public_key = public_key_text(keys.signer);
  opened.writer = std::make_unique<LogWriter>(files, directory, segment_bytes,
                                              std::move(keys.signer), std::move(place));
  if (opened.writer->size() == 0) TRY_VOID(opened.writer->sign());
  if (!announced) {
    TRY_VOID(
        files.replace(public_key_path(directory), public_key, Durability::synced, Privacy::shared));
  }
  return opened;
}

}  // namespace kubiya::audit
