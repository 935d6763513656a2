// SPDX-License-Identifier: Apache-2.0
//
// What main.cpp calls: one function per command, each with what the command line said.
// All of them print for people on stdout, complain on stderr and return an exit status.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/config.h"
#include "base/result.h"

namespace kubiya::app::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;  // it failed, or the answer is no
inline constexpr int kUsage = 2;   // the command line or the configuration is wrong

// Which installation a command works on: --config, the environment, --data-dir.
struct Installation {
  std::string config;
  std::string data_dir;
  std::vector<std::pair<std::string, std::string>> flags;  // by key name; further flags of serve
};
Result<Config> load(const Installation& where);
// The KUBIYA_* variables of this process. Those that hold secrets are wiped and gone afterwards.
// Before any other thread runs.
std::vector<std::pair<std::string, std::string>> take_environment();

// The text without what looks like an API key or a token: people paste them in the wrong place.
std::string without_keys(std::string_view text);

// One line on stderr, without keys. Returns kUsage for Code::invalid, otherwise kFailed.
int complain(const Error& error);

int run_serve(const Installation& where);

int config_check(const Installation& where);
int config_print(const Installation& where);
int config_docs();

struct KeyCreate {
  Installation where;
  std::string user;
  std::string name;
  std::vector<std::string> scopes;
  std::string expires = "90d";  // a duration, or "never"
  std::string tenant = "default";
  std::string issuer;  // of the owner; empty: the only configured one, or this server
};
int key_create(const KeyCreate& command);
struct KeyList {
  Installation where;
  std::string tenant = "default";
  std::string user;  // empty: everybody's
};
int key_list(const KeyList& command);
struct KeyRevoke {
  Installation where;
  std::string id;
};
int key_revoke(const KeyRevoke& command);

struct AuditPlace {
  Installation where;
  std::string directory;   // of the journal; empty: the installation's
  std::string public_key;  // file; empty: audit.pub beside the journal
};
struct AuditList {
  AuditPlace place;
  std::string since;  // a duration back from now; empty: all
  std::string tenant, subject, run_id, operation, decision, request_id;
  std::size_t limit = 50;
  bool json = false;
};
int audit_list(const AuditList& command);
struct AuditVerify {
  AuditPlace place;
  std::string anchor;  // file with a checkpoint kept elsewhere; may be empty
};
int audit_verify(const AuditVerify& command);
struct AuditProve {
  AuditPlace place;
  std::string run_id;
  std::string check;  // a bundle to check instead of making one
};
int audit_prove(const AuditProve& command);

struct Explain {
  Installation where;
  std::string token;  // or "-": from stdin
  std::string request_id;
  bool json = false;
  bool reasons = false;  // print every reason with its advice
};
// kFailed where the token or what it may do is refused.
int explain(const Explain& command);

struct CutOff {
  Installation where;
  std::string subject;
  std::string issuer;  // of the subject; empty: the only configured one, or this server
  std::string reason;
  bool lift = false;
  bool list = false;
};
int cut_off(const CutOff& command);

struct Doctor {
  Installation where;
  std::string url;  // of a provider that is not configured yet; empty: the configured ones
  std::string preset, client_id;
  bool json = false;
};
// kFailed where something keeps everybody out.
int doctor(const Doctor& command);

struct WorkflowImport {
  Installation where;
  std::string directory;
  std::string tenant = "default";
};
int workflow_import(const WorkflowImport& command);
struct WorkflowView {
  Installation where;
  std::string tenant = "default";
  std::string name;  // of `show`
};
int workflow_list(const WorkflowView& command);
int workflow_show(const WorkflowView& command);

struct RunView {
  Installation where;
  std::string tenant = "default";
  std::string workflow, status;  // filters of `list`
  int limit = 20;
  std::string id;  // of `show`
};
int run_list(const RunView& command);
int run_show(const RunView& command);

}  // namespace kubiya::app::cli
