// SPDX-License-Identifier: Apache-2.0
//
// The configuration: one table of keys, filled from defaults, a YAML file, the
// environment and flags, later ones winning. Each module owns its options; this is
// the only place that knows all of them and the only code that reads them from outside.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audit/journal.h"
#include "base/log.h"
#include "base/result.h"
#include "base/secret.h"
#include "engine/embedded.h"
#include "http/client.h"
#include "http/server.h"
#include "identity/authenticator.h"
#include "identity/issuer.h"
#include "identity/one_time_box.h"
#include "mcp/pages.h"
#include "mcp/places.h"
#include "policy/tool_rule.h"
#include "workflow/definition.h"

namespace kubiya::app {

enum class RequestLog { all, refusals, none };
enum class Transport { http, stdio };

struct Config {
  std::string name = "kubiya-mcp";  // shown to clients
  std::string data_dir = "./data";
  std::string
      public_url;  // canonical origin, "https://mcp.example.com"; default from host and port
  std::string mcp_path = "/mcp";
  Transport transport = Transport::http;
  std::optional<Secret> access_token;  // stdio: the caller's
  std::string
      workflows_dir;  // definitions imported at start when absent from the store; empty: none
  std::string import_tenant = "default";     // tenant that imported definitions belong to
  Scopes required_scopes;                    // server-wide minimum
  std::vector<policy::ToolRule> tool_rules;  // policy.rules
  Level log_level = Level::info;
  RequestLog log_requests = RequestLog::all;
  unsigned log_strangers_per_second = 50;     // of each event loop
  unsigned bad_credentials_per_minute = 100;  // of one peer; 0: no bound
  std::size_t bad_credential_peers = 8'192;   // told apart
  mcp::PlaceLimits calls = mcp::kCallPlaces;
  mcp::PlaceLimits streams = mcp::kStreamPlaces;
  identity::OneTimeBox::Options one_time;  // links that show a new key
  std::chrono::milliseconds drain_grace{10'000};
  std::chrono::seconds wait_default{25};  // how long execute_workflow waits for a run by default
  std::chrono::seconds wait_max{3'600};
  int workers = 4;  // threads for blocking reads

  http::ServerOptions server;
  http::ClientOptions client;
  std::vector<identity::IssuerOptions> issuers;  // empty: API-key mode
  bool issuers_listed = false;                   // by `issuers`, not by `auth`
  identity::AuthenticatorOptions identity;       // shared_key from KUBIYA_API_KEY
  // The key vault's; absent: a credential of the service manager, or a file in data_dir.
  std::optional<Secret> vault_key, vault_previous_key;
  // For people whose token leads to no Kubiya key.
  mcp::JustInTime just_in_time = mcp::JustInTime::off;
  Scopes just_in_time_scopes{"execute", "read"};
  audit::JournalOptions audit;
  engine::EngineOptions engine;
  workflow::Limits workflow;
  // Soft limit of descriptors for processes of steps; 0: ours. No key: serve() sets it.
  std::uint64_t step_open_files = 0;
  // Accept a key file, or a configuration file with a secret in it, that others can read.
  bool allow_readable_files = false;
};

// What came from outside, before it is merged.
struct Sources {
  std::optional<std::string> file;                               // --config
  std::vector<std::pair<std::string, std::string>> environment;  // KUBIYA_* only
  // By key name of the table ("server.port"); repeated for lists. Flags are spellings of keys.
  std::vector<std::pair<std::string, std::string>> flags;
};

// Merges and checks. An unknown key, a bad value or a dangerous combination is one error line that
// names the key, where it came from and what is allowed; no secret is echoed.
Result<Config> load_config(const Sources& sources);

// Reads the files that a configuration names and a server needs: certificate and key, authorities,
// the directory of workflows. Errors name the key and the file.
Result<> check_files(const Config& config);

// Every key with its effective value, secrets masked, YAML.
std::string print_config(const Config& config);

// docs/configuration.md, generated from the table.
std::string configuration_page();

// Flag spellings of `serve` and the key each sets: {"--port", "server.port", …}.
struct FlagSpelling {
  std::string flag;
  std::string key;
  std::string description;
  std::string value;     // placeholder, or the allowed words: "PORT", "oidc|oauth"
  std::string standard;  // the default as written; may be empty
  bool list = false;     // takes several values: --required-scopes read write execute
  bool toggle = false;   // takes no value: --insecure-http sets "true"
};
const std::vector<FlagSpelling>& serve_flags();

}  // namespace kubiya::app
