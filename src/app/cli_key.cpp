// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/cli_data.h"
#include "app/config_value.h"
#include "base/encoding.h"
#include "identity/api_key.h"
#include "identity/key_life.h"
#include "identity/rules.h"
#include "policy/policy.h"
#include "store/store.h"

namespace kubiya::app::cli {
namespace {

constexpr Range kLifetime{60'000, 3'660ull * 86'400'000};  // a minute to ten years

Result<std::int64_t> expiry(const std::string& text, std::int64_t now_ms) {
  if (text == "never") return 0;
  const Result<std::chrono::milliseconds> lifetime = parse_duration(text, kLifetime);
  if (!lifetime) {
    return fail(Code::invalid, "--expires: allowed: never, or " + lifetime.error().message);
  }
  return now_ms + lifetime->count();
}

Result<> check_text(std::string_view option, std::string_view value) {
  if (!value.empty() && value.size() <= 128 && printable(value, 256) == value) return {};
  return fail(Code::invalid,
              std::string(option) + ": allowed: 1 to 128 bytes without control characters");
}

// What looks like a flag was meant as one.
Result<> check_scope(std::string_view scope) {
  if (is_scope_name(scope) && scope.size() <= 128 && scope.front() != '-') return {};
  return fail(Code::invalid, "--scopes: " + printable(scope, 128) + " is not the name of a scope");
}

Result<> check(const KeyCreate& command) {
  TRY_VOID(check_text("--user", command.user));
  if (!command.name.empty()) TRY_VOID(check_text("--name", command.name));
  TRY_VOID(check_text("--tenant", command.tenant));
  if (command.scopes.empty()) {
    return fail(Code::invalid, "--scopes: give at least one (read, write, execute, admin)");
  }
  for (const std::string& scope : command.scopes) TRY_VOID(check_scope(scope));
  return {};
}

// Not refused: an application's own tools may ask for scopes that this program does not know.
void warn_of_unknown_scopes(const std::vector<std::string>& scopes,
                            const policy::ScopeRules& rules) {
  Scopes known({"read", "write", "execute", "admin"});
  for (const auto& rule : rules.rules) known.add(rule.presented);
  for (const std::string& scope : scopes) {
    if (known.has(scope)) continue;
    fmt::print(stderr, "Note: no tool of this server asks for the scope {}.\n",
               without_keys(scope));
  }
}

std::string issuer_names(const Config& config) {
  std::string names;
  for (const auto& issuer : config.issuers) names += (names.empty() ? "" : ", ") + issuer.url;
  return names;
}

// What the owner's issuer is called here, so that the key is for the principal of their tokens.
Result<std::string> owners_issuer(const std::string& named, const Config& config) {
  if (named.empty()) {
    if (config.issuers.empty()) return std::string(store::kKeyIssuer);
    const identity::TokenRules& rules = config.issuers.front().rules;
    if (config.issuers.size() == 1 && rules.forms.empty()) return rules.issuer;
    return fail(Code::invalid,
                "--issuer: say whose the user is; issuers here: " + issuer_names(config));
  }
  TRY_VOID(check_text("--issuer", named));
  for (const auto& issuer : config.issuers) {
    if (!identity::accepts_issuer(issuer.rules, named)) continue;
    const identity::IssuerForm* form = identity::find_form(issuer.rules, named);
    return form == nullptr ? named : form->issuer;
  }
  if (config.issuers.empty()) return named;
  return fail(Code::invalid, "--issuer: no token of that issuer is accepted here; issuers here: " +
                                 issuer_names(config));
}

Result<> create(const KeyCreate& command) {
  TRY_VOID(check(command));
  const std::int64_t now = unix_ms(SystemClock().wall());
  store::KeyRow row;
  row.expires_ms = TRY(expiry(command.expires, now));
  const Config config = TRY(load(command.where));
  row.issuer = TRY(owners_issuer(command.issuer, config));
  Workbench bench = TRY(Workbench::open(config));
  store::Meta meta(bench.database());
  const Secret pepper = TRY(open_key_pepper(config.data_dir, meta));
  const identity::NewKey key = identity::make_key(pepper);
  row.id = key.id;
  row.digest = key.digest;
  row.hint = key.hint;
  row.tenant = command.tenant;
  row.owner = command.user;
  row.name = command.name.empty() ? command.user : command.name;
  row.scopes = Scopes(command.scopes).text();
  row.created_ms = now;
  store::Keys keys(bench.database());
  TRY_VOID(keys.create(row));
  if (const Result<> recorded = bench.record_keys(); !recorded) {
    // A key without evidence must not work.
    TRY_VOID(keys.revoke(row.id, now));
    return fail(recorded.error());
  }
  warn_of_unknown_scopes(command.scopes, config.identity.scope_rules);
  fmt::print("{}\n", key.key.reveal());
  fmt::print(stderr, "Key {} of {} for {}, scopes {}, expires {}. It is shown this once.\n", row.id,
             row.owner, row.name, row.scopes,
             row.expires_ms == 0 ? "never" : format_time(from_unix_ms(row.expires_ms)));
  if (bench.server_runs()) fmt::print(stderr, "The running server knows it within a second.\n");
  return {};
}

Result<> list(const KeyList& command) {
  const Config config = TRY(load(command.where));
  const std::unique_ptr<store::Database> database = TRY(open_existing(config));
  store::KeyFilter filter{command.tenant};
  if (!command.user.empty()) filter.owner = command.user;
  const std::vector<store::KeyRow> rows = TRY(store::Keys(*database).list(filter));
  const std::int64_t now = unix_ms(SystemClock().wall());
  fmt::print("{:<14} {:<8} {:<6} {:<20} {:<24} {:<24} {}\n", "ID", "STATE", "ENDS", "OWNER",
             "SCOPES", "EXPIRES", "NAME");
  for (const store::KeyRow& row : rows) {
    fmt::print("{:<14} {:<8} …{:<5} {:<20} {:<24} {:<24} {}\n", row.id,
               to_string(identity::state_of(row, now)), row.hint, row.owner, row.scopes,
               row.expires_ms == 0 ? "never" : format_time(from_unix_ms(row.expires_ms)), row.name);
  }
  return {};
}

Result<> revoke(const KeyRevoke& command) {
  const Config config = TRY(load(command.where));
  Workbench bench = TRY(Workbench::open(config));
  store::Keys keys(bench.database());
  const store::KeyRow row = TRY(keys.get(command.id));
  if (row.revoked_ms != 0) {
    fmt::print("Key {} of {} was revoked already, at {}.\n", row.id, row.owner,
               format_time(from_unix_ms(row.revoked_ms)));
    return {};
  }
  TRY_VOID(keys.revoke(row.id, unix_ms(SystemClock().wall())));
  TRY_VOID(bench.record_keys());
  fmt::print("Key {} of {} is revoked{}.\n", row.id, row.owner,
             bench.server_runs() ? "; the running server drops it within a second" : "");
  return {};
}

int status_of(const Result<>& result) { return result ? kDone : complain(result.error()); }

}  // namespace

int key_create(const KeyCreate& command) { return status_of(create(command)); }
int key_list(const KeyList& command) { return status_of(list(command)); }
int key_revoke(const KeyRevoke& command) { return status_of(revoke(command)); }

}  // namespace kubiya::app::cli
