// SPDX-License-Identifier: Apache-2.0
#include "audit/tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/encoding.h"
#include "base/json.h"

namespace kubiya::audit {
namespace {

std::string text(const Hash& hash) { return hex(crypto::view(hash)); }

Hash numbered(std::uint64_t n) { return leaf_hash(std::to_string(n)); }

TEST(Tree, KnowsTheEmptyRootAndTheSingleLeaf) {
  EXPECT_EQ(text(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(text(Frontier().root()), text(empty_root()));
  EXPECT_EQ(text(leaf_hash("")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

TEST(Tree, FrontierAndWholeTreeAgreeOnEveryRoot) {
  Frontier frontier;
  HashTree tree;
  for (std::uint64_t n = 0; n < 130; ++n) {
    EXPECT_EQ(frontier.root(), tree.root(n));
    const auto again = Frontier::from(n, frontier.nodes());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->root(), frontier.root());
    frontier.append(numbered(n));
    tree.append(numbered(n));
  }
  EXPECT_EQ(frontier.root(), tree.root(130));
}

TEST(Tree, RefusesAnEdgeThatDoesNotFitItsSize) {
  EXPECT_FALSE(Frontier::from(3, {Hash{}}));
  EXPECT_FALSE(Frontier::from(0, {Hash{}}));
}

TEST(Tree, ProvesEveryLeafAtEverySizeAndNothingElse) {
  HashTree tree;
  for (std::uint64_t n = 0; n < 33; ++n) tree.append(numbered(n));
  for (std::uint64_t size = 1; size <= 33; ++size) {
    for (std::uint64_t index = 0; index < size; ++index) {
      Proof proof = tree.inclusion(index, size);
      const Hash root = tree.root(size);
      ASSERT_TRUE(verify_inclusion(index, size, numbered(index), proof, root));
      ASSERT_FALSE(verify_inclusion(index, size, numbered(index + 1), proof, root));
      ASSERT_FALSE(verify_inclusion(size, size, numbered(index), proof, root));
      proof.emplace_back();
      ASSERT_FALSE(verify_inclusion(index, size, numbered(index), proof, root));
    }
  }
}

TEST(Tree, ProvesThatEveryTreeGrewFromEveryEarlierOne) {
  HashTree tree;
  for (std::uint64_t n = 0; n < 33; ++n) tree.append(numbered(n));
  for (std::uint64_t to = 1; to <= 33; ++to) {
    for (std::uint64_t from = 1; from <= to; ++from) {
      Proof proof = tree.consistency(from, to);
      ASSERT_TRUE(verify_consistency(from, to, tree.root(from), tree.root(to), proof));
      ASSERT_FALSE(verify_consistency(from, to, numbered(77), tree.root(to), proof));
      ASSERT_FALSE(verify_consistency(from, to, tree.root(from), numbered(77), proof));
      proof.emplace_back();
      ASSERT_FALSE(verify_consistency(from, to, tree.root(from), tree.root(to), proof));
    }
  }
}

TEST(Tree, ShowsAForkThroughTheConsistencyProof) {
  HashTree ours;
  HashTree theirs;
  for (std::uint64_t n = 0; n < 20; ++n) {
    ours.append(numbered(n));
    theirs.append(numbered(n < 10 ? n : n + 100));
  }
  const Proof proof = theirs.consistency(15, 20);
  EXPECT_TRUE(verify_consistency(15, 20, theirs.root(15), theirs.root(20), proof));
  EXPECT_FALSE(verify_consistency(15, 20, ours.root(15), theirs.root(20), proof));
}

// An absent hash cannot be expressed here; such a row counts as refused. Where any value
// would do, the vectors hold a short text, which is padded.
struct Row {
  json::object object;
  bool expressible = true;
  Hash hash(std::string_view name) { return decode(find_string(object, name).value_or("")); }
  Proof proof() {
    Proof out;
    if (const auto* array = find_array(object, "proof")) {
      for (const auto& item : *array) out.push_back(decode(view(item.get_string())));
    }
    return out;
  }
  std::uint64_t number(std::string_view name) {
    const auto* value = find(object, name);
    return value->is_uint64() ? value->get_uint64()
                              : static_cast<std::uint64_t>(value->get_int64());
  }

 private:
  Hash decode(std::string_view base) {
    Hash out{};
    const auto bytes = unbase64(base);
    if (!bytes || bytes->empty() || bytes->size() > out.size()) {
      expressible = false;
    } else {
      std::copy(bytes->begin(), bytes->end(), out.begin());
    }
    return out;
  }
};

template <class Check>
void run_vectors(const std::string& kind, Check check) {
  const char* given = std::getenv("KUBIYA_VECTORS_DIR");
  const std::filesystem::path root =
      std::filesystem::path(given != nullptr ? given : KUBIYA_SOURCE_DIR "/../shared/vectors") /
      "merkle/testdata" / kind;
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no Merkle vectors at " << root;
  int rows = 0;
  int refused = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream in(entry.path());
    const std::string content(std::istreambuf_iterator<char>(in), {});
    Row row{parse_json(content)->get_object()};
    const bool good = check(row) && row.expressible;
    const bool want_error = *find_bool(row.object, "wantErr");
    EXPECT_EQ(good, !want_error) << entry.path();
    ++rows;
    refused += want_error ? 1 : 0;
  }
  EXPECT_GT(rows, 50);
  EXPECT_GT(refused, 40);
}

TEST(TreeVectors, Inclusion) {
  run_vectors("inclusion", [](Row& row) {
    const Hash leaf = row.hash("leafHash");
    const Hash root = row.hash("root");
    return verify_inclusion(row.number("leafIdx"), row.number("treeSize"), leaf, row.proof(), root);
  });
}

TEST(TreeVectors, Consistency) {
  run_vectors("consistency", [](Row& row) {
    const Hash from = row.hash("root1");
    const Hash to = row.hash("root2");
    return verify_consistency(row.number("size1"), row.number("size2"), from, to, row.proof());
  });
}

}  // namespace
}  // namespace kubiya::audit
