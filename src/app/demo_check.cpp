// SPDX-License-Identifier: Apache-2.0
#include "app/demo_check.h"

#include <cstdio>
#include <filesystem>
#include <functional>
#include <thread>

#include <fmt/format.h>

#include "app/config_files.h"
#include "app/demo_client.h"
#include "audit/layout.h"
#include "audit/reader.h"
#include "audit/verify.h"
#include "base/encoding.h"
#include "base/json.h"

namespace kubiya::app {
namespace {

constexpr std::chrono::hours kLifetime{1};

tl::unexpected<Error> wrong(std::string what) { return fail(Code::invalid, std::move(what)); }

std::string call_text(std::string_view tool, const json::object& arguments) {
  const json::object meta{{"io.modelcontextprotocol/protocolVersion", "2026-07-28"},
                          {"io.modelcontextprotocol/clientCapabilities", json::object()}};
  return to_json(json::object{
      {"jsonrpc", "2.0"},
      {"id", 1},
      {"method", "tools/call"},
      {"params", {{"name", tool}, {"arguments", arguments}, {"_meta", meta}}},
  });
}

Result<LoopbackAnswer> call_tool(const Config& config, const Secret& token, std::string_view tool,
                                 const json::object& arguments) {
  LoopbackRequest request;
  request.port = config.server.port;
  request.path = config.mcp_path;
  request.headers = {{"Authorization", "Bearer " + std::string(token.reveal())},
                     {"Content-Type", "application/json"},
                     {"Accept", "application/json, text/event-stream"},
                     {"MCP-Protocol-Version", "2026-07-28"},
                     {"Mcp-Method", "tools/call"},
                     {"Mcp-Name", std::string(tool)}};
  request.body = call_text(tool, arguments);
  return call_loopback(request);
}

// The call that every credential is tried on.
Result<LoopbackAnswer> execute_hello(const Config& config, const Secret& token) {
  return call_tool(config, token, "execute_workflow",
                   {{"name", "hello"}, {"params", {{"NAME", "demonstration"}}}});
}

Result<> expect_challenge(const LoopbackAnswer& answer, int status,
                          std::initializer_list<std::string_view> parts) {
  if (answer.status != status) {
    return wrong(fmt::format("status {} instead of {}", answer.status, status));
  }
  const std::string_view challenge = answer.header("www-authenticate");
  for (const std::string_view part : parts) {
    if (challenge.find(part) != challenge.npos) continue;
    return wrong(fmt::format("the challenge lacks {}: {}", part, printable(challenge, 512)));
  }
  return {};
}

Result<json::object> structured_content(const LoopbackAnswer& answer) {
  if (answer.status != 200) {
    return wrong(fmt::format("status {}: {}", answer.status, printable(answer.body, 512)));
  }
  const json::value body = TRY(parse_json(answer.body));
  const json::object* result =
      body.is_object() ? find_object(body.get_object(), "result") : nullptr;
  const json::object* content = result ? find_object(*result, "structuredContent") : nullptr;
  if (content == nullptr) return wrong("no structuredContent: " + printable(answer.body, 512));
  return *content;
}

class Pass {
 public:
  Pass(const Config& config, const DemoIssuer& issuer) : config_(config), issuer_(issuer) {}

  bool run() {
    step("deployer runs hello and gets its output", [this] { return allowed(); });
    step("viewer is refused: 403 and the full challenge", [this] { return viewer(); });
    step("a forged token is refused: 401", [this] { return bad_token(TokenKind::forged); });
    step("an expired token is refused: 401", [this] { return bad_token(TokenKind::expired); });
    step("the audit trail shows all four under the right names", [this] { return trail(); });
    step("audit verify: the journal is whole", [this] { return whole(); });
    step("one byte of a copy flipped: audit verify names the record", [this] { return flipped(); });
    return passed_;
  }

 private:
  // A step answers with what it saw, or with what was wrong.
  void step(std::string_view name, const std::function<Result<std::string>()>& body) {
    const Result<std::string> result = body();
    passed_ = passed_ && result;
    fmt::print("{:<7} {}: {}\n", result ? "ok" : "FAILED", name,
               result ? *result : result.error().message);
    std::fflush(stdout);
  }

  Result<std::string> allowed() {
    const Secret token = TRY(issuer_.token("deployer", kLifetime));
    const LoopbackAnswer answer = TRY(execute_hello(config_, token));
    const json::object run = TRY(structured_content(answer));
    if (find_string(run, "status") != "finished") return wrong("the run did not finish");
    const LoopbackAnswer logs =
        TRY(call_tool(config_, token, "get_execution_logs",
                      {{"execution_id", find_string(run, "execution_id").value_or("")}}));
    const std::string output = to_json(TRY(structured_content(logs)));
    const std::string_view greeting = "Hello, demonstration!";
    if (output.find(greeting) == output.npos) return wrong("no greeting in " + output);
    return std::string(greeting);
  }

  Result<std::string> viewer() {
    const Secret token = TRY(issuer_.token("viewer", kLifetime));
    const LoopbackAnswer answer = TRY(execute_hello(config_, token));
    TRY_VOID(expect_challenge(answer, 403,
                              {"Bearer ", "error=\"insufficient_scope\"", "scope=\"execute\"",
                               "resource_metadata=\"" + config_.public_url}));
    return std::string(answer.header("www-authenticate"));
  }

  Result<std::string> bad_token(TokenKind kind) {
    const Secret token = TRY(issuer_.token("deployer", kLifetime, kind));
    const LoopbackAnswer answer = TRY(execute_hello(config_, token));
    TRY_VOID(expect_challenge(
        answer, 401,
        {"Bearer ", "error=\"invalid_token\"", "resource_metadata=\"" + config_.public_url}));
    return std::string(answer.header("www-authenticate"));
  }

  // Refusals are recorded without making anybody wait, so the last may still be on its way.
  Result<std::string> trail() {
    for (int attempt = 0;; ++attempt) {
      Result<std::string> seen = find_trail();
      if (seen || attempt == 50) return seen;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

  Result<std::string> find_trail() {
    const std::vector<audit::Record> records = TRY(audit::list(config_.audit.directory, {}));
    const auto has = [&](auto&& fits) {
      for (const audit::Record& record : records) {
        if (record.operation != "execute_workflow" && record.kind != "refused") continue;
        if (fits(record)) return true;
      }
      return false;
    };
    const auto refused_token = [](const audit::Record& r, std::string_view reason) {
      return r.decision == "refused" && r.reason == reason && r.subject.empty() &&
             r.claimed_subject == "deployer";
    };
    if (!has([&](const audit::Record& r) {
          if (r.kind != "intent" || r.subject != "deployer" || r.issuer != issuer_.url())
            return false;
          victim_ = r.sequence;
          return true;
        })) {
      return wrong("no intent of deployer");
    }
    if (!has([](const audit::Record& r) {
          return r.decision == "refused" && r.subject == "viewer" &&
                 r.reason == "insufficient_scope";
        })) {
      return wrong("no refusal of viewer");
    }
    if (!has([&](const audit::Record& r) { return refused_token(r, "bad_signature"); })) {
      return wrong("no refusal of the forged token, with its claimed subject only");
    }
    if (!has([&](const audit::Record& r) { return refused_token(r, "token_expired"); })) {
      return wrong("no refusal of the expired token, with its claimed subject only");
    }
    return std::string("deployer allowed, viewer refused, twice nobody (claimed: deployer)");
  }

  Result<audit::VerifyReport> verify(const std::string& directory) {
    const std::string key = TRY(read_file(audit::public_key_path(config_.audit.directory), 4'096));
    return audit::verify_directory(directory, key);
  }

  Result<std::string> whole() {
    // The flipped record must be under a signature, and signing follows within a second or so.
    for (int attempt = 0; attempt < 100; ++attempt) {
      const audit::VerifyReport report = TRY(verify(config_.audit.directory));
      if (report.fault) return wrong(report.fault->what);
      if (victim_ && report.signed_records > *victim_) {
        return fmt::format("{} records, {} checkpoints", report.records, report.checkpoints);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return wrong("the records of this pass were not signed in time");
  }

  Result<std::string> flipped() {
    if (!victim_) return wrong("there is no record to flip a byte of");
    const std::string copy = config_.data_dir + "/flipped";
    std::error_code error;
    std::filesystem::copy(config_.audit.directory, copy, std::filesystem::copy_options::recursive,
                          error);
    if (error) return wrong("copying the journal: " + error.message());
    TRY_VOID(flip_byte(audit::segment_path(copy, 1)));
    const audit::VerifyReport report = TRY(verify(copy));
    if (!report.fault) return wrong("the change was not noticed");
    if (report.fault->sequence != victim_) {
      return wrong(fmt::format("another record is named: {}", report.fault->what));
    }
    return fmt::format("record {}: {}", *report.fault->sequence, report.fault->what);
  }

  // In the middle of the victim's line; a fresh journal has one segment, line n is record n.
  Result<> flip_byte(const std::string& segment) {
    std::string text = TRY(read_file(segment, 64 * 1024 * 1024));
    std::size_t start = 0;
    for (std::uint64_t line = 0; line < *victim_; ++line) start = text.find('\n', start) + 1;
    const std::size_t end = text.find('\n', start);
    if (end == text.npos) return wrong("the journal ends too early");
    text[start + (end - start) / 2] ^= 0x01;
    return write_private_file(segment, text);
  }

  const Config& config_;
  const DemoIssuer& issuer_;
  bool passed_ = true;
  std::optional<std::uint64_t> victim_;  // sequence of deployer's intent
};

}  // namespace

bool check_demo_server(const Config& config, const DemoIssuer& issuer) {
  return Pass(config, issuer).run();
}

}  // namespace kubiya::app
