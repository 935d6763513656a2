// SPDX-License-Identifier: Apache-2.0
#include "audit/tree.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace kubiya::audit {
namespace {

// The largest power of two smaller than `size` (RFC 6962, 2.1); size > 1.
std::uint64_t split(std::uint64_t size) { return std::bit_floor(size - 1); }

}  // namespace

Hash leaf_hash(std::string_view leaf) {
  thread_local std::string buffer;
  buffer.assign(1, '\0');
  buffer.append(leaf);
  return crypto::sha256(buffer);
}

Hash node_hash(const Hash& left, const Hash& right) {
  std::array<char, 65> bytes;
  bytes[0] = 1;
  std::memcpy(bytes.data() + 1, left.data(), 32);
  std::memcpy(bytes.data() + 33, right.data(), 32);
  return crypto::sha256({bytes.data(), bytes.size()});
}

Hash empty_root() { return crypto::sha256({}); }

Result<Frontier> Frontier::from(std::uint64_t size, std::vector<Hash> nodes) {
  if (nodes.size() != static_cast<std::size_t>(std::popcount(size))) {
    return fail(Code::corrupt, "the stored tree edge does not fit its size");
  }
  Frontier frontier;
  frontier.size_ = size;
  frontier.nodes_ = std::move(nodes);
  return frontier;
}

void Frontier::append(const Hash& leaf) {
  Hash node = leaf;
  // Each trailing one bit of the size is a complete subtree that the leaf completes further.
  for (std::uint64_t rest = size_; (rest & 1) != 0; rest >>= 1) {
    node = node_hash(nodes_.back(), node);
    nodes_.pop_back();
  }
  nodes_.push_back(node);
  ++size_;
}

Hash Frontier::root() const {
  if (nodes_.empty()) return empty_root();
  Hash root = nodes_.back();
  for (std::size_t i = nodes_.size() - 1; i-- > 0;) root = node_hash(nodes_[i], root);
  return root;
}

void HashTree::append(const Hash& leaf) {
  Hash node = leaf;
  for (std::size_t level = 0;; ++level) {
    if (level == levels_.size()) levels_.emplace_back();
    levels_[level].push_back(node);
    const std::size_t count = levels_[level].size();
    if (count % 2 != 0) return;
    node = node_hash(levels_[level][count - 2], node);
  }
}

Hash HashTree::range_root(std::uint64_t begin, std::uint64_t end) const {
  const std::uint64_t size = end - begin;
  if (std::has_single_bit(size)) {
    const auto level = static_cast<std::size_t>(std::countr_zero(size));
    return levels_[level][begin >> level];
  }
  const std::uint64_t middle = begin + split(size);
  return node_hash(range_root(begin, middle), range_root(middle, end));
}

Hash HashTree::root(std::uint64_t size) const {
  ASSERT(size <= this->size(), "a root is asked for leaves that exist");
  return size == 0 ? empty_root() : range_root(0, size);
}

void HashTree::inclusion(std::uint64_t index, std::uint64_t begin, std::uint64_t end,
                         Proof& out) const {
  if (end - begin == 1) return;
  const std::uint64_t middle = begin + split(end - begin);
  if (index < middle) {
    inclusion(index, begin, middle, out);
    out.push_back(range_root(middle, end));
  } else {
    inclusion(index, middle, end, out);
    out.push_back(range_root(begin, middle));
  }
}

Proof HashTree::inclusion(std::uint64_t index, std::uint64_t size) const {
  ASSERT(index < size && size <= this->size(), "a proof is asked for a leaf that exists");
  Proof out;
  inclusion(index, 0, size, out);
  return out;
}

void HashTree::consistency(std::uint64_t from, std::uint64_t begin, std::uint64_t end, bool whole,
                           Proof& out) const {
  if (from == end) {
    if (!whole) out.push_back(range_root(begin, end));
    return;
  }
  const std::uint64_t middle = begin + split(end - begin);
  if (from <= middle) {
    consistency(from, begin, middle, whole, out);
    out.push_back(range_root(middle, end));
  } else {
    consistency(from, middle, end, false, out);
    out.push_back(range_root(begin, middle));
  }
}

Proof HashTree::consistency(std::uint64_t from, std::uint64_t to) const {
  ASSERT(from <= to && to <= size(), "a proof is asked for trees that exist");
  Proof out;
  if (from > 0 && from < to) consistency(from, 0, to, true, out);
  return out;
}

// RFC 9162, 2.1.3.2.
bool verify_inclusion(std::uint64_t index, std::uint64_t size, const Hash& leaf, const Proof& proof,
                      const Hash& root) {
  if (index >= size) return false;
  std::uint64_t fn = index;
  std::uint64_t sn = size - 1;
  Hash hash = leaf;
  for (const Hash& step : proof) {
    if (sn == 0) return false;
    if ((fn & 1) != 0 || fn == sn) {
      hash = node_hash(step, hash);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      hash = node_hash(hash, step);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && hash == root;
}

// RFC 9162, 2.1.4.2.
bool verify_consistency(std::uint64_t from, std::uint64_t to, const Hash& from_root,
                        const Hash& to_root, const Proof& proof) {
  if (from > to) return false;
  if (from == to) {
    return proof.empty() && from_root == to_root && (from > 0 || from_root == empty_root());
  }
  if (from == 0 || proof.empty()) return false;
  std::uint64_t fn = from - 1;
  std::uint64_t sn = to - 1;
  while ((fn & 1) != 0) {
    fn >>= 1;
    sn >>= 1;
  }
  // The old tree is one complete subtree: the proof leaves its root out.
  std::size_t next = std::has_single_bit(from) ? 0 : 1;
  Hash old_hash = next == 0 ? from_root : proof[0];
  Hash new_hash = old_hash;
  for (; next < proof.size(); ++next) {
    if (sn == 0) return false;
    if ((fn & 1) != 0 || fn == sn) {
      old_hash = node_hash(proof[next], old_hash);
      new_hash = node_hash(proof[next], new_hash);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      new_hash = node_hash(new_hash, proof[next]);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && old_hash == from_root && new_hash == to_root;
}

}  // namespace kubiya::audit
