// SPDX-License-Identifier: Apache-2.0
//
// `explain`: why a token is taken or refused here, by the judge of the server itself, and what the
// journal says of a request.
#include <cstdio>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/cli_data.h"
#include "app/explanation.h"
#include "app/vault_keys.h"
#include "audit/reader.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "base/log.h"
#include "identity/advice.h"
#include "identity/metadata.h"

namespace kubiya::app::cli {
namespace {

constexpr std::size_t kInputMax = 64 * 1024;
constexpr std::size_t kRecordsMax = 100;

// As people have it at hand: with the header's name, the scheme and a newline around it.
Secret trimmed(std::string_view text) {
  const auto drop = [&text](std::string_view word) {
    if (text.size() > word.size() && iequals(text.substr(0, word.size()), word)) {
      text.remove_prefix(word.size());
    }
    while (text.starts_with(' ')) text.remove_prefix(1);
  };
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == text.npos) return Secret(std::string_view());
  text = text.substr(first, text.find_last_not_of(kBlank) - first + 1);
  drop("authorization:");
  drop("bearer ");
  return Secret(text);
}

Result<Secret> credential_of(const Explain& command) {
  if (command.token != "-") return trimmed(command.token);
  std::string text;
  char buffer[4096];
  std::size_t count = 0;
  while ((count = std::fread(buffer, 1, sizeof buffer, stdin)) != 0) {
    text.append(buffer, count);
    if (text.size() > kInputMax) return fail(Code::too_large, "that is too long for a token");
  }
  Secret out = trimmed(text);
  wipe_memory(text.data(), text.size());
  wipe_memory(buffer, sizeof buffer);
  return out;
}

// What the installation knows of keys and people, if there is one; without, nothing.
struct Known {
  std::unique_ptr<identity::KeyBook> keys;
  identity::PersonBook people;
};

Result<> read_known(const Config& config, Known& known) {
  const auto database = open_existing(config);
  if (!database && database.error().code != Code::not_found) return fail(database.error());
  if (!database) {
    known.keys = std::make_unique<identity::KeyBook>(Secret(random_id()));
    return {};
  }
  store::Meta meta(**database);
  known.keys = std::make_unique<identity::KeyBook>(TRY(open_key_pepper(config.data_dir, meta)));
  known.keys->replace(TRY(store::Keys(**database).all()));
  known.people.replace(TRY(store::Vault(**database).all()), TRY(open_vault_keys(config, false)),
                       TRY(store::Cutoffs(**database).all()));
  return {};
}

Result<int> explain_token(const Explain& command) {
  const Config config = TRY(load(command.where));
  const Secret credential = TRY(credential_of(command));
  log::set_level(Level::off);
  const SystemClock clock;
  Known known;
  TRY_VOID(read_known(config, known));
  const auto client = TRY(http::Client::open(config.client));
  std::vector<std::unique_ptr<identity::Issuer>> issuers;
  for (identity::IssuerOptions options : config.issuers) {
    options.cache_file.clear();  // that file is the server's
    issuers.push_back(identity::Issuer::open(std::move(options), *client, clock));
  }
  identity::AuthenticatorOptions options = config.identity;
  options.mode = config.issuers.empty() ? identity::Mode::api_key : identity::Mode::token;
  std::string header = "Bearer ";
  header += credential.reveal();
  identity::Presented presented;
  presented.authorization = header;
  presented.authorization_count = credential.empty() ? 0 : 1;
  const auto out =
      identity::explain(presented, options, issuers, *known.keys, known.people, clock,
                        config.client.total_timeout * 2 + config.client.connect_timeout);
  wipe_memory(header.data(), header.size());
  const policy::Policy policy(config.required_scopes, config.tool_rules);
  fmt::print("{}", command.json ? explanation_json(out, policy) : explanation_text(out, policy));
  return out.verdict && missing_of_all(out, policy).empty() ? kDone : kFailed;
}

std::string decision(const audit::Record& record) {
  std::string text = record.decision.empty() ? record.outcome : record.decision;
  if (text.empty()) text = record.event;
  return record.reason.empty() ? text : fmt::format("{} ({})", text, record.reason);
}

std::string who(const audit::Record& record) {
  if (!record.subject.empty()) return fmt::format("{} in {}", record.subject, record.tenant);
  if (record.claimed_subject.empty() && record.claimed_issuer.empty()) return "nobody known";
  return fmt::format("claimed, not verified: {} of {}", record.claimed_subject,
                     record.claimed_issuer);
}

void print_record(const audit::Record& record) {
  fmt::print("{}  record {}, {}: {}\n", record.time, record.sequence, record.kind,
             decision(record));
  fmt::print("  who: {}\n", who(record));
  const auto line = [](std::string_view name, const std::string& value) {
    if (!value.empty()) fmt::print("  {}: {}\n", name, value);
  };
  line("issuer", record.issuer);
  line("operation", record.operation);
  line("target", record.target);
  line("key", record.key);
  line("run", record.run_id);
  if (record.status) line("status", std::to_string(*record.status));
  line("detail", record.detail);
  const identity::Advice advice = identity::advice_for(record.reason);
  line("means", std::string(advice.meaning));
  line("next", std::string(advice.next));
}

json::object json_of(const audit::Record& record) {
  json::object out{{"record", record.sequence}, {"time", record.time}, {"kind", record.kind}};
  const auto add = [&out](std::string_view name, std::string_view value) {
    if (!value.empty()) out[name] = value;
  };
  add("decision", record.decision);
  add("reason", record.reason);
  add("detail", record.detail);
  add("tenant", record.tenant);
  add("issuer", record.issuer);
  add("subject", record.subject);
  add("claimed_issuer", record.claimed_issuer);
  add("claimed_subject", record.claimed_subject);
  add("key", record.key);
  add("operation", record.operation);
  add("target", record.target);
  add("run", record.run_id);
  add("outcome", record.outcome);
  if (record.status) out["status"] = *record.status;
  const identity::Advice advice = identity::advice_for(record.reason);
  add("means", advice.meaning);
  add("next", advice.next);
  return out;
}

Result<int> explain_request(const Explain& command) {
  const Config config = TRY(load(command.where));
  audit::RecordFilter filter;
  filter.request_id = command.request_id;
  filter.limit = kRecordsMax;
  const std::string directory =
      config.audit.directory.empty() ? config.data_dir + "/audit" : config.audit.directory;
  const auto records = TRY(audit::list(directory, filter));
  if (records.empty()) {
    return fail(Code::not_found,
                fmt::format("the journal in {} has no record of this request: its id is in the "
                            "X-Request-Id header of the answer; what strangers cause beyond "
                            "audit.detailed_per_second is only counted",
                            directory));
  }
  json::array list;
  for (const audit::Record& record : records) {
    if (command.json) {
      list.push_back(json_of(record));
    } else {
      print_record(record);
    }
  }
  if (command.json) {
    fmt::print("{}\n",
               to_json(json::object{{"request_id", command.request_id}, {"records", list}}));
  }
  return kDone;
}

Result<int> run(const Explain& command) {
  if (command.reasons) {
    fmt::print("{}", reasons_page());
    return kDone;
  }
  const bool token = !command.token.empty();
  if (token == !command.request_id.empty()) {
    return fail(Code::invalid, "give a token (or - to read it from stdin), or --request-id ID");
  }
  return token ? explain_token(command) : explain_request(command);
}

}  // namespace

int explain(const Explain& command) {
  const Result<int> result = run(command);
  return result ? *result : complain(result.error());
}

}  // namespace kubiya::app::cli
