// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints: C2SP tlog-checkpoint text in a C2SP signed note, one Ed25519
// signature. The key's name is the journal's origin.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "audit/tree.h"
#include "base/result.h"
#include "crypto/signature.h"

namespace kubiya::audit {

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Hash root{};
};

// The three lines that are signed, final newline included.
std::string checkpoint_text(const Checkpoint& checkpoint);

// Who may have signed a note: the content of `audit.pub`.
class NoteVerifier {
 public:
  NoteVerifier(std::string name, crypto::PublicKey key);
  // "name+8 hex digits+base64(0x01 ‖ key)", with or without a final newline. The hash
  // must fit the name and key. Code::invalid.
  static Result<NoteVerifier> parse(std::string_view text);
  std::string text() const;  // one line, no newline
  const std::string& name() const { return name_; }
  std::uint32_t key_id() const { return key_id_; }
  // Strict, Code::corrupt: exactly one blank line, at most 16 signatures, at least one of
  // this key, all of this key's good; the origin is the name; no extension lines.
  Result<Checkpoint> open(std::string_view note) const;

 private:
  std::string name_;
  crypto::PublicKey key_;
  std::uint32_t key_id_;
};

class NoteSigner {
 public:
  NoteSigner(std::string name, crypto::PrivateKey key);
  // True when `name` can be a key name: not empty, printable ASCII without space and '+'.
  static bool is_name(std::string_view name);
  Result<std::string> sign(const Checkpoint& checkpoint) const;
  const NoteVerifier& verifier() const { return verifier_; }

 private:
  crypto::PrivateKey key_;
  NoteVerifier verifier_;
};

}  // namespace kubiya::audit
