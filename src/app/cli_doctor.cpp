// SPDX-License-Identifier: Apache-2.0
//
// `doctor`: probes the identity providers and says what keeps people out.
#include <fmt/format.h>

#include "app/cli.h"
#include "app/diagnosis.h"
#include "base/log.h"
#include "identity/examine.h"

namespace kubiya::app::cli {
namespace {

Result<Config> configuration_of(const Doctor& command) {
  Installation where = command.where;
  const auto add = [&where](std::string_view key, const std::string& value) {
    if (!value.empty()) where.flags.emplace_back(key, value);
  };
  if (command.url.empty() && !(command.preset.empty() && command.client_id.empty())) {
    return fail(Code::invalid, "--preset and --client-id go with the URL of a provider");
  }
  add("auth.server", command.url);
  add("auth.preset", command.preset);
  add("auth.client_id", command.client_id);
  return load(where);
}

Result<int> run(const Doctor& command) {
  const Config config = TRY(configuration_of(command));
  if (config.issuers.empty()) {
    return fail(Code::invalid,
                "no identity provider is configured: callers use API keys. Give the URL of a "
                "provider to probe it, such as kubiya-mcp doctor https://login.example.com");
  }
  log::set_level(Level::off);
  const SystemClock clock;
  const auto client = TRY(http::Client::open(config.client));
  const auto patience = config.client.total_timeout + config.client.connect_timeout;
  std::vector<Diagnosis> diagnoses;
  for (const identity::IssuerOptions& issuer : config.issuers) {
    const auto evidence = TRY(identity::examine(issuer, *client, clock, patience));
    diagnoses.push_back(
        {issuer, identity::check_up(issuer, evidence), identity::fitting(issuer, evidence)});
  }
  fmt::print("{}", command.json ? diagnosis_json(diagnoses) : diagnosis_text(diagnoses));
  return has_blocker(diagnoses) ? kFailed : kDone;
}

}  // namespace

int doctor(const Doctor& command) {
  const Result<int> result = run(command);
  return result ? *result : complain(result.error());
}

}  // namespace kubiya::app::cli
