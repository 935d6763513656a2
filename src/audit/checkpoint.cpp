// SPDX-License-Identifier: Apache-2.0
#include "audit/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::audit {
namespace {

constexpr std::string_view kDash = "\xE2\x80\x94 ";  // em dash, space
constexpr char kEd25519 = 0x01;
constexpr std::size_t kMaxNote = 64 * 1024;
constexpr std::size_t kMaxSignatures = 16;

std::uint32_t note_key_id(std::string_view name, std::string_view key) {
  std::string bytes(name);
  bytes += '\n';
  bytes += kEd25519;
  bytes += key;
  const Hash hash = crypto::sha256(bytes);
  return std::uint32_t{hash[0]} << 24 | std::uint32_t{hash[1]} << 16 | std::uint32_t{hash[2]} << 8 |
         hash[3];
}

std::string big_endian(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

std::optional<std::uint64_t> decimal(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.size() > 1 && text[0] == '0') return std::nullopt;
  return value;
}

Result<Checkpoint> parse_text(std::string_view text) {
  const auto lines = lines_of(text);
  if (lines.size() != 3) return fail(Code::corrupt, "a checkpoint has three lines");
  const auto size = decimal(lines[1]);
  const auto root = unbase64(lines[2]);
  if (lines[0].empty() || !size || !root || root->size() != sizeof(Hash)) {
    return fail(Code::corrupt, "the checkpoint's origin, size or root is malformed");
  }
  Checkpoint checkpoint{std::string(lines[0]), *size, {}};
  std::copy(root->begin(), root->end(), checkpoint.root.begin());
  return checkpoint;
}

}  // namespace

std::string checkpoint_text(const Checkpoint& checkpoint) {
  return fmt::format("{}\n{}\n{}\n", checkpoint.origin, checkpoint.size,
                     base64(crypto::view(checkpoint.root)));
}

NoteVerifier::NoteVerifier(std::string name, crypto::PublicKey key)
    : name_(std::move(name)),
      key_(std::move(key)),
      key_id_(note_key_id(name_, key_.raw_ed25519())) {}

Result<NoteVerifier> NoteVerifier::parse(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  // Base64 may hold '+', a key name may not: the first two separate.
  const std::size_t first = text.find('+');
  const std::size_t second = first == std::string_view::npos ? first : text.find('+', first + 1);
  if (second == std::string_view::npos || !NoteSigner::is_name(text.substr(0, first))) {
    return fail(Code::invalid, "the verifier key must read name+hash+key");
  }
  const auto bytes = unbase64(text.substr(second + 1));
  if (!bytes || bytes->size() != 33 || (*bytes)[0] != kEd25519) {
    return fail(Code::invalid, "the verifier key is not an Ed25519 note key");
  }
  auto key = TRY(crypto::PublicKey::from_raw_ed25519(std::string_view(*bytes).substr(1)));
  NoteVerifier verifier(std::string(text.substr(0, first)), std::move(key));
  if (text.substr(first + 1, second - first - 1) != hex(big_endian(verifier.key_id_))) {
    return fail(Code::invalid, "the verifier key's hash does not fit its key");
  }
  return verifier;
}

std::string NoteVerifier::text() const {
  return fmt::format("{}+{}+{}", name_, hex(big_endian(key_id_)),
                     base64(std::string(1, kEd25519) + key_.raw_ed25519()));
}

Result<Checkpoint> NoteVerifier::open(std::string_view note) const {
  if (note.size() > kMaxNote || !is_utf8(note) || !note.ends_with('\n') ||
      std::any_of(note.begin(), note.end(),
                  [](unsigned char c) { return c < 0x20 && c != '\n'; })) {
    return fail(Code::corrupt, "not a signed note");
  }
  const std::size_t blank = note.rfind("\n\n");
  if (blank == std::string_view::npos) return fail(Code::corrupt, "the note is not signed");
  const std::string_view text = note.substr(0, blank + 1);
  const auto signatures = lines_of(note.substr(blank + 2));
  if (signatures.empty() || signatures.size() > kMaxSignatures) {
    return fail(Code::corrupt, "the note has no signature or too many");
  }
  bool known = false;
  for (std::string_view line : signatures) {
    if (!line.starts_with(kDash)) return fail(Code::corrupt, "malformed signature line");
    line.remove_prefix(kDash.size());
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return fail(Code::corrupt, "malformed signature line");
    const auto bytes = unbase64(line.substr(space + 1));
    if (!bytes || bytes->size() < 5) return fail(Code::corrupt, "malformed signature");
    const std::string_view id = std::string_view(*bytes).substr(0, 4);
    if (line.substr(0, space) != name_ || id != big_endian(key_id_)) continue;
    if (!key_.verify(crypto::Algorithm::eddsa, text, std::string_view(*bytes).substr(4))) {
      return fail(Code::corrupt, "the checkpoint's signature is wrong");
    }
    known = true;
  }
  if (!known) return fail(Code::corrupt, "the checkpoint is not signed by this key");
  auto checkpoint = TRY(parse_text(text));
  if (checkpoint.origin != name_) return fail(Code::corrupt, "the checkpoint is of another log");
  return checkpoint;
}

NoteSigner::NoteSigner(std::string name, crypto::PrivateKey key)
    : key_(std::move(key)), verifier_(std::move(name), key_.public_key()) {}

bool NoteSigner::is_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), [](char c) {
    return c > 0x20 && c < 0x7F && c != '+';
  });
}

Result<std::string> NoteSigner::sign(const Checkpoint& checkpoint) const {
  const std::string text = checkpoint_text(checkpoint);
  const std::string signature = TRY(key_.sign(crypto::Algorithm::eddsa, text));
  return fmt::format("{}\n{}{} {}\n", text, kDash, verifier_.name(),
                     base64(big_endian(verifier_.key_id()) + signature));
}

}  // namespace kubiya::audit
