// SPDX-License-Identifier: Apache-2.0
#include "app/config.h"

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "app/config_files.h"
#include "app/config_table.h"
#include "identity/api_key.h"

namespace kubiya::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kSharedKey(identity::make_key(Secret("pepper")).key.reveal());

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    std::string name = std::filesystem::temp_directory_path() / "kubiya-config-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~ConfigTest() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, std::string_view content, mode_t mode = 0600) const {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(write_private_file(path, content));
    ::chmod(path.c_str(), mode);
    return path;
  }
  Result<Config> load_text(std::string_view yaml, Sources sources = {}, mode_t mode = 0600) const {
    sources.file = file("config.yaml", yaml, mode);
    return load_config(sources);
  }
  std::string refusal(std::string_view yaml) const {
    const Result<Config> config = load_text(yaml);
    return config ? "accepted" : config.error().message;
  }

  std::string directory_;
};

Result<Config> with_flags(std::vector<std::pair<std::string, std::string>> flags) {
  Sources sources;
  sources.flags = std::move(flags);
  return load_config(sources);
}

std::string refused_flags(std::vector<std::pair<std::string, std::string>> flags) {
  const Result<Config> config = with_flags(std::move(flags));
  return config ? "accepted" : config.error().message;
}

TEST_F(ConfigTest, StartsWithDefaultsAlone) {
  const Result<Config> config = load_config({});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->public_url, "http://localhost:8000");
  EXPECT_EQ(config->server.port, 8000);
  EXPECT_EQ(config->identity.mode, identity::Mode::api_key);
  EXPECT_EQ(config->audit.directory, "./data/audit");
  EXPECT_EQ(config->engine.work_directory, std::filesystem::current_path() / "data/work");
  EXPECT_THAT(config->server.guard.hosts, ElementsAre("localhost"));
}

TEST_F(ConfigTest, FlagsWinOverEnvironmentWinsOverFile) {
  Sources sources;
  sources.environment = {{"KUBIYA_SERVER_PORT", "8002"}, {"KUBIYA_WORKERS", "7"}};
  sources.flags = {{"server.port", "8003"}};
  const Result<Config> config =
      load_text("server: {port: 8001, threads: 3}\nworkers: 5\nwait_default: 2s\n", sources);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->server.port, 8003);
  EXPECT_EQ(config->server.threads, 3);
  EXPECT_EQ(config->workers, 7);
  EXPECT_EQ(config->wait_default, std::chrono::seconds(2));
}

TEST_F(ConfigTest, ReadsTheVariablesOfTheSeed) {
  Sources sources;
  sources.environment = {{"KUBIYA_AUTH_SERVER", "https://login.example.com"},
                         {"KUBIYA_AUTH_TYPE", "oauth"},
                         {"KUBIYA_REQUIRED_SCOPES", "read write,execute"},
                         {"KUBIYA_AUDIENCE", "https://mcp.example.com/mcp"}};
  const Result<Config> config = load_config(sources);
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->issuers.size(), 1u);
  EXPECT_EQ(config->issuers[0].url, "https://login.example.com");
  EXPECT_EQ(config->issuers[0].rules.issuer, "https://login.example.com");
  EXPECT_EQ(config->issuers[0].form, identity::DiscoveryForm::oauth);
  EXPECT_THAT(config->issuers[0].rules.audiences, ElementsAre("https://mcp.example.com/mcp"));
  EXPECT_EQ(config->required_scopes.text(), "execute read write");
  EXPECT_EQ(config->identity.mode, identity::Mode::token);
}

TEST_F(ConfigTest, AudienceDefaultsToTheResourceWithAndWithoutItsPath) {
  const Result<Config> config = with_flags({{"auth.server", "https://login.example.com"},
                                            {"public_url", "https://mcp.example.com/"},
                                            {"mcp_path", "/v1/mcp"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->issuers[0].rules.audiences,
              ElementsAre("https://mcp.example.com/v1/mcp", "https://mcp.example.com"));
  EXPECT_FALSE(config->issuers[0].rules.algorithms.empty());
}

TEST_F(ConfigTest, ListFlagsAddUpAndReplaceTheFile) {
  Sources sources;
  sources.flags = {{"required_scopes", "read"}, {"required_scopes", "write"}};
  const Result<Config> config = load_text("required_scopes: [admin]\n", sources);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->required_scopes.text(), "read write");
}

struct Refusal {
  const char* name;
  const char* yaml;
  const char* says;
};

TEST_F(ConfigTest, RefusesBadFilesWithOneLineThatSaysWhichAndWhatIsAllowed) {
  const Refusal rows[] = {
      {"unknown key", "workers: 2\nserver:\n  host: localhost\n  prot: 1\n",
       "config.yaml line 4: unknown key server.prot; did you mean server.port?"},
      {"unknown section", "sever:\n  port: 1\n",
       "unknown key sever.port; did you mean server.port"},
      {"far from everything", "zzz: 1\n", "line 1: unknown key zzz"},
      {"duplicate key", "workers: 2\nworkers: 3\n", "config.yaml: "},
      {"not a map", "- 1\n", "not a map"},
      {"number as word", "server: {port: many}\n", "a whole number from 0 to 65535"},
      {"number too large", "server: {port: 65536}\n", "\"65536\" is not allowed"},
      {"duration without unit", "wait_default: 5\n", "a duration from 1s to 1h"},
      {"duration cut to seconds", "wait_default: 1500ms\n", "whole seconds"},
      {"map for a value", "workers: {a: 1}\n", "line 1: workers: allowed: a whole number"},
      {"null", "workers:\n", "workers: allowed"},
      {"list for a value", "workers: [1]\n", "workers: allowed"},
      {"unknown auth type", "auth: {server: 'https://a.example', type: saml}\n", "oidc | oauth"},
      {"issuer over http", "auth: {server: 'http://login.example.com'}\n", "auth.server: "},
      {"auth keys without a server", "auth: {type: oidc}\n", "no meaning without auth.server"},
      {"algorithm none", "auth: {server: 'https://a.example', algorithms: [RS256, none]}\n",
       "never none, never HS*"},
      {"algorithm HS256", "auth: {server: 'https://a.example', algorithms: [HS256]}\n",
       "auth.algorithms"},
      {"no algorithms", "auth: {server: 'https://a.example', algorithms: []}\n", "one or more of"},
      {"empty audience", "auth: {server: 'https://a.example', audience: ['']}\n",
       "auth.audience: allowed"},
      {"leeway over a minute", "auth: {server: 'https://a.example', leeway: 61s}\n",
       "from 0ms to 1m"},
      {"certificate without key", "server: {tls_cert: /tmp/c.pem}\n", "TLS needs both"},
      {"key without certificate", "server: {tls_key: /tmp/k.pem}\n", "TLS needs both"},
      {"plain on a public address", "server: {host: 0.0.0.0}\n", "which is not loopback"},
      {"any port without a URL", "server: {port: 0}\n", "needs public_url"},
      {"public URL with a path", "public_url: https://a.example/mcp\n", "public_url: allowed"},
      {"public URL plain", "public_url: http://a.example\n", "loopback only"},
      {"proxy that is no address", "server: {trusted_proxies: [proxy.local]}\n", "no address"},
      {"proxy block too wide", "server: {trusted_proxies: [10.0.0.0/33]}\n", "no address"},
      {"origin with a path", "server: {origins: ['https://a.example/x']}\n", "no origin"},
      {"origin star", "server: {origins: ['*']}\n", "no origin"},
      {"MCP path relative", "mcp_path: mcp\n", "mcp_path: allowed"},
      {"MCP path with dots", "mcp_path: /a/../b\n", "mcp_path: allowed"},
      {"MCP path taken", "mcp_path: /healthz\n", "taken"},
      {"wait over the maximum", "wait_default: 20s\nwait_max: 10s\n", "wait_max"},
      {"scope with a quote", "required_scopes: ['a\"b']\n", "RFC 6749"},
      {"scope map without grants", "identity: {scope_map: ['ops=']}\n", "presented=granted"},
      {"weak key: example", "identity: {shared_key: kb-1234567890abcdef}\n", "too weak"},
      {"weak key: habit", "identity: {shared_key: changeme}\n", "too weak"},
      {"weak key: uniform", "identity: {shared_key: aaaaaaaaaaaaaaaaaaaaaaaa}\n", "too weak"},
      {"weak key: only looks like one", "identity: {shared_key: kp-9fQ2x7Lm4Tz8Rw1Vb6Yc3Nd5}\n",
       "kubiya-mcp key create"},
      {"shared key with a letter too few",
       "identity: {shared_key: kb-hjXHexAifwxc3opxXJ7g36g6M5dvN5ZgjPzO0ZrRkJtGmRq5Pylhycv0nYB3m}\n",
       "checksum"},
      {"TLS certificate that is not there",
       "server: {tls_cert: /nowhere/c.pem, tls_key: /dev/null}\nallow_readable_files: true\n",
       "server.tls_cert: /nowhere/c.pem: No such file"},
      {"TLS key that is not there", "server: {tls_cert: /dev/null, tls_key: /nowhere/k.pem}\n",
       "server.tls_key: /nowhere/k.pem: No such file"},
      {"secret in a file that is not there", "identity:\n  shared_key: ${file:/nowhere/key}\n",
       "config.yaml line 2: identity.shared_key: /nowhere/key: No such file"},
      {"key set by a word", "auth: {server: 'https://a.example', jwks_uri: keys.json}\n",
       "auth.jwks_uri: allowed"},
      {"key set by a path that is not absolute",
       "auth: {server: 'https://a.example', jwks_uri: 'file:keys.json'}\n",
       "auth.jwks_uri: allowed"},
      {"shared key allowed but absent", "identity: {allow_shared_key: true}\n",
       "needs identity.shared_key"},
  };
  for (const Refusal& row : rows) {
    const std::string message = refusal(row.yaml);
    EXPECT_THAT(message, HasSubstr(row.says)) << row.name;
    EXPECT_EQ(message.find('\n'), message.npos) << row.name;
  }
}

TEST_F(ConfigTest, NeverEchoesASecret) {
  const std::string message = refusal("identity: {shared_key: hunter2hunter2}\n");
  EXPECT_THAT(message, HasSubstr("identity.shared_key"));
  EXPECT_THAT(message, Not(HasSubstr("hunter2")));
}

TEST_F(ConfigTest, RefusesUnknownVariablesOfASectionAndIgnoresOthers) {
  Sources typo;
  typo.environment = {{"KUBIYA_SERVER_PROT", "1"}};
  const Result<Config> refused = load_config(typo);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              HasSubstr("unknown variable KUBIYA_SERVER_PROT; did you mean KUBIYA_SERVER_PORT?"));
  Sources other;
  other.environment = {{"KUBIYA_BASE_URL", "x"}, {"KUBIYA_SERVER_PORT", ""}};
  const Result<Config> accepted = load_config(other);
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_EQ(accepted->server.port, 8000);
}

TEST_F(ConfigTest, FileWithASecretMustBePrivate) {
  const std::string yaml = "identity: {shared_key: " + kSharedKey + "}\n";
  EXPECT_TRUE(load_text(yaml, {}, 0600));
  const Result<Config> readable = load_text(yaml, {}, 0640);
  ASSERT_FALSE(readable);
  EXPECT_THAT(readable.error().message, HasSubstr("chmod 600"));
  EXPECT_TRUE(load_text(yaml + "allow_readable_files: true\n", {}, 0644));
  EXPECT_TRUE(load_text("workers: 2\n", {}, 0644)) << "no secret in it";
}

TEST_F(ConfigTest, ReadsSecretsFromFilesThatAreTheirOwners) {
  const std::string secret = file("key", kSharedKey + "\n");
  const std::string yaml = "identity: {shared_key: '${file:" + secret + "}'}\n";
  const Result<Config> config = load_text(yaml, {}, 0644);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->identity.shared_key->reveal(), kSharedKey);
  file("key", "\n");
  EXPECT_FALSE(load_text(yaml)) << "an empty file is no value";
  ::chmod(secret.c_str(), 0644);
  EXPECT_FALSE(load_text(yaml));
  std::filesystem::remove(secret);
  EXPECT_FALSE(load_text(yaml));
}

TEST_F(ConfigTest, AProxyWithAPasswordIsASecretAndOneWithoutIsNot) {
  const std::string with = "outbound: {proxy: 'http://ada:hunter2@proxy.example:3128'}\n";
  const std::string without = "outbound: {proxy: 'http://proxy.example:3128'}\n";
  const Result<Config> hidden = load_text(with, {}, 0600);
  ASSERT_TRUE(hidden) << hidden.error().message;
  EXPECT_EQ(hidden->client.proxy, "http://ada:hunter2@proxy.example:3128");
  EXPECT_THAT(print_config(*hidden), Not(HasSubstr("hunter2")));
  const Result<Config> readable = load_text(with, {}, 0644);
  ASSERT_FALSE(readable);
  EXPECT_THAT(readable.error().message, HasSubstr("chmod 600"));
  const Result<Config> shown = load_text(without, {}, 0644);
  ASSERT_TRUE(shown) << shown.error().message;
  EXPECT_THAT(print_config(*shown), HasSubstr("http://proxy.example:3128"));
  const std::string wrong = refusal("outbound: {proxy: \"http://ada:hunter2@proxy\\n\"}\n");
  EXPECT_THAT(wrong, HasSubstr("outbound.proxy: the value is not allowed"));
  EXPECT_THAT(wrong, Not(HasSubstr("hunter2")));
}

TEST_F(ConfigTest, SecretsOfTheEnvironmentAreKnownByName) {
  for (const char* name : {"KUBIYA_API_KEY", "KUBIYA_IDENTITY_SHARED_KEY", "KUBIYA_OUTBOUND_PROXY"})
    EXPECT_TRUE(is_secret_variable(name)) << name;
  for (const char* name : {"KUBIYA_SERVER_PORT", "KUBIYA_AUTH_SERVER", "PATH"})
    EXPECT_FALSE(is_secret_variable(name)) << name;
}

TEST_F(ConfigTest, AFileThatEverybodyCanWriteIsRefused) {
  for (const mode_t mode : {0602, 0606, 0666}) {
    const Result<Config> config = load_text("workers: 2\n", {}, mode);
    ASSERT_FALSE(config) << mode;
    EXPECT_THAT(config.error().message, HasSubstr("everybody can write it"));
  }
}

TEST_F(ConfigTest, AServersFilesAreReadBeforeItStarts) {
  const std::string garbage = file("garbage.pem", "-----BEGIN CERTIFICATE-----\nx\n");
  Config config;
  EXPECT_TRUE(check_files(config));
  config.server.tls = {garbage, garbage};
  const Result<> tls = check_files(config);
  ASSERT_FALSE(tls);
  EXPECT_THAT(tls.error().message, HasSubstr("server.tls_cert, server.tls_key: "));
  EXPECT_THAT(tls.error().message, HasSubstr(garbage + " ("));
  config.server.tls = {};
  config.client.ca_file = directory_ + "/absent.pem";
  EXPECT_THAT(check_files(config).error().message, HasSubstr("outbound.ca_file: "));
  config.client.ca_file = {};
  config.workflows_dir = garbage;
  EXPECT_THAT(check_files(config).error().message, HasSubstr("workflow.directory: "));
}

TEST_F(ConfigTest, TlsKeyMustBePrivate) {
  const std::string certificate = file("cert.pem", "c", 0644);
  const std::string key = file("key.pem", "k", 0644);
  const std::string yaml =
      "server: {host: 0.0.0.0, tls_cert: " + certificate + ", tls_key: " + key + "}\n";
  EXPECT_THAT(refusal(yaml), HasSubstr("others can read"));
  ::chmod(key.c_str(), 0600);
  const Result<Config> config = load_text(yaml);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->public_url, "https://localhost:8000");
}

TEST_F(ConfigTest, SharedKeyNeverStandsInForAPerson) {
  Sources sources;
  sources.environment = {{"KUBIYA_API_KEY", kSharedKey},
                         {"KUBIYA_AUTH_SERVER", "https://login.example.com"}};
  const Result<Config> config = load_config(sources);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_FALSE(config->identity.shared_key);
}

TEST_F(ConfigTest, PrintsEveryKeyAndMasksSecrets) {
  Sources sources;
  sources.environment = {{"KUBIYA_API_KEY", kSharedKey}};
  const Result<Config> config = load_config(sources);
  ASSERT_TRUE(config) << config.error().message;
  const std::string printed = print_config(*config);
  EXPECT_THAT(printed, Not(HasSubstr(kSharedKey)));
  EXPECT_THAT(printed, HasSubstr("********"));
  EXPECT_THAT(printed, HasSubstr("request_line_bytes: \"8KiB\""));
}

TEST_F(ConfigTest, WhatItPrintsItReadsBack) {
  const std::vector<std::pair<std::string, std::string>> rows[] = {
      {},
      {{"auth.server", "https://login.example.com"},
       {"identity.scope_map", "ops=read+execute"},
       {"server.port", "8123"}},
  };
  for (const auto& flags : rows) {
    const Result<Config> config = with_flags(flags);
    ASSERT_TRUE(config) << config.error().message;
    const std::string printed = print_config(*config);
    const Result<Config> again = load_text(printed);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(print_config(*again), printed);
  }
}

// A key whose value cannot be set, read and set again is not a key.
TEST_F(ConfigTest, EveryKeyTakesItsOwnDefault) {
  Draft draft = default_draft();
  for (const Key& key : config_table()) {
    if (key.shape == Key::Shape::secret) continue;
    const std::vector<std::string> values = key.get(draft);
    const Result<> set = key.set(draft, values);
    EXPECT_TRUE(set) << key.name << ": " << (set ? "" : set.error().message);
    EXPECT_EQ(key.get(draft), values) << key.name;
  }
}

TEST_F(ConfigTest, NamesAreUniqueInTheFileTheEnvironmentAndOnTheCommandLine) {
  std::vector<std::string> names;
  for (const Key& key : config_table()) {
    for (const std::string& name : {key.name, environment_name(key.name), key.alias, key.flag}) {
      if (name.empty()) continue;
      EXPECT_THAT(names, Not(::testing::Contains(name)));
      names.push_back(name);
    }
  }
}

TEST_F(ConfigTest, ServeHasTheFlagsOfTheSeed) {
  for (const char* wanted : {"--host", "--port", "--auth-server", "--auth-type",
                             "--required-scopes", "--audience", "--data-dir"}) {
    EXPECT_TRUE(std::any_of(serve_flags().begin(), serve_flags().end(),
                            [&](const FlagSpelling& flag) { return flag.flag == wanted; }))
        << wanted;
  }
  EXPECT_THAT(refused_flags({{"server.port", "x"}}), HasSubstr("--port: server.port: \"x\""));
}

TEST_F(ConfigTest, TheReferencePageIsUpToDate) {
  const Result<std::string> page =
      read_file(KUBIYA_SOURCE_DIR "/docs/configuration.md", 1024 * 1024);
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_TRUE(*page == configuration_page())
      << "run: kubiya-mcp config docs > docs/configuration.md";
}

}  // namespace
}  // namespace kubiya::app
