// SPDX-License-Identifier: Apache-2.0
#include "identity/api_key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/encoding.h"

namespace kubiya::identity {
namespace {

const Wall kNow = from_unix_ms(1'800'000'000'000);

store::KeyRow row_of(const NewKey& key) {
  store::KeyRow row;
  row.id = key.id;
  row.digest = key.digest;
  row.tenant = "acme";
  row.owner = "alice";
  return row;
}

struct World {
  Secret pepper{"pepper of this test, 32 bytes xx"};
  KeyBook book{pepper};
  NewKey key = make_key(pepper);
  store::KeyRow row = row_of(key);
  std::string text{key.key.reveal()};
};

Reason refusal(const KeyBook& book, std::string_view text) {
  const auto row = book.check(text, kNow);
  EXPECT_FALSE(row);
  return row ? Reason::no_credential : row.error().reason;
}

char other(char c) { return c == 'A' ? 'B' : 'A'; }

// Gives `text` the checksum that its other characters ask for, by trying keys of the same shape.
std::string with_checksum(std::string text) {
  const std::uint32_t sum = crc32(std::string_view(text).substr(0, text.size() - 6));
  constexpr std::string_view kDigits =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::uint64_t rest = sum;
  for (std::size_t i = text.size(); i-- > text.size() - 6;) {
    text[i] = kDigits[rest % 62];
    rest /= 62;
  }
  return text;
}

TEST(ApiKey, NewKeysHaveTheFormatAndAreAllDifferent) {
  const Secret pepper("p");
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const NewKey key = make_key(pepper);
    const std::string text(key.key.reveal());
    ASSERT_EQ(text.size(), 64u);
    EXPECT_TRUE(looks_like_our_key(text));
    const auto parts = parse_key(text);
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->id, key.id);
    EXPECT_EQ(parts->secret.size(), 43u);
    EXPECT_EQ(key.hint, text.substr(60));
    EXPECT_EQ(text, with_checksum(text));
    EXPECT_TRUE(seen.insert(text).second);
  }
}

TEST(ApiKey, DigestDependsOnPepperAndKey) {
  World world;
  world.book.replace({world.row});
  ASSERT_TRUE(world.book.check(world.text, kNow));
  KeyBook elsewhere{Secret("another pepper")};
  elsewhere.replace({world.row});
  EXPECT_EQ(refusal(elsewhere, world.text), Reason::unknown_api_key);
}

TEST(ApiKey, GoodKeyGivesItsRow) {
  World world;
  EXPECT_EQ(refusal(world.book, world.text), Reason::unknown_api_key) << "E2 nothing stored";
  const auto epoch = world.book.epoch();
  world.book.replace({world.row});
  EXPECT_GT(world.book.epoch(), epoch);
  const auto row = world.book.check(world.text, kNow);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->owner, "alice");
}

TEST(ApiKey, E1WrongSecretAndE2UnknownIdAreRefusedAlike) {
  World world;
  world.book.replace({world.row});
  std::string wrong_secret = world.text;
  wrong_secret[20] = other(wrong_secret[20]);
  std::string unknown_id = world.text;
  unknown_id[3] = other(unknown_id[3]);
  EXPECT_EQ(refusal(world.book, with_checksum(wrong_secret)), Reason::unknown_api_key);
  EXPECT_EQ(refusal(world.book, with_checksum(unknown_id)), Reason::unknown_api_key);
}

TEST(ApiKey, E3OneChangedCharacterAtAnyPositionIsRefused) {
  World world;
  world.book.replace({world.row});
  for (std::size_t i = 0; i < world.text.size(); ++i) {
    std::string changed = world.text;
    changed[i] = other(changed[i]);
    EXPECT_EQ(refusal(world.book, changed), Reason::bad_api_key) << "E6, position " << i;
    if (i >= 3 && i < 58) {
      EXPECT_EQ(refusal(world.book, with_checksum(changed)), Reason::unknown_api_key) << i;
    }
  }
}

TEST(ApiKey, MalformedOnesAreRefusedWithoutALook) {
  World world;
  world.book.replace({world.row});
  std::string flipped = world.text;
  for (char& c : flipped) c = static_cast<char>(std::isalpha(c) ? c ^ 0x20 : c);
  struct Row {
    const char* name;
    std::string text;
  };
  for (const Row& row : std::vector<Row>{
           {"E4 trailing space", world.text + " "},
           {"E4 trailing newline", world.text + "\n"},
           {"E4 trailing NUL", world.text + std::string(1, '\0')},
           {"E4 leading space", " " + world.text},
           {"E4 case flipped", flipped},
           {"E7 empty", ""},
           {"E7 long", std::string(1 << 20, 'a')},
           {"E7 not ASCII", "kb-\xc3\xa9" + world.text.substr(5)},
           {"of the platform", "kb-1234567890abcdef"},
           {"a JWT", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"},
       }) {
    EXPECT_EQ(refusal(world.book, row.text), Reason::bad_api_key) << row.name;
  }
  for (std::size_t n = 0; n < world.text.size(); ++n) {
    EXPECT_EQ(refusal(world.book, world.text.substr(0, n)), Reason::bad_api_key) << "E5 " << n;
  }
}

TEST(ApiKey, E8ExpiryAndRevocationEndAKey) {
  World world;
  struct Row {
    const char* name;
    std::int64_t expires_ms, revoked_ms;
    std::optional<Reason> reason;
  };
  const std::int64_t now = unix_ms(kNow);
  for (const Row& row : std::vector<Row>{
           {"expired", now - 1, 0, Reason::expired_api_key},
           {"expires now", now, 0, Reason::expired_api_key},
           {"expires next", now + 1, 0, std::nullopt},
           {"revoked", 0, now - 1, Reason::revoked_api_key},
           {"revoked, clock stepped back", 0, now + 1000, Reason::revoked_api_key},
           {"both", now - 1, now - 1, Reason::revoked_api_key},
       }) {
    world.row.expires_ms = row.expires_ms;
    world.row.revoked_ms = row.revoked_ms;
    world.book.replace({world.row});
    const auto result = world.book.check(world.text, kNow);
    EXPECT_EQ(result.has_value(), !row.reason) << row.name;
    if (!result && row.reason) {
      EXPECT_EQ(result.error().reason, *row.reason) << row.name;
    }
  }
}

TEST(ApiKey, BookIsReplacedWhileOthersRead) {
  World world;
  world.book.replace({world.row});
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) world.book.replace({world.row});
  });
  for (int i = 0; i < 2000; ++i) EXPECT_TRUE(world.book.check(world.text, kNow));
  stop = true;
  writer.join();
}

class Pepper : public ::testing::Test {
 protected:
  Pepper() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pepper-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/pepper";
  }
  ~Pepper() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& bytes, mode_t mode) {
    std::ofstream(path_, std::ios::binary) << bytes;
    ::chmod(path_.c_str(), mode);
  }
  std::string directory_, path_;
};

TEST_F(Pepper, IsCreatedOnceForItsOwnerOnly) {
  const auto first = open_pepper(path_, true);
  ASSERT_TRUE(first);
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto again = open_pepper(path_, false);
  ASSERT_TRUE(again);
  EXPECT_EQ(first->reveal(), again->reveal());
  EXPECT_EQ(first->size(), 32u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(Pepper, E16AbsentOneIsAnErrorUnlessItMayBeCreated) {
  const auto pepper = open_pepper(path_, false);
  ASSERT_FALSE(pepper);
  EXPECT_EQ(pepper.error().code, Code::not_found);
}

TEST_F(Pepper, RefusesAFileThatOthersReadOrThatIsCutShort) {
  write(std::string(32, 'x'), 0644);
  EXPECT_FALSE(open_pepper(path_, true));
  write(std::string(31, 'x'), 0600);
  ::chmod(path_.c_str(), 0600);
  EXPECT_FALSE(open_pepper(path_, true));
  write(std::string(33, 'x'), 0600);
  EXPECT_FALSE(open_pepper(path_, true));
  write(std::string(32, 'x'), 0600);
  EXPECT_TRUE(open_pepper(path_, true));
}

}  // namespace
}  // namespace kubiya::identity
