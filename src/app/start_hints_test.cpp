// SPDX-License-Identifier: Apache-2.0
#include "app/start_hints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kubiya::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Config loaded(std::vector<std::pair<std::string, std::string>> flags) {
  Sources sources;
  sources.flags = std::move(flags);
  Result<Config> config = load_config(sources);
  EXPECT_TRUE(config) << (config ? "" : config.error().message);
  return config ? *config : Config();
}

TEST(StartHints, AServerThatNobodyCanUseYetSaysHowToMakeAKey) {
  const Config config = loaded({{"data_dir", "/var/lib/kubiya"}});
  EXPECT_THAT(start_hints(config, 0, {}),
              ElementsAre(HasSubstr("key create --user NAME --scopes read execute --data-dir "
                                    "/var/lib/kubiya")));
  EXPECT_THAT(start_hints(config, 1, {}), IsEmpty());
  EXPECT_THAT(start_hints(loaded({{"auth.server", "https://login.example.com"}}), 0, {}),
              IsEmpty());
}

TEST(StartHints, ASharedKeyThatIsRefusedIsNamedWithTheReason) {
  EXPECT_THAT(start_hints(loaded({}), 1, identity::Reason::revoked_api_key),
              ElementsAre(HasSubstr("revoked_api_key")));
}

TEST(StartHints, AWideListenerWithoutAPublicUrlAdmitsOnlyThisMachine) {
  const std::vector<std::pair<std::string, std::string>> wide{{"server.host", "0.0.0.0"},
                                                              {"server.insecure_http", "true"}};
  EXPECT_THAT(reach_hint(loaded(wide)), HasSubstr("public_url"));
  auto named = wide;
  named.emplace_back("public_url", "http://mcp.example.com:8000");
  EXPECT_EQ(reach_hint(loaded(named)), "");
  auto listed = wide;
  listed.emplace_back("server.hosts", "mcp.example.com");
  EXPECT_EQ(reach_hint(loaded(listed)), "");
  EXPECT_EQ(reach_hint(loaded({{"server.host", "::1"}})), "");
}

}  // namespace
}  // namespace kubiya::app
