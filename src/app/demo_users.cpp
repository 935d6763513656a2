// SPDX-License-Identifier: Apache-2.0
#include "app/cli_data.h"
#include "app/config_files.h"
#include "app/demo.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "base/json.h"
#include "identity/api_key.h"
#include "store/store.h"

namespace kubiya::app {
namespace {

constexpr std::int64_t kKeyLifetimeMs = 30ll * 24 * 3'600 * 1'000;

std::vector<DemoUser> strangers() {
  return {{"deployer", "Dana Deployer", "dana@example.com", "read write execute", {}, {}},
          {"viewer", "Vic Viewer", "vic@example.com", "read", {}, {}}};
}

// What an earlier start left; a file that does not read is as good as none.
void recall(const std::string& path, std::vector<DemoUser>& users) {
  Result<std::string> text = read_file(path, 64 * 1024);
  if (!text) return;
  const Result<json::value> document = parse_json(*text);
  wipe_memory(text->data(), text->size());
  if (!document || !document->is_object()) return;
  for (DemoUser& user : users) {
    const json::object* entry = find_object(document->get_object(), user.subject);
    if (entry == nullptr) continue;
    user.api_key = Secret(find_string(*entry, "api_key").value_or(""));
    user.client_secret = Secret(find_string(*entry, "client_secret").value_or(""));
  }
}

Result<> remember(const std::string& path, const std::vector<DemoUser>& users) {
  json::object document;
  for (const DemoUser& user : users) {
    document[user.subject] = {{"api_key", user.api_key.reveal()},
                              {"client_secret", user.client_secret.reveal()}};
  }
  return write_private_file(path, to_json(document));
}

bool is_good(store::Keys& keys, const DemoUser& user, std::int64_t now_ms) {
  const std::optional<identity::KeyParts> parts = identity::parse_key(user.api_key.reveal());
  if (!parts) return false;
  const Result<store::KeyRow> row = keys.get(parts->id);
  // A day is left, so that the tokens handed out now outlive none of their keys.
  return row && row->revoked_ms == 0 && row->expires_ms > now_ms + 24ll * 3'600 * 1'000;
}

Result<> give_key(cli::Workbench& bench, store::Keys& keys, const Secret& pepper, DemoUser& user,
                  std::int64_t now_ms) {
  identity::NewKey key = identity::make_key(pepper);
  store::KeyRow row;
  row.id = key.id;
  row.digest = key.digest;
  row.hint = key.hint;
  row.tenant = "default";
  row.owner = user.subject;
  row.name = "demonstration";
  row.scopes = user.scope;
  row.created_ms = now_ms;
  row.expires_ms = now_ms + kKeyLifetimeMs;
  TRY_VOID(keys.create(row));
  user.api_key = std::move(key.key);
  return bench.record_keys();
}

}  // namespace

Result<std::vector<DemoUser>> open_demo_users(const Config& config) {
  cli::Workbench bench = TRY(cli::Workbench::open(config));
  if (bench.server_runs()) {
    return fail(Code::conflict, "another kubiya-mcp server uses " + config.data_dir +
                                    ": stop it or give --data-dir");
  }
  TRY_VOID(make_private_directory(config.data_dir + "/demo"));
  const std::string path = config.data_dir + "/demo/users.json";
  std::vector<DemoUser> users = strangers();
  recall(path, users);
  store::Meta meta(bench.database());
  const Secret pepper = TRY(open_key_pepper(config.data_dir, meta));
  store::Keys keys(bench.database());
  const std::int64_t now_ms = unix_ms(SystemClock().wall());
  for (DemoUser& user : users) {
    if (user.client_secret.empty()) user.client_secret = Secret(random_id());
    if (!is_good(keys, user, now_ms)) TRY_VOID(give_key(bench, keys, pepper, user, now_ms));
  }
  TRY_VOID(remember(path, users));
  return users;
}

}  // namespace kubiya::app
