// SPDX-License-Identifier: Apache-2.0
//
// conformance-server --port N --data-dir D: serves the suite's fixtures with the product's own
// protocol, sessions and authentication, on loopback. No token is asked, because the server's own
// key stands in for one, as KUBIYA_API_KEY does for a local server.
#include <cstdio>
#include <string>

#include "app/application.h"
#include "app/config.h"
#include "base/ids.h"
#include "fixtures.h"
#include "identity/api_key.h"
#include "store/store.h"

namespace kubiya::conformance {
namespace {

// A key of this data directory, for a user of the suite's.
Result<Secret> make_own_key(const std::string& data_dir) {
  const app::DataLock lock = TRY(app::DataLock::take(data_dir));
  const auto database = TRY(store::Database::open(data_dir + "/kubiya.db"));
  store::Meta meta(*database);
  store::Keys keys(*database);
  identity::NewKey key = identity::make_key(TRY(app::open_key_pepper(data_dir, meta)));
  store::KeyRow row;
  row.id = key.id;
  row.digest = key.digest;
  row.hint = key.hint;
  row.tenant = "default";
  row.owner = "conformance";
  row.name = "conformance suite";
  row.scopes = "admin read write execute";
  row.created_ms = unix_ms(SystemClock().wall());
  TRY_VOID(keys.create(row));
  return std::move(key.key);
}

Result<> fill(tools::Catalogue& catalogue, Timers& timers, WorkerPool& workers,
              const Clock& clock) {
  const Bench bench{catalogue, timers, workers, clock};
  TRY_VOID(add_tools(bench));
  TRY_VOID(add_rounds(bench));
  TRY_VOID(add_tasks(bench));
  return add_resources_and_prompts(bench);
}

Result<int> run(const std::string& port, const std::string& data_dir) {
  app::Sources sources;
  sources.flags = {{"server.host", "localhost"},
                   {"server.port", port},
                   {"name", "kubiya-mcp-conformance"},
                   {"log.level", "warn"},
                   {"data_dir", data_dir}};
  app::Config config = TRY(app::load_config(sources));
  config.identity.shared_key = TRY(make_own_key(data_dir));
  app::ServeHooks hooks;
  hooks.fill_catalogue = fill;
  hooks.ready = [](std::uint16_t bound) {
    std::printf("listening on http://localhost:%u/mcp\n", unsigned{bound});
    std::fflush(stdout);
  };
  return app::serve(config, hooks);
}

}  // namespace
}  // namespace kubiya::conformance

int main(int argc, char** argv) {
  std::string port, data_dir;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--port") port = argv[i + 1];
    if (flag == "--data-dir") data_dir = argv[i + 1];
  }
  if (port.empty() || data_dir.empty()) {
    std::fprintf(stderr, "usage: conformance-server --port N --data-dir DIRECTORY\n");
    return 2;
  }
  const auto ended = kubiya::conformance::run(port, data_dir);
  if (ended) return *ended;
  std::fprintf(stderr, "conformance-server: %s\n", ended.error().message.c_str());
  return 2;
}
