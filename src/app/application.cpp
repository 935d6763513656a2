// SPDX-License-Identifier: Apache-2.0
#include "app/application.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <csignal>

#include <atomic>
#include <cstdio>
#include <exception>
#include <thread>

#include <fmt/format.h>

#include "app/key_evidence.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/timers.h"
#include "base/worker_pool.h"
#include "crypto/digest.h"
#include "mcp/endpoint.h"
#include "policy/policy.h"

namespace kubiya::app {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kInstructions =
    "Runs your company's workflows as the person who asked. Start with list_workflows; "
    "get_workflow shows the params; "
    "execute_workflow runs one and waits; get_execution and get_execution_logs follow a long one; "
    "whoami tells who you "
    "are here and what you may do.";

mcp::RequestLogging logging(RequestLog what) {
  switch (what) {
    case RequestLog::all:
      return mcp::RequestLogging::all;
    case RequestLog::refusals:
      return mcp::RequestLogging::refusals;
    case RequestLog::none:
      return mcp::RequestLogging::none;
  }
  return mcp::RequestLogging::all;
}

int loops_of(const Config& config) {
  if (config.server.threads > 0) return config.server.threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Members are built top to bottom and taken apart bottom to top.
class Built final : public Application {
 public:
  static Result<std::unique_ptr<Built>> build(const Config& config, const ServeHooks& hooks) {
    auto app = std::unique_ptr<Built>(new Built(config, TRY(DataLock::take(config.data_dir))));
    TRY_VOID(app->open_storage());
    TRY_VOID(app->open_identity());
    TRY_VOID(app->open_engine());
    TRY_VOID(app->open_tools(hooks));
    TRY_VOID(app->open_server());
    return app;
  }

  // Loops first, then the workers: what they still hold refers to everything above.
  ~Built() override {
    stop();
    server_.reset();
    // No loop writes any more, so what each has gathered is taken from here.
    if (endpoint_) endpoint_->flush();
    workers_.reset();
    // What the last work recorded is answered through the endpoint, which is still there.
    if (journal_) (void)journal_->sync();
  }

  void start() override {
    journal_->event("server_started", {{"version", KUBIYA_VERSION},
                                       {"port", server_->port()},
                                       {"mode", config_.issuers.empty() ? "api-key" : "token"}});
    server_->every(milliseconds(250), [this](int loop) { sweep(loop); });
    server_->start();
  }

  std::uint16_t port() const override { return server_->port(); }
  Result<> reload() override { return server_->reload_tls(); }

  void stop() override {
    if (stopped_.exchange(true) || !server_) return;
    journal_->event("server_stopping", {});
    server_->drain(config_.drain_grace);
    backend_->drain(config_.drain_grace);
    if (const auto synced = journal_->sync(); !synced) {
      log::error("the audit journal could not be closed in order",
                 {{"detail", synced.error().detail}});
    }
  }

 private:
  Built(const Config& config, DataLock lock) : config_(config), lock_(std::move(lock)) {
    config_.server.threads = loops_of(config_);
  }

  Result<> open_storage() {
    database_ = TRY(store::Database::open(config_.data_dir + "/kubiya.db"));
    workflows_.emplace(*database_);
    runs_.emplace(*database_);
    keys_.emplace(*database_);
    meta_.emplace(*database_);
    if (const auto known = TRY(meta_->get("installation_id"))) {
      installation_id_ = *known;
    } else {
      installation_id_ = random_id();
      TRY_VOID(meta_->set("installation_id", installation_id_));
    }
    key_book_.emplace(TRY(open_key_pepper(config_.data_dir, *meta_)));

    audit::JournalOptions options = config_.audit;
    if (options.directory.empty()) options.directory = config_.data_dir + "/audit";
    options.loops = config_.server.threads;
    journal_ = TRY(audit::Journal::open(options, clock_));
    TRY_VOID(reload_keys());
    if (!config_.workflows_dir.empty()) {
      const std::size_t imported = TRY(import_workflows(
          config_.workflows_dir, config_.import_tenant, *workflows_, config_.workflow, clock_));
      if (imported != 0) journal_->event("workflows_imported", {{"count", imported}});
    }
    return {};
  }

  Result<> open_identity() {
    std::vector<std::unique_ptr<identity::Issuer>> issuers;
    if (!config_.issuers.empty()) {
      client_ = TRY(http::Client::open(config_.client));
      for (auto options : config_.issuers) {
        if (options.cache_file.empty()) {
          options.cache_file =
              fmt::format("{}/issuer-{}.json", config_.data_dir, crypto::fingerprint(options.url));
        }
        issuers.push_back(identity::Issuer::open(std::move(options), *client_, clock_));
      }
    }
    identity::AuthenticatorOptions options = config_.identity;
    options.mode = config_.issuers.empty() ? identity::Mode::api_key : identity::Mode::token;
    options.loops = config_.server.threads;
    authenticator_ =
        identity::Authenticator::open(std::move(options), std::move(issuers), *key_book_, clock_);
    return {};
  }

  Result<> open_engine() {
    launcher_ = engine::make_process_launcher();
    engine::EngineOptions options = config_.engine;
    if (options.work_directory.empty()) options.work_directory = config_.data_dir + "/work";
    options.installation_id = installation_id_;
    backend_ =
        TRY(engine::Embedded::open(std::move(options), *database_, *journal_, *launcher_, clock_));
    return {};
  }

  Result<> open_tools(const ServeHooks& hooks) {
    workers_.emplace(config_.workers, 10'000);
    policy_.emplace(config_.required_scopes, config_.tool_rules);
    const tools::Services services{*workflows_,      *runs_,           *backend_,
                                   timers_,          *workers_,        clock_,
                                   *policy_,         config_.workflow, config_.wait_default,
                                   config_.wait_max, config_.name};
    // The tool without arguments comes first: some clients try the first one to see whether calls
    // work.
    TRY_VOID(tools::add_identity_tools(registry_, services));
    TRY_VOID(tools::add_workflow_tools(registry_, services));
    TRY_VOID(tools::add_run_tools(registry_, services));
    if (hooks.add_tools) TRY_VOID(hooks.add_tools(registry_));
    return check_rules();
  }

  // A rule for a tool that is not there would be a lock on no door.
  Result<> check_rules() const {
    for (std::size_t i = 0; i < policy_->rules().size(); ++i) {
      const std::string& tool = policy_->rules()[i].tool;
      if (registry_.find(tool) != nullptr) continue;
      return fail(Code::invalid,
                  fmt::format("policy.rules[{}].tool: there is no tool {}", i, printable(tool)));
    }
    return {};
  }

  Scopes advertised_scopes() const {
    Scopes all = registry_.scopes().unite(config_.required_scopes).unite(policy_->scopes());
    for (const auto& issuer : config_.issuers) all = all.unite(issuer.rules.required_scopes);
    return all;
  }

  Result<> open_server() {
    mcp::EndpointOptions options;
    options.info = {config_.name, KUBIYA_VERSION, std::string(kInstructions)};
    options.mcp_path = config_.mcp_path;
    options.resource.resource = config_.public_url + config_.mcp_path;
    for (const auto& issuer : config_.issuers)
      options.resource.authorization_servers.push_back(issuer.url);
    // Of several issuers, each would need its own names for what one challenge asks for.
    if (config_.issuers.size() == 1) options.scope_prefix = config_.issuers[0].scope_prefix;
    const Scopes advertised = advertised_scopes();
    for (const std::string& scope : advertised.names()) {
      options.resource.scopes_supported.push_back(options.scope_prefix + scope);
    }
    options.resource.name = config_.name;
    options.early_body_bytes = config_.server.limits.early_body_bytes;
    options.logging = logging(config_.log_requests);
    options.loops = config_.server.threads;
    endpoint_.emplace(std::move(options),
                      mcp::EndpointServices{*authenticator_, *policy_, *journal_, registry_,
                                            *workers_, clock_, [this] { return readiness(); }});
    // Sign-in pages of any origin read the metadata; it is nobody's data.
    config_.server.guard.public_prefixes.push_back("/.well-known/");
    server_ = TRY(http::Server::open(config_.server, *endpoint_));
    return {};
  }

  Result<> reload_keys() {
    AdmittedKeys admitted = TRY(record_key_changes(*keys_, *journal_));
    key_book_->replace(std::move(admitted.rows));
    return admitted.recorded;
  }

  // Four times a second on every loop; the rest of the housekeeping hangs on loop 0.
  void sweep(int loop) {
    endpoint_->sweep(loop);
    if (loop != 0) return;
    timers_.tick(clock_.mono());
    authenticator_->tick();
    if (++sweeps_ % 2 == 0 && !watching_.exchange(true)) {
      std::function<void()> watch = [this] { watch_keys(); };
      if (!workers_->submit(watch)) watching_ = false;
    }
  }

  // The command line writes keys into the same database: a revocation there counts here within a
  // second.
  void watch_keys() {
    const std::int64_t version = database_->data_version();
    if (version != seen_version_) {
      seen_version_ = version;
      if (const auto loaded = reload_keys(); !loaded) {
        log::error("the API keys could not be read again in full",
                   {{"detail", loaded.error().detail}});
      }
    }
    watching_ = false;
  }

  mcp::Readiness readiness() const {
    json::object report{{"database", database_->healthy() ? "ok" : "failed"},
                        {"audit", journal_->healthy() ? "ok" : "failed"}};
    bool ready = database_->healthy() && journal_->healthy();
    json::array issuers;
    // The callers of one issuer must not wait for another's outage to end.
    bool any_issuer = authenticator_->issuers().empty();
    for (const auto& issuer : authenticator_->issuers()) {
      const auto health = issuer->health();
      any_issuer = any_issuer || health.ready;
      issuers.push_back({{"name", issuer->options().name},
                         {"issuer", issuer->options().url},
                         {"ready", health.ready},
                         {"problem", health.problem},
                         {"keys", health.keys},
                         {"keys_age_seconds", health.age.count()}});
    }
    ready = ready && any_issuer;
    report["issuers"] = std::move(issuers);
    report["ready"] = ready;
    return {ready, to_json(json::value(report))};
  }

  log::Background logging_;  // first, so that it ends last
  Config config_;
  const SystemClock clock_;
  DataLock lock_;
  std::string installation_id_;
  std::unique_ptr<store::Database> database_;
  std::optional<store::Workflows> workflows_;
  std::optional<store::Runs> runs_;
  std::optional<store::Keys> keys_;
  std::optional<store::Meta> meta_;
  std::optional<identity::KeyBook> key_book_;
  std::unique_ptr<audit::Journal> journal_;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<identity::Authenticator> authenticator_;
  std::unique_ptr<engine::Launcher> launcher_;
  std::unique_ptr<engine::Backend> backend_;
  Timers timers_;
  tools::Registry registry_;
  std::optional<policy::Policy> policy_;
  std::optional<WorkerPool> workers_;
  std::optional<mcp::Endpoint> endpoint_;
  std::unique_ptr<http::Server> server_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> watching_{false};
  std::int64_t seen_version_ = -1;
  unsigned sweeps_ = 0;
};

sigset_t served_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// No core file may hold a token, no process of the same user may read this one's memory or
// environment, and ten thousand connections need as many descriptors.
void settle_limits() {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

}  // namespace

Result<std::unique_ptr<Application>> Application::open(const Config& config,
                                                       const ServeHooks& hooks) {
  return TRY(Built::build(config, hooks));
}

int serve(const Config& config, const ServeHooks& hooks) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file size limit is an error of the write, not the end of the server
  settle_limits();
  // Blocked before the first thread starts, so that all threads inherit it and sigwait sees them.
  const sigset_t signals = served_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  log::set_level(config.log_level);
  const log::Background logging;

  auto application = Application::open(config, hooks);
  if (!application) {
    std::fprintf(stderr, "kubiya-mcp: %s%s%s\n", application.error().message.c_str(),
                 application.error().detail.empty() ? "" : " — ",
                 application.error().detail.c_str());
    return 2;
  }
  (*application)->start();
  log::info("serving", {{"url", config.public_url + config.mcp_path},
                        {"port", (*application)->port()},
                        {"mode", config.issuers.empty() ? "api-key" : "token"}});
  if (hooks.ready) hooks.ready((*application)->port());
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) break;
    const auto reloaded = (*application)->reload();
    if (reloaded) {
      log::info("TLS files reloaded");
    } else {
      log::error("TLS files not reloaded; the old ones stay",
                 {{"detail", reloaded.error().message}});
    }
  }
  log::info("stopping");
  (*application)->stop();
  application->reset();
  log::info("stopped");
  return 0;
}

}  // namespace kubiya::app
