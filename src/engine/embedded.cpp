// SPDX-License-Identifier: Apache-2.0
#include "engine/embedded.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>

#include "base/ids.h"
#include "base/log.h"
#include "engine/fair_queue.h"
#include "engine/recovery.h"
#include "engine/run.h"
#include "engine/run_row.h"
#include "engine/server_mark.h"
#include "engine/shares.h"
#include "engine/watchers.h"

namespace kubiya::engine {
namespace {

using RunPtr = std::shared_ptr<Run>;

constexpr std::chrono::seconds kLastPatience{5};
constexpr std::string_view kStopping = "The server is stopping.";
constexpr std::string_view kCutOff = "the person was cut off";

// Worker's thread: reads the disk.
void tell_final(RunHost& host, const std::string& run_id, const std::shared_ptr<Watch>& watch) {
  auto row = host.store.get(run_id);
  const auto status = row ? workflow::run_status(row->status) : std::nullopt;
  if (!status) return;
  if (!workflow::is_final(*status)) {
    // Not active, and its end is not on disk: the next start will call it so, too.
    row->status = to_string(workflow::RunStatus::interrupted);
    row->reason = "The run's end could not be stored.";
  }
  const auto steps = host.store.steps(run_id);
  const auto event = final_event(*row, steps ? *steps : std::vector<store::StepRow>());
  host.loop->post([watch, event] { watch->tell(event); });
}

Error no_room(Shares::Limit limit, std::size_t most) {
  using Limit = Shares::Limit;
  const char* whose = limit == Limit::owner    ? "your"
                      : limit == Limit::tenant ? "your tenant's"
                                               : "the server's";
  const char* key = limit == Limit::owner    ? "queued_runs_per_owner"
                    : limit == Limit::tenant ? "queued_runs_per_tenant"
                                             : "queued_runs";
  return {Code::busy,
          fmt::format("Too many of {} runs are waiting (engine.{} is {}). Try again later.", whose,
                      key, most),
          {}};
}

class EmbeddedEngine final : public Embedded, public RunHost {
 public:
  EmbeddedEngine(const EngineOptions& o, store::Database& db, audit::Journal& j, Launcher& l,
                 const Clock& c)
      : RunHost(o, db, j, l, c),
        mark_(child_mark(o.installation_id, this_server())),
        waiting_(o.queued_runs, o.queued_runs_per_tenant, o.queued_runs_per_owner),
        active_(o.active_runs, o.active_runs_per_tenant, o.active_runs_per_owner),
        running_steps_(o.active_steps, o.active_steps_per_tenant, o.active_steps_per_owner),
        approvals_(o.open_approvals, o.open_approvals_per_tenant, o.open_approvals_per_owner) {}

  ~EmbeddedEngine() override { close(); }

  Result<> begin(Descriptor lock) {
    lock_ = std::move(lock);
    TRY_VOID(loop->open());
    thread_ = std::thread([this] { loop->run(); });
    return {};
  }

  void start(const policy::Permit& permit, const audit::DurableTicket& ticket, StartRun request,
             Done done) override {
    if (auto checked = check_params(request.params); !checked) {
      return done(fail(std::move(checked).error()));
    }
    // Not left to the loop alone, which close() ends.
    if (is_draining()) return done(fail(Code::unavailable, std::string(kStopping)));
    RunFacts facts;
    facts.run_id = uuid_v7(unix_ms(clock.wall()));
    facts.workflow = request.workflow.name;
    facts.mark = mark_;
    facts.directory = options.work_directory + "/" + facts.run_id;
    facts.principal = permit.principal();
    facts.trace = request.trace;
    auto row = run_row(facts, request, ticket.request_id(), unix_ms(clock.wall()));
    auto run = std::make_shared<Run>(*this, std::move(request), std::move(facts), std::move(row));
    loop->post([this, run, done = std::move(done)] { admit(run, done); });
  }

  Result<> cancel(const policy::Permit& permit, const audit::DurableTicket&,
                  const std::string& run_id, const std::string& reason) override {
    if (!is_visible(permit, run_id)) {
      return fail(Code::not_found, "No run of that id is active.");
    }
    loop->post([this, run_id, reason] {
      const auto found = runs_.find(run_id);
      if (found != runs_.end()) stop_run(found->second, reason);
    });
    return {};
  }

  void cut_off(std::vector<PersonName> people) override {
    loop->post([this, people = std::move(people)] {
      cut_off_ = std::set<PersonName>(people.begin(), people.end());
      std::vector<RunPtr> theirs;
      for (const auto& [id, run] : runs_) {
        if (is_cut_off(run->row())) theirs.push_back(run);
      }
      for (const RunPtr& run : theirs) stop_run(run, std::string(kCutOff));
    });
  }

  void decide(const policy::Permit& permit, const audit::DurableTicket& ticket, Vote vote,
              Decided done) override {
    const PrincipalPtr& by = permit.principal();
    if (!is_active(by->facts().tenant, vote.run_id)) return done(fail(over()));
    loop->post([this, decision = Decision{std::move(vote), by, ticket.request_id()},
                done = std::move(done)] {
      const auto found = runs_.find(decision.vote.run_id);
      if (found == runs_.end()) return done(fail(over()));
      found->second->decide(decision, done);
    });
  }

  std::unique_ptr<Subscription> watch(const std::string& run_id, Watcher watcher) override {
    auto watch = std::make_shared<Watch>(std::move(watcher));
    loop->post([this, run_id, watch] {
      if (runs_.contains(run_id)) {
        watchers_.add(run_id, watch);
      } else {
        worker.add([this, run_id, watch] { tell_final(*this, run_id, watch); });
      }
    });
    return std::make_unique<Ending>(std::move(watch));
  }

  std::size_t active_runs() const override {
    const std::lock_guard lock(mutex_);
    return live_.size();
  }

  void drain(std::chrono::milliseconds grace) override {
    {
      const std::lock_guard lock(mutex_);
      draining_ = true;
    }
    loop->post([this] { abandon_queued(); });
    if (wait_until_idle(grace)) return;
    // The second time the handlers are stopped, too.
    for (int time = 0; time < 2; ++time) {
      loop->post([this] {
        const auto runs = runs_;
        for (const auto& [id, run] : runs) run->cancel(std::string(kStopping));
      });
      if (wait_until_idle(options.kill_grace + options.drain_pipes + kLastPatience)) return;
    }
    log::error("runs were left when the server stopped", {{"runs", active_runs()}});
  }

  void close() override {
    if (!thread_.joinable()) return;
    drain(std::chrono::milliseconds(0));
    loop->stop();
    thread_.join();
  }

 private:
  class Ending final : public Subscription {
   public:
    explicit Ending(std::shared_ptr<Watch> watch) : watch_(std::move(watch)) {}
    ~Ending() override { watch_->end(); }

   private:
    std::shared_ptr<Watch> watch_;
  };
  struct Visibility {
    std::string tenant, owner;
  };
  struct WaitingStep {
    std::weak_ptr<Run> run;
    std::size_t step;
    int attempt;
  };

  bool is_draining() const {
    const std::lock_guard lock(mutex_);
    return draining_;
  }

  static Error over() { return {Code::conflict, "This approval is not open any more.", {}}; }

  bool is_active(const std::string& tenant, const std::string& run_id) const {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(run_id);
    return found != live_.end() && found->second.tenant == tenant;
  }

  bool is_visible(const policy::Permit& permit, const std::string& run_id) const {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(run_id);
    if (found == live_.end() || found->second.tenant != permit.principal()->facts().tenant) {
      return false;
    }
    return permit.is_admin() || found->second.owner == permit.principal()->owner();
  }

  bool wait_until_idle(std::chrono::milliseconds longest) {
    std::unique_lock lock(mutex_);
    return idle_.wait_for(lock, longest, [this] { return live_.empty(); });
  }

  // The rest runs on the loop's thread.

  Result<> check_admission(const store::RunRow& run) const {
    if (is_draining()) return fail(Code::unavailable, std::string(kStopping));
    if (is_cut_off(run)) return fail(Code::forbidden, "You were cut off on this server.");
    const auto full = waiting_.full(run.tenant, run.owner);
    if (full) return fail(no_room(*full, waiting_.most(*full)));
    return {};
  }

  void admit(const RunPtr& run, const Done& done) {
    const store::RunRow& row = run->row();
    if (auto admitted = check_admission(row); !admitted) {
      return done(fail(std::move(admitted).error()));
    }
    waiting_.take(row.tenant, row.owner);  // also while its row is being written
    runs_.emplace(row.id, run);
    {
      const std::lock_guard lock(mutex_);
      live_.emplace(row.id, Visibility{row.tenant, row.owner});
    }
    auto created = [this, shared = loop, run, done](Result<store::Runs::Created> result) {
      shared->post([this, run, done, result = std::move(result)] { admitted(run, done, result); });
    };
    store.create(row, run->step_rows(), std::move(created));
  }

  void admitted(const RunPtr& run, const Done& done, const Result<store::Runs::Created>& created) {
    if (!created || created->existed) {
      waiting_.give_back(run->row().tenant, run->row().owner);
      forget(*run);
      if (!created) return done(fail(created.error()));
      return done(Started{created->id, true});
    }
    queue_.push(run->row().tenant, run->row().owner, run);
    done(Started{created->id, false});
    if (is_draining()) return abandon_queued();
    // Since it was admitted.
    if (is_cut_off(run->row())) return stop_run(run, std::string(kCutOff));
    begin_queued();
  }

  bool is_cut_off(const store::RunRow& run) const {
    return cut_off_.contains({run.issuer, run.subject});
  }

  void begin_queued() {
    const auto may = [this](const std::string& tenant, const std::string& owner) {
      return !active_.full(tenant, owner);
    };
    while (const auto run = queue_.pop(may)) {
      const store::RunRow& row = (*run)->row();
      waiting_.give_back(row.tenant, row.owner);
      active_.take(row.tenant, row.owner);
      begun_ids_.insert(row.id);
      (*run)->begin();
    }
  }

  void stop_run(const RunPtr& run, const std::string& reason) {
    if (begun_ids_.contains(run->row().id)) return run->cancel(reason);
    const auto before = queue_.size();
    queue_.remove_if([&](const RunPtr& queued) { return queued == run; });
    if (queue_.size() != before) abandon(*run, reason);
  }

  void abandon(Run& run, const std::string& reason) {
    waiting_.give_back(run.row().tenant, run.row().owner);
    run.abandon(reason);
  }

  void abandon_queued() {
    while (const auto run = queue_.pop()) abandon(**run, std::string(kStopping));
  }

  void want_place(Run& run, std::size_t step, int attempt) override {
    steps_.push(run.row().tenant, run.row().owner, {run.weak_from_this(), step, attempt});
    loop->post([this] { give_places(); });
  }

  void free_place(Run& run) override {
    running_steps_.give_back(run.row().tenant, run.row().owner);
    loop->post([this] { give_places(); });
  }

  void give_places() {
    const auto may = [this](const std::string& tenant, const std::string& owner) {
      return !running_steps_.full(tenant, owner);
    };
    while (const auto next = steps_.pop(may)) {
      const auto run = next->run.lock();
      if (!run || !run->start(next->step, next->attempt)) continue;
      running_steps_.take(run->row().tenant, run->row().owner);
    }
  }

  bool take_approval(Run& run) override {
    const store::RunRow& row = run.row();
    if (approvals_.full(row.tenant, row.owner)) return false;
    approvals_.take(row.tenant, row.owner);
    return true;
  }

  void give_back_approval(Run& run) override {
    approvals_.give_back(run.row().tenant, run.row().owner);
  }

  // What begins instead may be one too many when this one goes on; the places for steps bound
  // what both do.
  void set_idle(Run& run, bool idle) override {
    const store::RunRow& row = run.row();
    if (!begun_ids_.contains(row.id) || idle == idle_ids_.contains(row.id)) return;
    if (idle) {
      idle_ids_.insert(row.id);
      active_.give_back(row.tenant, row.owner);
      loop->post([this] { begin_queued(); });
    } else {
      idle_ids_.erase(row.id);
      active_.take(row.tenant, row.owner);
    }
  }

  void publish(const RunEvent& event) override { watchers_.publish(event); }

  void finished(Run& run) override {
    const store::RunRow& row = run.row();
    const bool idle = idle_ids_.erase(row.id) != 0;
    if (begun_ids_.erase(row.id) != 0 && !idle) active_.give_back(row.tenant, row.owner);
    forget(run);
    begin_queued();
  }

  void forget(Run& run) {
    const std::string id = run.row().id;
    runs_.erase(id);
    const std::lock_guard lock(mutex_);
    live_.erase(id);
    if (live_.empty()) idle_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::unordered_map<std::string, Visibility> live_;  // every run that is not final
  bool draining_ = false;

  std::unordered_map<std::string, RunPtr> runs_;
  const std::string mark_;
  FairQueue<RunPtr> queue_;
  FairQueue<WaitingStep> steps_;
  std::set<std::string> begun_ids_, idle_ids_;
  std::set<PersonName> cut_off_;
  Shares waiting_, active_, running_steps_, approvals_;
  Watchers watchers_;
  Descriptor lock_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Embedded>> Embedded::open(EngineOptions options, store::Database& db,
                                                 audit::Journal& journal, Launcher& launcher,
                                                 const Clock& clock) {
  Descriptor lock = TRY(recover(options, db, journal, clock));
  auto engine = std::make_unique<EmbeddedEngine>(options, db, journal, launcher, clock);
  TRY_VOID(engine->begin(std::move(lock)));
  return engine;
}

}  // namespace kubiya::engine
