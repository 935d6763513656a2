// SPDX-License-Identifier: Apache-2.0
//
// `cut-off`: one write that ends all a person holds here, and its undoing.
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/cli.h"
#include "app/cli_data.h"
#include "base/encoding.h"
#include "base/json.h"
#include "store/cutoffs.h"
#include "store/store.h"

namespace kubiya::app::cli {
namespace {

constexpr std::size_t kReasonMax = 200;

// Whoever is cut off under a name that nobody has is not cut off.
Result<std::string> issuer_of(const Config& config, const std::string& given) {
  const std::vector<std::string> names = issuer_names(config);
  if (names.empty()) return given.empty() ? std::string(store::kKeyIssuer) : given;
  if (given.empty() && names.size() == 1) return names.front();
  const bool known =
      std::find(names.begin(), names.end(), given) != names.end() || given == store::kKeyIssuer;
  if (known) return given;
  return fail(Code::invalid,
              fmt::format("--issuer: say whose subject it is: {}", fmt::join(names, ", ")));
}

// Keys that were made before there was a provider serve the callers of the first one.
std::vector<std::string> key_issuers(const Config& config, const std::string& issuer) {
  std::vector<std::string> out{issuer};
  const bool first = !config.issuers.empty() && config.issuers.front().rules.issuer == issuer;
  if (first) out.emplace_back(store::kKeyIssuer);
  return out;
}

json::object about(const CutOff& command, const std::string& issuer) {
  json::object fields{{"issuer", issuer}, {"subject", command.subject}};
  if (!command.reason.empty()) fields["reason"] = command.reason;
  fields["by"] = "command_line";
  fields["user"] = ::geteuid();
  return fields;
}

Result<> cut(const CutOff& command, const Config& config, const std::string& issuer) {
  Workbench bench = TRY(Workbench::open(config));
  store::CutoffRow row{issuer, command.subject, unix_ms(SystemClock().wall()), 0, command.reason};
  const auto owed = [&](const std::vector<std::string>& keys) {
    json::object fields = about(command, issuer);
    fields["keys"] = json::array(keys.begin(), keys.end());
    return store::OwedRecord{0, "person_cut_off", to_json(fields)};
  };
  const auto keys =
      TRY(store::Cutoffs(bench.database()).cut(row, key_issuers(config, issuer), owed));
  TRY_VOID(bench.record_owed());
  fmt::print("{} of {} is cut off{}: no token is taken, {} {} revoked{}.\n", command.subject,
             issuer, bench.server_runs() ? "; the running server knows it within a second" : "",
             keys.size(), keys.size() == 1 ? "API key is" : "API keys are",
             bench.server_runs() ? ", runs are canceled, streams and sessions end" : "");
  return {};
}

Result<> lift(const CutOff& command, const Config& config, const std::string& issuer) {
  Workbench bench = TRY(Workbench::open(config));
  const store::OwedRecord owed{0, "person_let_in", to_json(about(command, issuer))};
  TRY_VOID(store::Cutoffs(bench.database())
               .lift(issuer, command.subject, unix_ms(SystemClock().wall()), owed));
  TRY_VOID(bench.record_owed());
  fmt::print(
      "{} of {} is let in again with tokens that are issued from now on{}. Revoked API keys "
      "stay revoked.\n",
      command.subject, issuer,
      bench.server_runs() ? "; the running server knows it within a second" : "");
  return {};
}

Result<> list(const Config& config) {
  const auto database = TRY(open_existing(config));
  fmt::print("{:<32} {:<9} {:<24} {:<24} {}\n", "SUBJECT", "STATE", "SINCE", "ISSUER", "REASON");
  for (const store::CutoffRow& row : TRY(store::Cutoffs(*database).all())) {
    fmt::print("{:<32} {:<9} {:<24} {:<24} {}\n", printable(row.subject, 256),
               row.lifted_ms == 0 ? "cut off" : "lifted", format_time(from_unix_ms(row.since_ms)),
               printable(row.issuer, 256), row.reason);
  }
  return {};
}

Result<> run(const CutOff& command) {
  const Config config = TRY(load(command.where));
  if (command.list) return list(config);
  if (command.subject.empty()) {
    return fail(Code::invalid,
                "say whom: the `sub` of the person's tokens, or the owner of the keys");
  }
  if (command.reason.size() > kReasonMax || printable(command.reason) != command.reason) {
    return fail(Code::invalid, "--reason: at most 200 printable characters");
  }
  const std::string issuer = TRY(issuer_of(config, command.issuer));
  return command.lift ? lift(command, config, issuer) : cut(command, config, issuer);
}

}  // namespace

int cut_off(const CutOff& command) {
  const Result<> result = run(command);
  return result ? kDone : complain(result.error());
}

}  // namespace kubiya::app::cli
