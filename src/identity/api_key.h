// SPDX-License-Identifier: Apache-2.0
//
// Kubiya API keys of the embedded authority: "kb-" + 12 characters of public id + 43 of
// secret + 6 of checksum, all base62. Only a keyed digest of the secret is stored.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/scopes.h"
#include "base/secret.h"
#include "identity/jwt.h"
#include "identity/key_use.h"
#include "identity/reason.h"
#include "store/records.h"

namespace kubiya::identity {

struct NewKey {
  std::string id;
  Secret key;          // whole text, shown once
  std::string digest;  // hex, for the store
  std::string hint;    // last four characters
};
NewKey make_key(const Secret& pepper);

// Public id and secret part of a key whose shape and checksum are right; nothing else is said.
struct KeyParts {
  std::string_view id;
  std::string_view secret;
};
std::optional<KeyParts> parse_key(std::string_view text);
// True for "kb-…" texts of our own length and alphabet, whatever the checksum.
bool looks_like_our_key(std::string_view text);

// Reads or creates (0600) the pepper that keys the digests. An absent file without `create` is
// Code::not_found: without its pepper no stored key can be checked, so the caller must not start.
Result<Secret> open_pepper(const std::string& path, bool create);

// The keys in memory, replaced as a whole; look-ups take the same time for a wrong
// secret and an unknown id.
class KeyBook {
 public:
  explicit KeyBook(Secret pepper) : pepper_(std::move(pepper)) {}
  void replace(std::vector<store::KeyRow> rows);  // any thread
  NewKey make() const { return make_key(pepper_); }
  // Grows with each replacement; a key checked under an older epoch must be checked again.
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  // The row of a good, unexpired, unrevoked key whose place no other has taken; otherwise
  // bad_api_key, unknown_api_key, revoked_api_key or expired_api_key. Any thread.
  Checked<store::KeyRow> check(std::string_view text, Wall now) const;
  // How often they are used.
  KeyUses& uses() { return uses_; }

 private:
  using Map = std::unordered_map<std::string, store::KeyRow>;
  static bool same(const Map& a, const Map& b);
  std::shared_ptr<const Map> snapshot() const;

  Secret pepper_;
  mutable std::mutex mutex_;  // guards the pointer, held for its copy only
  std::shared_ptr<const Map> map_ = std::make_shared<Map>();
  std::atomic<std::uint64_t> epoch_{0};
  KeyUses uses_;
};

}  // namespace kubiya::identity
