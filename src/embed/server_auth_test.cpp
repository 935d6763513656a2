// SPDX-License-Identifier: Apache-2.0
//
// An application in one process: what is refused before anything starts, what its handlers may
// answer, and a stop that a handler asks for.
#include <kubiya/server_auth.h>

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "app/cli.h"
#include "base/json.h"
#include "base/log.h"
#include "http/wire_fixture.h"

namespace kubiya {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

ServerAuthOptions options_in(const std::filesystem::path& directory) {
  ServerAuthOptions options;
  options.host = "127.0.0.1";
  options.port = 0;
  options.data_dir = directory;
  options.settings = {{"public_url", "http://localhost:8000"}, {"log.level", "off"}};
  return options;
}

// The first line that `key create` prints.
std::string new_key(const std::filesystem::path& directory) {
  app::cli::KeyCreate command;
  command.where.data_dir = directory;
  command.user = "ada";
  command.scopes = {"read"};
  testing::internal::CaptureStdout();
  EXPECT_EQ(app::cli::key_create(command), app::cli::kDone);
  const std::string printed = testing::internal::GetCapturedStdout();
  return printed.substr(0, printed.find('\n'));
}

class Embedded : public testing::Test {
 protected:
  Embedded() : server_(create_mcp_server_auth(options_in(directory_))) {}
  ~Embedded() override {
    server_.stop();
    std::filesystem::remove_all(directory_);
  }

  void add(ToolDefinition tool, ToolHandler handler) {
    const Status added = server_.add_tool(std::move(tool), std::move(handler));
    ASSERT_TRUE(added) << added.message;
  }

  void start() {
    if (key_.empty()) key_ = new_key(directory_);
    const Status started = server_.start();
    ASSERT_TRUE(started) << started.message;
  }

  // The JSON-RPC answer to a call of `tool`.
  json::object call(std::string_view tool) {
    const std::string body = fmt::format(
        R"({{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{}","arguments":{{}}}}}})",
        tool);
    http::Wire wire(server_.port());
    wire.send(
        fmt::format("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Accept: application/json, text/event-stream\r\n"
                    "MCP-Protocol-Version: 2025-11-25\r\nX-API-Key: {}\r\n"
                    "Content-Length: {}\r\n\r\n{}",
                    key_, body.size(), body));
    const std::string answer = wire.read_response();
    const auto at = answer.find("\r\n\r\n");
    if (at == answer.npos) return {};
    const auto parsed = parse_json(std::string_view(answer).substr(at + 4));
    EXPECT_TRUE(parsed && parsed->is_object()) << answer;
    return parsed && parsed->is_object() ? parsed->get_object() : json::object();
  }

  std::filesystem::path directory_ =
      std::filesystem::path(testing::TempDir()) /
      fmt::format("embed-{}-{}", ::getpid(),
                  testing::UnitTest::GetInstance()->current_test_info()->name());
  McpServer server_;
  std::string key_;
};

ToolDefinition tool_named(std::string name, bool mutates = false) {
  ToolDefinition tool;
  tool.name = std::move(name);
  tool.description = "A tool.";
  tool.scopes = {"read"};
  tool.mutates = mutates;
  return tool;
}

ToolHandler answering(ToolReply reply) {
  return [reply](const Caller&, std::string_view) { return reply; };
}

// The text of the first content item.
std::string text_of(const json::object& answer) {
  const json::object* result = find_object(answer, "result");
  const json::array* content = result ? find_array(*result, "content") : nullptr;
  if (content == nullptr || content->empty()) return to_json(answer);
  return std::string(find_string(content->front().as_object(), "text").value_or(""));
}

bool failed(const json::object& answer) {
  const json::object* result = find_object(answer, "result");
  return result == nullptr || find_bool(*result, "isError").value_or(false);
}

std::set<std::string> threads() {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    found.insert(entry.path());
  return found;
}

// From /proc: the mask of blocked signals, as a number.
std::uint64_t blocked_by(const std::string& thread) {
  std::ifstream status(thread + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigBlk:")) return std::stoull(line.substr(7), nullptr, 16);
  }
  return 0;
}

// A reader of stderr or a peer that left must not end the application.
TEST_F(Embedded, EveryThreadOfTheServerBlocksSigpipeAndTheApplicationsOwnDoNot) {
  constexpr std::uint64_t kSigpipe = 1u << (SIGPIPE - 1);
  const auto before = threads();
  start();
  EXPECT_FALSE(failed(call("whoami")));
  std::size_t ours = 0;
  for (const std::string& thread : threads()) {
    if (before.contains(thread)) {
      EXPECT_EQ(blocked_by(thread) & kSigpipe, 0u) << thread;
      continue;
    }
    ++ours;
    EXPECT_EQ(blocked_by(thread) & kSigpipe, kSigpipe) << thread;
  }
  EXPECT_GT(ours, 4u);
}

// In a process of its own, because run() changes more than the mask.
[[noreturn]] void run_and_look(McpServer& server) {
  const std::string main_thread = fmt::format("/proc/self/task/{}", ::getpid());
  constexpr std::uint64_t kSigterm = 1u << (SIGTERM - 1);
  constexpr std::uint64_t kSigusr2 = 1u << (SIGUSR2 - 1);
  const pthread_t self = ::pthread_self();
  // While the C library starts a thread, all signals are blocked: that is not what is waited for.
  std::thread stopper([&] {
    while ((blocked_by(main_thread) & (kSigterm | kSigusr2)) != kSigterm) std::this_thread::yield();
    ::pthread_kill(self, SIGTERM);
  });
  const int status = server.run();
  stopper.join();
  std::_Exit((blocked_by(main_thread) & kSigterm) == 0 ? status : 99);
}

TEST_F(Embedded, AfterRunTheApplicationCanBeStoppedAsBefore) {
  EXPECT_EXIT(run_and_look(server_), testing::ExitedWithCode(0), "");
}

TEST_F(Embedded, AnUnknownServerTypeIsRefusedByTheFirstCall) {
  ServerAuthOptions options = options_in(directory_);
  options.auth_server_type = "saml";
  auto server = create_mcp_server_auth(options);
  const Status added = server.add_tool(tool_named("greet"), answering({}));
  EXPECT_EQ(added.message, "auth_server_type: allowed: oidc, oauth; not saml");
  EXPECT_FALSE(server.start());
  EXPECT_EQ(server.run(), 2);
}

TEST_F(Embedded, NamesThatAreTakenAreRefusedWhenAdded) {
  for (const char* name : {"whoami", "execute_workflow", "get_execution_logs"}) {
    EXPECT_FALSE(server_.add_tool(tool_named(name), answering({}))) << name;
  }
  add(tool_named("greet"), answering({}));
  EXPECT_FALSE(server_.add_tool(tool_named("greet"), answering({})));
  ToolDefinition garbled = tool_named("garbled");
  garbled.description = "\xFF";
  EXPECT_FALSE(server_.add_tool(garbled, answering({})));
}

// The list of names that applications cannot take is held against the server's own at each start.
TEST_F(Embedded, ServesItsOwnToolsBesideTheBuiltInOnes) {
  add(tool_named("greet"), answering({.text = "Hello"}));
  start();
  EXPECT_EQ(text_of(call("greet")), "Hello");
  EXPECT_FALSE(failed(call("whoami")));
}

TEST_F(Embedded, TextThatIsNotUtf8IsRepaired) {
  add(tool_named("text"), answering({.text = "a\xFF\xE2\x82\xAC\xC3(\xF0\x9F"}));
  add(tool_named("json"), answering({.json = "{\"a\":\"\xFF\"}"}));
  start();
  EXPECT_EQ(text_of(call("text")), "a\uFFFD€\uFFFD(\uFFFD\uFFFD");
  EXPECT_TRUE(failed(call("json")));
}

TEST_F(Embedded, RepliesMustFitTheOutputSchema) {
  const std::string schema =
      R"({"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]})";
  for (const char* name : {"good", "bad", "unable"}) {
    ToolDefinition tool = tool_named(name);
    tool.output_schema = schema;
    const bool good = tool.name == "good";
    add(std::move(tool), answering({.json = good ? R"({"n":1})" : R"({"n":"one"})",
                                    .text = "told",
                                    .failed = std::string_view(name) == "unable"}));
  }
  start();
  EXPECT_FALSE(failed(call("good")));
  const json::object bad = call("bad");
  EXPECT_TRUE(failed(bad));
  EXPECT_NE(text_of(bad), "told");
  EXPECT_EQ(text_of(call("unable")), "told");
}

TEST_F(Embedded, StartHonoursTheLogLevel) {
  log::set_level(Level::debug);
  start();
  EXPECT_FALSE(log::enabled(Level::error));
}

TEST_F(Embedded, AHandlerMayStopItsServer) {
  std::promise<void> reached;
  add(tool_named("halt", true), [&](const Caller&, std::string_view) {
    server_.stop();
    reached.set_value();
    return ToolReply{.text = "stopping"};
  });
  start();
  EXPECT_EQ(text_of(call("halt")), "stopping");
  ASSERT_EQ(reached.get_future().wait_for(kPatience), std::future_status::ready);
  server_.stop();
  EXPECT_EQ(server_.port(), 0);
  start();
  EXPECT_NE(server_.port(), 0);
}

}  // namespace
}  // namespace kubiya
