// SPDX-License-Identifier: Apache-2.0
#include "identity/issuer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "identity/issuer_files.h"
#include "identity/provider_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct World {
  FakeClient client;
  ManualClock clock;
  std::unique_ptr<Issuer> issuer;

  void open(IssuerOptions options = issuer_options()) {
    issuer = Issuer::open(std::move(options), client, clock);
  }
  // Seconds pass, tick by tick.
  void run(std::chrono::seconds seconds) {
    for (auto i = 0s; i < seconds; ++i) {
      clock.advance(1s);
      issuer->tick();
    }
  }
  bool verifies(const std::string& token) const {
    const auto keys = issuer->keys();
    const auto parsed = parse_token(token);
    return keys && parsed && verify_signature(*parsed, default_rules(), *keys);
  }
};

TEST(Discovery, UrlsFollowTheForm) {
  const auto oidc = [](const char* url) { return *discovery_urls(url, DiscoveryForm::oidc); };
  const auto oauth = [](const char* url) { return *discovery_urls(url, DiscoveryForm::oauth); };
  EXPECT_THAT(oidc("https://t.auth0.com/"),
              ElementsAre("https://t.auth0.com/.well-known/openid-configuration"));
  EXPECT_THAT(oidc("https://k.example/realms/a"),
              ElementsAre("https://k.example/realms/a/.well-known/openid-configuration"));
  EXPECT_THAT(
      oauth("https://d.okta.com/oauth2/default"),
      ElementsAre("https://d.okta.com/.well-known/oauth-authorization-server/oauth2/default",
                  "https://d.okta.com/oauth2/default/.well-known/openid-configuration"));
  EXPECT_THAT(oauth("http://localhost:9000"),
              ElementsAre("http://localhost:9000/.well-known/oauth-authorization-server",
                          "http://localhost:9000/.well-known/openid-configuration"));
}

TEST(Discovery, UrlsThatCannotBeIssuersAreRefused) {
  for (const char* url :
       {"http://idp.example", "file:///etc/keys", "data:,x", "https://u@idp.example",
        "https://idp.example?x=1", "https://idp.example#x", "idp.example", ""}) {
    EXPECT_FALSE(check_issuer_url(url)) << url;
    EXPECT_FALSE(discovery_urls(url, DiscoveryForm::oidc)) << url;
  }
  EXPECT_TRUE(check_jwks_uri("file:/etc/keys.json"));
  EXPECT_TRUE(check_jwks_uri("file:///etc/keys.json"));
  for (const char* uri : {"http://idp.example/jwks", "file:keys.json", "file://etc/keys.json",
                          "file:/etc/keys.json?x", "file:/etc/keys%2ejson", "data:,{}", ""}) {
    EXPECT_FALSE(check_jwks_uri(uri)) << "C9 " << uri;
  }
}

TEST(Issuer, IsReadyAfterMetadataAndKeys) {
  World world;
  publish(world.client);
  world.open();
  EXPECT_TRUE(world.verifies(token_by("rsa", 0)));
  EXPECT_EQ(world.issuer->epoch(), 1u);
  EXPECT_EQ(*world.issuer->metadata(), metadata_text());
  const auto health = world.issuer->health();
  EXPECT_TRUE(health.ready);
  EXPECT_EQ(health.problem, "");
  EXPECT_EQ(health.keys, 1u);
  ASSERT_EQ(world.client.requests.size(), 2u);
  EXPECT_EQ(world.client.requests[0].bytes_max, 64u * 1024);
  EXPECT_EQ(world.client.requests[1].bytes_max, 256u * 1024);
  EXPECT_FALSE(world.client.requests[1].allow_loopback);
}

TEST(Issuer, OauthFormFallsBackToTheOidcDocument) {
  World world;
  publish(world.client);
  IssuerOptions options = issuer_options();
  options.form = DiscoveryForm::oauth;
  world.open(options);
  EXPECT_TRUE(world.issuer->keys());
  EXPECT_EQ(world.client.count(kOauthDiscovery), 1);
  EXPECT_EQ(world.client.count(kDiscovery), 1);
}

TEST(Issuer, C1AProviderThatIsDownAtStartLeavesItUnreadyAndIsTriedAgainWithBackOff) {
  World world;
  world.client.fail_with(kDiscovery, Code::unavailable,
                         "connection refused by https://idp.example");
  world.open();
  EXPECT_FALSE(world.issuer->keys());
  EXPECT_FALSE(world.issuer->health().ready);
  EXPECT_THAT(world.issuer->health().problem, HasSubstr("connection refused"));
  world.run(60s);
  EXPECT_EQ(world.client.count(kDiscovery), 6) << "after 0, 1, 3, 7, 15 and 31 seconds";
  publish(world.client);
  world.run(5s);
  EXPECT_TRUE(world.issuer->keys()) << "at 63 seconds";
  EXPECT_EQ(world.issuer->health().problem, "");
}

TEST(Issuer, C2LastGoodKeysServeUntilTheyAreTooOld) {
  World world;
  publish(world.client);
  world.open();
  world.client.answer(kJwks, "", 500);
  world.run(3599s);
  EXPECT_TRUE(world.issuer->keys());
  EXPECT_THAT(world.issuer->health().problem, HasSubstr("answered 500"));
  const auto epoch = world.issuer->epoch();
  world.run(1s);
  EXPECT_FALSE(world.issuer->keys());
  EXPECT_GT(world.issuer->epoch(), epoch) << "cached tokens go with the keys";
  EXPECT_FALSE(world.issuer->health().ready);
  publish(world.client);
  world.run(61s);
  EXPECT_TRUE(world.issuer->keys());
}

TEST(Issuer, C3GarbageNeverReplacesGoodKeys) {
  const std::string good = one_key("rsa");
  struct Row {
    const char* name;
    std::string body;
    int status;
  };
  for (const Row& row : std::vector<Row>{
           {"HTML", "<html>", 200},
           {"empty", "", 200},
           {"{}", "{}", 200},
           {"keys is an object", R"({"keys":{}})", 200},
           {"no keys", R"({"keys":[]})", 200},
           {"truncated", good.substr(0, good.size() - 3), 200},
           {"only symmetric", R"({"keys":[{"kty":"oct","k":"AAAA","kid":"x"}]})", 200},
           {"404", good, 404},
           {"500", good, 500},
           {"C12 redirect", good, 302},
       }) {
    World world;
    publish(world.client);
    world.open();
    const auto epoch = world.issuer->epoch();
    world.client.answer(kJwks, row.body, row.status);
    world.run(300s);
    EXPECT_EQ(world.client.count(kJwks), 2) << row.name;
    EXPECT_TRUE(world.verifies(token_by("rsa", 0))) << row.name;
    EXPECT_EQ(world.issuer->epoch(), epoch) << row.name;
    EXPECT_NE(world.issuer->health().problem, "") << row.name;
  }
}

TEST(Issuer, C4UnknownKeysAmongGoodOnesAreSkipped) {
  World world;
  publish(world.client, set_text({json::object{{"kty", "future"}, {"kid", "f"}},
                                  json::object{{"kty", "EC"}, {"crv", "P-1"}, {"kid", "e"}},
                                  jwk(KeyType::rsa, {{"kid", "rsa"}})}));
  world.open();
  EXPECT_TRUE(world.verifies(token_by("rsa", 0)));
}

TEST(Issuer, C5RotationWithOverlapServesBothKeys) {
  World world;
  publish(world.client);
  world.open();
  world.client.answer(kJwks, two_keys());
  world.run(30s);
  bool fetched = false;
  world.issuer->refetch([&](bool good) { fetched = good; });
  EXPECT_TRUE(fetched);
  EXPECT_TRUE(world.verifies(token_by("rsa", 0)));
  EXPECT_TRUE(world.verifies(token_by("rsa2", 1)));
  EXPECT_EQ(world.issuer->epoch(), 2u);
}

TEST(Issuer, C6C7RemovedKeyIsGoneAfterTheNextRefresh) {
  World world;
  publish(world.client, two_keys());
  world.open();
  EXPECT_TRUE(world.verifies(token_by("rsa", 0)));
  world.client.answer(kJwks, one_key("rsa2", 1));
  world.run(300s);
  EXPECT_FALSE(world.verifies(token_by("rsa", 0)));
  EXPECT_TRUE(world.verifies(token_by("rsa2", 1)));
}

TEST(Issuer, C8FlappingContentCausesNoMoreFetches) {
  World world;
  publish(world.client);
  world.open();
  for (int i = 0; i < 12; ++i) {
    world.client.answer(kJwks, i % 2 == 0 ? two_keys() : one_key("rsa"));
    world.run(300s);
  }
  EXPECT_EQ(world.client.count(kJwks), 13);
}

TEST(Issuer, C9C10MetadataThatDoesNotFitIsRefused) {
  struct Row {
    const char* name;
    std::string document;
  };
  for (const Row& row : std::vector<Row>{
           {"http", metadata_text(kIssuer, "http://idp.example/jwks")},
           {"file", metadata_text(kIssuer, "file:///etc/passwd")},
           {"data", metadata_text(kIssuer, "data:,{}")},
           {"this machine", metadata_text(kIssuer, "http://127.0.0.1/jwks")},
           {"this machine by https", metadata_text(kIssuer, "https://localhost/jwks")},
           {"userinfo", metadata_text(kIssuer, "https://a@idp.example/jwks")},
           {"no jwks_uri", R"({"issuer":"https://idp.example"})"},
           {"slash", metadata_text("https://idp.example/")},
           {"case", metadata_text("https://IDP.example")},
           {"other host", metadata_text("https://evil.example")},
           {"no issuer", R"({"jwks_uri":"https://idp.example/jwks"})"},
           {"issuer twice", R"({"issuer":"https://evil.example",)" + metadata_text().substr(1)},
           {"array", "[]"},
           {"HTML", "<html>"},
       }) {
    World world;
    publish(world.client);
    world.client.answer(kDiscovery, row.document);
    world.open();
    EXPECT_FALSE(world.issuer->keys()) << row.name;
    EXPECT_FALSE(world.issuer->metadata()) << row.name;
    EXPECT_EQ(world.client.requests.size(), 1u) << row.name;
    EXPECT_NE(world.issuer->health().problem, "") << row.name;
  }
}

TEST(Issuer, C11KeysOnAnotherHostAreFetched) {
  World world;
  world.client.answer(kDiscovery, metadata_text(kIssuer, "https://keys.example/v3/certs"));
  world.client.answer("https://keys.example/v3/certs", one_key("rsa"));
  world.open();
  EXPECT_TRUE(world.issuer->keys());
}

TEST(Issuer, BadMetadataLaterDoesNotMoveTheKeys) {
  World world;
  publish(world.client);
  world.open();
  world.client.answer(kDiscovery, metadata_text("https://evil.example", "https://evil.example/k"));
  world.run(2h);
  EXPECT_GT(world.client.count(kDiscovery), 1);
  EXPECT_EQ(world.client.count("https://evil.example/k"), 0);
  EXPECT_TRUE(world.issuer->keys());
  EXPECT_EQ(*world.issuer->metadata(), metadata_text());
  EXPECT_THAT(world.issuer->health().problem, HasSubstr("evil.example"));
}

TEST(Issuer, C22ConcurrentRequestsShareOneFetchAndAreBounded) {
  World world;
  publish(world.client);
  world.client.hold = true;
  world.open();
  int good = 0;
  int bad = 0;
  for (int i = 0; i < 1000; ++i) {
    world.issuer->refetch([&](bool fetched) { ++(fetched ? good : bad); });
  }
  EXPECT_EQ(world.client.requests.size(), 1u);
  EXPECT_EQ(good, 0);
  EXPECT_EQ(bad, 744);
  world.client.deliver();
  world.client.deliver();
  EXPECT_EQ(world.client.requests.size(), 2u);
  EXPECT_EQ(good, 256);
}

TEST(Issuer, K1AFloodOfUnknownKeyNamesCausesOneFetchPerInterval) {
  World world;
  publish(world.client);
  world.open();
  for (int i = 0; i < 20'000; ++i) {
    world.clock.advance(10ms);
    world.issuer->refetch([](bool) {});
  }
  EXPECT_EQ(world.client.count(kJwks), 1 + 200 / 30);
  world.client.answer(kJwks, two_keys());
  for (int i = 0; i < 3'000; ++i) {
    world.clock.advance(10ms);
    world.issuer->refetch([](bool) {});
  }
  EXPECT_TRUE(world.verifies(token_by("rsa2", 1))) << "rotation is seen during the flood";
}

TEST(Issuer, MaxAgeMovesTheRefreshWithinBounds) {
  struct Row {
    const char* name;
    int max_age;
    std::chrono::seconds next;
  };
  for (const Row& row : std::vector<Row>{{"absent", -1, 300s},
                                         {"before it ends", 600, 540s},
                                         {"no-store", 0, 60s},
                                         {"a day", 86400, 1800s}}) {
    World world;
    publish(world.client, one_key("rsa"), row.max_age);
    world.open();
    world.run(row.next - 1s);
    EXPECT_EQ(world.client.count(kJwks), 1) << row.name;
    world.run(1s);
    EXPECT_EQ(world.client.count(kJwks), 2) << row.name;
  }
}

TEST(Issuer, AnswersThatComeAfterItIsGoneAreDropped) {
  World world;
  publish(world.client);
  world.client.hold = true;
  world.open();
  bool called = false;
  world.issuer->refetch([&](bool) { called = true; });
  world.issuer.reset();
  world.client.deliver();
  world.client.deliver();
  EXPECT_FALSE(called);
}

TEST(Issuer, OptionsThatCannotWorkFetchNothing) {
  World world;
  IssuerOptions options = issuer_options();
  options.url = "http://idp.example";
  world.open(options);
  world.run(10s);
  bool good = true;
  world.issuer->refetch([&](bool fetched) { good = fetched; });
  EXPECT_FALSE(good);
  EXPECT_TRUE(world.client.requests.empty());
  EXPECT_THAT(world.issuer->health().problem, HasSubstr("https"));
}

TEST(Issuer, LoopbackIsOpenForAnIssuerOnLoopback) {
  World world;
  IssuerOptions options = issuer_options();
  options.url = "http://localhost:9000";
  world.client.answer("http://localhost:9000/.well-known/openid-configuration",
                      metadata_text("http://localhost:9000", "http://localhost:9000/jwks"));
  world.client.answer("http://localhost:9000/jwks", one_key("rsa"));
  world.open(options);
  EXPECT_TRUE(world.issuer->keys());
  for (const auto& request : world.client.requests) EXPECT_TRUE(request.allow_loopback);
}

class IssuerFiles : public ::testing::Test {
 protected:
  IssuerFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "issuer-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/keys.json";
    options_.cache_file = directory_ + "/cache.json";
  }
  ~IssuerFiles() override { std::filesystem::remove_all(directory_); }

  // One good start that leaves a cache file behind.
  void fill_cache() {
    World world;
    publish(world.client);
    world.open(options_);
    EXPECT_TRUE(world.issuer->keys());
  }
  // A start while the provider is down, `later` after the cache was written.
  bool starts_from_cache(std::chrono::seconds later) {
    World world;
    world.client.hold = true;
    world.clock.step_wall(later);
    world.open(options_);
    return world.issuer->keys() != nullptr;
  }

  std::string directory_, path_;
  IssuerOptions options_ = issuer_options();
};

TEST_F(IssuerFiles, KeysComeFromAFileWithoutAnyFetch) {
  std::ofstream(path_) << one_key("rsa");
  World world;
  options_.jwks_uri = "file:" + path_;
  world.open(options_);
  EXPECT_TRUE(world.verifies(token_by("rsa", 0)));
  std::ofstream(path_) << two_keys();
  world.run(30s);
  bool fetched = false;
  world.issuer->refetch([&](bool good) { fetched = good; });
  EXPECT_FALSE(fetched) << "an event loop reads no files";
  world.run(1s);
  EXPECT_TRUE(fetched);
  EXPECT_TRUE(world.verifies(token_by("rsa2", 1)));
  std::ofstream(path_) << "garbage";
  world.run(301s);
  EXPECT_TRUE(world.verifies(token_by("rsa2", 1)));
  EXPECT_TRUE(world.client.requests.empty());
}

TEST_F(IssuerFiles, CacheServesAStartWhileTheProviderIsDown) {
  fill_cache();
  struct stat info{};
  ASSERT_EQ(::stat(options_.cache_file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
  EXPECT_TRUE(starts_from_cache(0s));
  EXPECT_TRUE(starts_from_cache(3599s));
  EXPECT_FALSE(starts_from_cache(3600s)) << "too old";
  EXPECT_FALSE(starts_from_cache(-1s)) << "from the future";
}

TEST_F(IssuerFiles, CachedKeysGrowOldLikeOthers) {
  fill_cache();
  World world;
  world.clock.step_wall(3000s);
  world.open(options_);
  EXPECT_TRUE(world.issuer->keys());
  EXPECT_EQ(world.issuer->health().age, 3000s);
  world.run(599s);
  EXPECT_TRUE(world.issuer->keys());
  world.run(1s);
  EXPECT_FALSE(world.issuer->keys());
}

TEST_F(IssuerFiles, CacheThatIsNotOursIsNotBelieved) {
  fill_cache();
  ::chmod(options_.cache_file.c_str(), 0666);
  EXPECT_FALSE(starts_from_cache(1s)) << "others may write it";
  ::chmod(options_.cache_file.c_str(), 0600);
  EXPECT_TRUE(starts_from_cache(1s));
  options_.url = "https://other.example";
  EXPECT_FALSE(starts_from_cache(1s)) << "of another issuer";
  options_.url = kIssuer;
  std::ofstream(options_.cache_file) << "{\"issuer\":";
  EXPECT_FALSE(starts_from_cache(1s)) << "torn";
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
