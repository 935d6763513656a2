// SPDX-License-Identifier: Apache-2.0
#include "app/application.h"

#include <unistd.h>
#include <csignal>

#include <atomic>
#include <thread>

#include <fmt/format.h>

#include "app/key_evidence.h"
#include "app/key_provider.h"
#include "app/person_watch.h"
#include "app/signals.h"
#include "app/start_hints.h"
#include "app/vault_keys.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/timers.h"
#include "base/worker_pool.h"
#include "crypto/digest.h"
#include "mcp/endpoint.h"
#include "mcp/secret_page.h"
#include "mcp/stdio.h"
#include "policy/policy.h"

namespace kubiya::app {
namespace {

using std::chrono::milliseconds;

// What the end of the last run sets off: its row is read, an outcome recorded, a caller answered.
constexpr milliseconds kLastAnswers{2'000};

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
  if (config.transport == Transport::stdio) return 1;
  if (config.server.threads > 0) return config.server.threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Who ignores SIGCHLD has its children reaped by the kernel, and never learns how a step ended.
void settle_sigchld() {
  struct sigaction now{};
  if (sigaction(SIGCHLD, nullptr, &now) != 0) return;
  const bool lost = (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_IGN;
  if (lost || (now.sa_flags & SA_NOCLDWAIT) != 0) std::signal(SIGCHLD, SIG_DFL);
}

// Members are built top to bottom and taken apart bottom to top.
class Built final : public Application {
 public:
  static Result<std::unique_ptr<Built>> build(const Config& config, const ServeHooks& hooks) {
    DataLock lock = TRY(DataLock::take(config.data_dir));
    auto app = std::unique_ptr<Built>(new Built(config, std::move(lock)));
    TRY_VOID(app->open_storage());
    TRY_VOID(app->open_identity());
    TRY_VOID(app->open_engine(hooks));
    TRY_VOID(app->open_tools(hooks));
    TRY_VOID(app->open_server());
    return app;
  }

  // Each thread ends before what it calls: the engine tells callers through the workers, the loops
  // and the timers; the loops call the journal, the journal the workers, these the journal again.
  ~Built() override {
    stop();
    key_watch_.reset();  // it ends runs of people
    if (backend_) backend_->close();
    server_.reset();
    // No loop writes any more, so what each has gathered is taken from here.
    if (endpoint_) endpoint_->flush();
    if (journal_) (void)journal_->sync();
    workers_.reset();
    // What the last work recorded is answered through the endpoint, which is still there.
    if (journal_) (void)journal_->sync();
  }

  void start() override {
    journal_->event("server_started", {{"version", KUBIYA_VERSION},
                                       {"port", port()},
                                       {"mode", config_.issuers.empty() ? "api-key" : "token"}});
    for (const std::string& hint : hints()) log::warn(hint);
    const SignalsBlocked blocked({SIGPIPE});
    key_watch_->start([this]() -> Result<> {
      TRY_VOID(revoke_unseen());
      return person_watch_->look();
    });
    if (stdio_) {
      stdio_thread_ = std::thread([this] { serve_stdio(); });
      return;
    }
    server_->every(milliseconds(250), [this](int loop) { sweep(loop); });
    server_->start();
  }

  std::uint16_t port() const override { return server_ ? server_->port() : 0; }
  Result<> reload() override { return server_ ? server_->reload_tls() : Result<>(); }

  void stop() override {
    if (stopped_.exchange(true) || (!server_ && !stdio_)) return;
    if (stdio_) stdio_->stop();
    if (stdio_thread_.joinable()) stdio_thread_.join();
    journal_->event("server_stopping", {});
    const Mono deadline = clock_.mono() + config_.drain_grace;
    // Requests are served meanwhile, so that who waits for a run, or asks for it, learns its end.
    backend_->drain(config_.drain_grace);
    // Streams that would go on for ever end now, so that the drain need not wait for them.
    endpoint_->close_streams();
    if (stdio_) stdio_->drain(std::max(deadline, clock_.mono() + kLastAnswers));
    if (server_) {
      server_->drain(
          std::max(std::chrono::ceil<milliseconds>(deadline - clock_.mono()), kLastAnswers));
    }
    if (const auto synced = journal_->sync(); !synced) {
      log::error("the audit journal could not be closed in order",
                 {{"detail", synced.error().detail}});
    }
  }

 private:
  Built(const Config& config, DataLock lock) : config_(config), lock_(std::move(lock)) {
    config_.server.threads = loops_of(config_);
  }

  audit::JournalOptions journal_options() const {
    audit::JournalOptions options = config_.audit;
    if (options.directory.empty()) options.directory = config_.data_dir + "/audit";
    options.loops = config_.server.threads;
    return options;
  }

  Result<> open_storage() {
    database_ = TRY(store::Database::open(config_.data_dir + "/kubiya.db"));
    workflows_.emplace(*database_);
    runs_.emplace(*database_);
    approvals_.emplace(*database_);
    meta_.emplace(*database_);
    keys_.emplace(*database_);
    const audit::JournalOptions options = journal_options();
    installation_id_ = TRY(installation_id(*meta_, config_.data_dir, options.directory));
    key_book_.emplace(TRY(open_key_pepper(config_.data_dir, *meta_)));

    journal_ = TRY(audit::Journal::open(options, clock_));
    key_watch_.emplace(*database_, *journal_, *key_book_);
    TRY_VOID(key_watch_->settle());
    one_time_box_.emplace(config_.one_time, clock_);
    ask_box_.emplace(identity::AskBox::Options{config_.one_time.lifetime}, clock_);
    person_watch_.emplace(
        *database_, *journal_, person_book_, [this] { return open_vault_keys(config_, false); },
        [this](const auto& people) { keep_out(people); });
    TRY_VOID(person_watch_->look());
    key_provider_.emplace(config_, *database_,
                          KeyProvider::Books{*key_watch_, *key_book_, *person_watch_, person_book_},
                          clock_);
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
    options.dpop.origin = config_.public_url;
    options.loops = config_.server.threads;
    authenticator_ = identity::Authenticator::open(std::move(options), std::move(issuers),
                                                   *key_book_, clock_, person_book_);
    return {};
  }

  Result<> open_engine(const ServeHooks& hooks) {
    launcher_ = engine::make_process_launcher(
        {config_.engine.step_limits, config_.step_open_files, hooks.owns_process});
    engine::EngineOptions options = config_.engine;
    if (options.work_directory.empty()) options.work_directory = config_.data_dir + "/work";
    options.installation_id = installation_id_;
    if (!config_.issuers.empty()) {
      options.token_source = [this](const Principal& who, const std::string& workflow,
                                    const workflow::TokenRequest& wanted, auto done) {
        exchange(who, {workflow, wanted.audience, wanted.scopes}, std::move(done));
      };
    }
    backend_ =
        TRY(engine::Embedded::open(std::move(options), *database_, *journal_, *launcher_, clock_));
    keep_out(person_watch_->in_force());
    return {};
  }

  // By the issuer that the person's token is of.
  void exchange(const Principal& who, const identity::WantedToken& wanted,
                identity::TokenExchanger::Done done) const {
    for (const auto& issuer : authenticator_->issuers()) {
      if (!identity::calls_its_callers(issuer->options().rules, who->issuer)) continue;
      return issuer->exchange(who, wanted, std::move(done));
    }
    done(fail(Code::forbidden,
              "There is no token to exchange: whoever runs this came with an API key."));
  }

  Result<> open_tools(const ServeHooks& hooks) {
    workers_.emplace(config_.workers, 10'000);
    policy_.emplace(config_.required_scopes, config_.tool_rules);
    const tools::Services services{*workflows_,
                                   *runs_,
                                   *approvals_,
                                   *backend_,
                                   timers_,
                                   *workers_,
                                   clock_,
                                   catalogue_.changes(),
                                   *policy_,
                                   config_.workflow,
                                   config_.wait_default,
                                   config_.wait_max,
                                   config_.name,
                                   secret_page(),
                                   key_services(),
                                   vault_writer()};
    if (hooks.fill_catalogue) {
      TRY_VOID(hooks.fill_catalogue(catalogue_, timers_, *workers_, clock_));
    } else {
      TRY_VOID(tools::fill_catalogue(catalogue_, services));
    }
    if (hooks.add_tools) TRY_VOID(hooks.add_tools(catalogue_.tools()));
    return check_rules();
  }

  // What links to a page begin with; nothing where there is no HTTP to show one.
  std::string links_to(std::string_view path) const {
    return config_.transport == Transport::stdio ? "" : config_.public_url + std::string(path);
  }

  std::shared_ptr<const tools::KeyServices> key_services() {
    return std::make_shared<const tools::KeyServices>(
        tools::KeyServices{*keys_, *key_book_, *one_time_box_,
                           [this] { return key_watch_->settle(); }, links_to(mcp::kOncePath)});
  }

  std::shared_ptr<const tools::SecretPage> secret_page() {
    return std::make_shared<const tools::SecretPage>(
        tools::SecretPage{*ask_box_, links_to(mcp::kAskPath)});
  }

  decltype(tools::Services::keep_key) vault_writer() {
    if (config_.issuers.empty()) return nullptr;  // keys are for people with tokens
    return [this](const std::string& tenant, const std::string& issuer, const std::string& subject,
                  const Secret& key, const std::string& by) {
      return key_provider_->keep_for({tenant, issuer, subject}, key, by);
    };
  }

  mcp::KeySource key_source() {
    return {config_.just_in_time, links_to(mcp::kAskPath),
            [this](const Principal& who) { return key_provider_->create(who); },
            [this](const Principal& who, Secret key) {
              return key_provider_->keep(who, std::move(key));
            }};
  }

  Result<> revoke_unseen() {
    Result<> result;
    for (const std::string& id : one_time_box_->take_lost()) {
      const auto revoked = keys_->revoke(id, unix_ms(clock_.wall()), "nobody saw it");
      if (revoked) continue;
      one_time_box_->lose(id);  // until it is revoked
      result = revoked;
    }
    return result;
  }

  // A rule for a tool that is not there would be a lock on no door.
  Result<> check_rules() const {
    for (std::size_t i = 0; i < policy_->rules().size(); ++i) {
      const std::string& tool = policy_->rules()[i].tool;
      if (catalogue_.tools().find(tool) != nullptr) continue;
      return fail(Code::invalid,
                  fmt::format("policy.rules[{}].tool: there is no tool {}", i, printable(tool)));
    }
    return {};
  }

  void describe_bound_tokens(identity::ResourceInfo& resource) const {
    for (const auto algorithm : config_.identity.dpop.algorithms) {
      resource.dpop_algorithms.emplace_back(crypto::name(algorithm));
    }
    resource.certificate_bound = config_.server.tls.client_certificates;
    resource.dpop_required =
        std::all_of(config_.issuers.begin(), config_.issuers.end(),
                    [](const auto& issuer) { return issuer.rules.require_dpop; });
  }

  Scopes advertised_scopes() const {
    Scopes all =
        catalogue_.tools().scopes().unite(config_.required_scopes).unite(policy_->scopes());
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
    if (config_.issuers.size() == 1) {
      options.scope_prefix = config_.issuers[0].scope_prefix;
      options.sign_in_scopes = config_.issuers[0].sign_in_scopes;
    }
    const Scopes advertised = advertised_scopes();
    for (const std::string& scope : advertised.names()) {
      options.resource.scopes_supported.push_back(options.scope_prefix + scope);
    }
    if (!options.sign_in_scopes.empty()) {
      options.resource.scopes_supported = options.sign_in_scopes.names();
    }
    options.resource.name = config_.name;
    if (!config_.issuers.empty()) describe_bound_tokens(options.resource);
    options.early_body_bytes = config_.server.limits.early_body_bytes;
    options.handle_secret = TRY(identity::open_pepper(config_.data_dir + "/handles.key", true));
    options.logging = logging(config_.log_requests);
    options.log_strangers_per_second = config_.log_strangers_per_second;
    options.bad_credentials_per_minute = config_.bad_credentials_per_minute;
    options.bad_credential_peers = config_.bad_credential_peers;
    options.calls = config_.calls;
    options.streams = config_.streams;
    options.loops = config_.server.threads;
    endpoint_.emplace(std::move(options),
                      mcp::EndpointServices{*authenticator_,
                                            *policy_,
                                            *journal_,
                                            catalogue_,
                                            *workers_,
                                            clock_,
                                            [this] { return readiness(); },
                                            {&*one_time_box_, &*ask_box_, key_source()}});
    // Sign-in pages of any origin read the metadata; it is nobody's data.
    config_.server.guard.public_prefixes.push_back("/.well-known/");
    if (config_.transport == Transport::stdio) {
      mcp::StdioOptions stdio;
      stdio.path = config_.mcp_path;
      stdio.token = config_.access_token;
      stdio.line_bytes = config_.server.limits.body_bytes;
      stdio_ = std::make_unique<mcp::Stdio>(*endpoint_, std::move(stdio), clock_);
      return {};
    }
    server_ = TRY(http::Server::open(config_.server, *endpoint_));
    return {};
  }

  std::vector<std::string> hints() {
    const auto keys = store::Keys(*database_).all();
    std::optional<identity::Reason> refused;
    if (const auto& shared = config_.identity.shared_key) {
      const auto known = key_book_->check(shared->reveal(), clock_.wall());
      if (!known) refused = known.error().reason;
    }
    return start_hints(config_, keys ? keys->size() : 1, refused);
  }

  // Until the client closes our input, which asks the process to stop as SIGTERM would.
  void serve_stdio() {
    stdio_->run([this] { sweep(0); });
    if (!stopped_) ::kill(::getpid(), kInputEnded);
  }

  // Four times a second on every loop; the rest of the housekeeping hangs on loop 0.
  void sweep(int loop) {
    endpoint_->sweep(loop);
    if (loop != 0) return;
    timers_.tick(clock_.mono());
    authenticator_->tick();
  }

  mcp::Readiness readiness() const {
    json::object report{{"database", database_->healthy() ? "ok" : "failed"},
                        {"audit", journal_->healthy() ? "ok" : "failed"}};
    if (const std::string problem = journal_->problem(); !problem.empty()) {
      report["audit_problem"] = problem;
    }
    bool ready = database_->healthy() && journal_->healthy() && !stopped_;
    // The callers of one issuer must not wait for another's outage to end.
    bool any_issuer = authenticator_->issuers().empty();
    bool all_issuers = true;
    json::array issuers;
    for (const auto& issuer : authenticator_->issuers()) {
      const auto health = issuer->health();
      any_issuer = any_issuer || health.ready;
      all_issuers = all_issuers && health.ready;
      issuers.push_back({{"name", issuer->options().name},
                         {"issuer", issuer->options().url},
                         {"ready", health.ready},
                         {"problem", health.problem},
                         {"keys", health.keys},
                         {"keys_age_seconds", health.age.count()}});
    }
    if (stopped_) report["stopping"] = true;
    ready = ready && any_issuer;
    report["ready"] = ready;
    json::object whole = report;
    whole["issuers"] = std::move(issuers);
    if (!config_.issuers.empty()) {
      report["issuers"] = all_issuers ? "ok" : any_issuer ? "degraded" : "failed";
    }
    return {ready, to_json(report), to_json(whole)};
  }

  // The first time there is no engine yet.
  void keep_out(const std::vector<store::CutoffRow>& cutoffs) {
    if (one_time_box_) {
      for (const auto& row : cutoffs) one_time_box_->drop_of(row.issuer, row.subject);
    }
    if (!backend_) return;
    std::vector<engine::PersonName> people;
    people.reserve(cutoffs.size());
    for (const store::CutoffRow& row : cutoffs) people.push_back({row.issuer, row.subject});
    backend_->cut_off(std::move(people));
  }

  log::Background logging_;  // first, so that it ends last
  Config config_;
  const SystemClock clock_;
  DataLock lock_;
  std::string installation_id_;
  std::unique_ptr<store::Database> database_;
  std::optional<store::Workflows> workflows_;
  std::optional<store::Runs> runs_;
  std::optional<store::Approvals> approvals_;
  std::optional<store::Meta> meta_;
  std::optional<store::Keys> keys_;
  std::optional<identity::KeyBook> key_book_;
  std::optional<identity::OneTimeBox> one_time_box_;
  std::optional<identity::AskBox> ask_box_;
  std::unique_ptr<audit::Journal> journal_;
  identity::PersonBook person_book_;
  std::optional<PersonWatch> person_watch_;
  std::optional<KeyWatch> key_watch_;  // looks through person_watch_ too
  std::optional<KeyProvider> key_provider_;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<identity::Authenticator> authenticator_;
  std::unique_ptr<engine::Launcher> launcher_;
  std::unique_ptr<engine::Backend> backend_;
  Timers timers_;
  tools::Catalogue catalogue_;
  std::optional<policy::Policy> policy_;
  std::unique_ptr<mcp::Stdio> stdio_;  // outlives the workers, which answer through it
  std::thread stdio_thread_;
  std::optional<WorkerPool> workers_;
  std::optional<mcp::Endpoint> endpoint_;
  std::unique_ptr<http::Server> server_;
  std::atomic<bool> stopped_{false};
};

}  // namespace

Result<std::unique_ptr<Application>> Application::open(const Config& config,
                                                       const ServeHooks& hooks) {
  settle_sigchld();
  // In every thread of ours: a write to a peer or a log reader that left is an error there,
  // whatever the application does with the signal.
  const SignalsBlocked blocked({SIGPIPE});
  return TRY(Built::build(config, hooks));
}

}  // namespace kubiya::app
