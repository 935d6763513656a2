// SPDX-License-Identifier: Apache-2.0
//
// The Merkle tree of RFC 6962, 2.1: SHA-256, 0x00 in front of a leaf, 0x01 in front
// of a node. Pure; nothing here reads or writes files.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/digest.h"

namespace kubiya::audit {

using Hash = crypto::Digest;
using Proof = std::vector<Hash>;

Hash leaf_hash(std::string_view leaf);
Hash node_hash(const Hash& left, const Hash& right);
Hash empty_root();

// The right edge of a growing tree: enough to append and to name the root, in
// O(log size) memory.
class Frontier {
 public:
  Frontier() = default;
  // From stored nodes; Code::corrupt when their number does not fit `size`.
  static Result<Frontier> from(std::uint64_t size, std::vector<Hash> nodes);

  void append(const Hash& leaf);
  std::uint64_t size() const { return size_; }
  Hash root() const;
  // Roots of the complete subtrees, largest first: one for each bit set in size().
  const std::vector<Hash>& nodes() const { return nodes_; }

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash> nodes_;
};

// The whole tree in memory (about 64 bytes a leaf), for proofs.
class HashTree {
 public:
  void append(const Hash& leaf);
  std::uint64_t size() const { return levels_.empty() ? 0 : levels_[0].size(); }
  // The root of the first `size` leaves; size <= size().
  Hash root(std::uint64_t size) const;
  // RFC 6962, 2.1.1: index < size <= size().
  Proof inclusion(std::uint64_t index, std::uint64_t size) const;
  // RFC 6962, 2.1.2: from <= to <= size(). Empty when from is 0 or equals to.
  Proof consistency(std::uint64_t from, std::uint64_t to) const;

 private:
  Hash range_root(std::uint64_t begin, std::uint64_t end) const;
  void inclusion(std::uint64_t index, std::uint64_t begin, std::uint64_t end, Proof& out) const;
  void consistency(std::uint64_t from, std::uint64_t begin, std::uint64_t end, bool whole,
                   Proof& out) const;
  std::vector<std::vector<Hash>> levels_;  // levels_[k][i]: leaves i·2^k … (i+1)·2^k - 1
};

// Both judge proofs from strangers: any input is answered, none is trusted.
bool verify_inclusion(std::uint64_t index, std::uint64_t size, const Hash& leaf, const Proof& proof,
                      const Hash& root);
// A proof from the empty tree says nothing and is refused unless both trees are empty.
bool verify_consistency(std::uint64_t from, std::uint64_t to, const Hash& from_root,
                        const Hash& to_root, const Proof& proof);

}  // namespace kubiya::audit
