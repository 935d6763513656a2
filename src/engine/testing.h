// SPDX-License-Identifier: Apache-2.0
//
// For this module's tests: an engine on a temporary database, with a journal that
// remembers, and callers without a token.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/json.h"
#include "engine/embedded.h"
#include "identity/minter.h"
#include "store/store.h"
#include "workflow/definition.h"

// Tickets are made by the journal only; this stands in for its implementation.
namespace kubiya::audit {
class JournalImpl {
 public:
  static DurableTicket ticket(const std::string& request_id) {
    DurableTicket ticket;
    ticket.sequence_ = 1;
    ticket.request_id_ = request_id;
    return ticket;
  }
  static Ticket read_ticket() { return Ticket(); }
};
}  // namespace kubiya::audit

namespace kubiya::engine {

class MemoryJournal final : public audit::Journal {
 public:
  void begin(const policy::Permit&, const audit::Intent& intent, Begun begun) override {
    begun(audit::JournalImpl::ticket(std::string(intent.request_id)));
  }
  audit::Ticket note(const policy::Permit&, const audit::Intent&, int) override {
    return audit::JournalImpl::read_ticket();
  }
  void refused(const audit::RefusedCall&, int) override {}
  void finish(const audit::DurableTicket&, const audit::Outcome&, Recorded recorded) override {
    recorded({});
  }
  void finish(const audit::Ticket&, const audit::Outcome&, int) override {}
  void run_finished(const RunEnd& end, Recorded recorded) override {
    {
      const std::lock_guard lock(mutex_);
      ends_.push_back(end);
    }
    recorded({});
  }
  void event(std::string_view name, const json::object& fields) override {
    std::string text(name);
    for (const char* field : {"subject", "step", "audience", "scopes", "reason"}) {
      const auto value = find_string(fields, field);
      if (value && !value->empty()) text += " " + std::string(*value);
    }
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(text));
  }
  void durable_event(std::string_view, const json::object&, Recorded recorded) override {
    recorded({});
  }
  void flush_loop(int) override {}
  Result<> sync() override { return {}; }
  bool healthy() const override { return true; }
  std::string problem() const override { return {}; }
  std::uint64_t size() const override { return 0; }

  std::vector<RunEnd> ends() const {
    const std::lock_guard lock(mutex_);
    return ends_;
  }

  std::vector<std::string> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<RunEnd> ends_;
  std::vector<std::string> events_;  // names and what is of interest
};

inline const policy::Operation kExecute{
    "execute_workflow", {"execute"}, policy::Effect::mutates, false};

inline policy::Permit permit_for(const std::string& subject, const std::string& tenant = "acme",
                                 const std::string& key = "kb-secret-0123456789",
                                 Scopes scopes = {"execute"}) {
  PrincipalFacts facts;
  facts.tenant = tenant;
  facts.issuer = "https://issuer.example";
  facts.subject = subject;
  facts.scopes = std::move(scopes);
  if (!key.empty()) facts.api_key = Secret(key);
  return *policy::Policy({}).decide(identity::Minter::mint(std::move(facts)), kExecute);
}

inline audit::DurableTicket ticket() { return audit::JournalImpl::ticket("request-1"); }

inline StartRun start_of(const std::string& text, workflow::Pairs params = {}) {
  auto parsed = workflow::parse("name: test\n" + text);
  EXPECT_TRUE(parsed.definition) << workflow::describe(parsed.problems);
  StartRun request;
  request.workflow.name = "test";
  request.workflow.digest = "digest";
  request.workflow.text = text;
  request.definition = std::move(*parsed.definition);
  request.params = std::move(params);
  return request;
}

// Polls: for what happens behind a run's end, like the removal of its directory.
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

class TemporaryPlace {
 public:
  TemporaryPlace() : path_((std::filesystem::temp_directory_path() / "kubiya-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~TemporaryPlace() { std::filesystem::remove_all(path_); }
  TemporaryPlace(const TemporaryPlace&) = delete;
  TemporaryPlace& operator=(const TemporaryPlace&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// What is known of a run once it has ended.
struct Ended {
  store::RunRow run;
  std::vector<store::StepRow> steps;
  std::vector<store::LogRow> logs;

  std::string text(const std::string& stream, const std::string& step = "") const {
    std::string out;
    for (const auto& row : logs) {
      if (row.stream == stream && (step.empty() || row.step == step)) out += row.text;
    }
    return out;
  }
  const store::StepRow& step(const std::string& name) const {
    for (const auto& row : steps) {
      if (row.name == name) return row;
    }
    ADD_FAILURE() << "no step " << name;
    return steps.front();
  }
};

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    options.work_directory = place.file("work");
    options.installation_id = "test-" + std::to_string(::getpid());
    options.kill_grace = std::chrono::milliseconds(300);
    options.drain_pipes = std::chrono::milliseconds(200);
  }

  // A test may change `options` and `launcher` before.
  Backend& engine() {
    if (!engine_) engine_ = *Embedded::open(options, *db, journal, *launcher, clock);
    return *engine_;
  }
  void stop_engine() { engine_.reset(); }

  Result<Started> start(StartRun request, const policy::Permit& permit = permit_for("ada")) {
    std::promise<Result<Started>> promise;
    engine().start(permit, ticket(), std::move(request),
                   [&](Result<Started> started) { promise.set_value(std::move(started)); });
    return promise.get_future().get();
  }

  RunEvent wait_for(const std::string& run_id) {
    std::promise<RunEvent> promise;
    const auto watch = engine().watch(run_id, [&](const RunEvent& event) {
      if (event.kind == RunEvent::Kind::run_finished) promise.set_value(event);
    });
    return promise.get_future().get();
  }

  Ended ended(const std::string& run_id) {
    wait_for(run_id);
    store::Runs runs(*db);
    Ended out{*runs.get(run_id), *runs.steps(run_id), {}};
    store::LogPage page;
    do {
      page = *runs.logs(run_id, std::nullopt, page.next, {1000});
      out.logs.insert(out.logs.end(), page.rows.begin(), page.rows.end());
    } while (page.more);
    return out;
  }

  Ended run(const std::string& text, workflow::Pairs params = {},
            const policy::Permit& permit = permit_for("ada")) {
    const auto started = start(start_of(text, std::move(params)), permit);
    EXPECT_TRUE(started) << (started ? "" : started.error().message);
    return ended(started->run_id);
  }

  std::size_t directories() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(options.work_directory)) {
      count += entry.is_directory() ? 1 : 0;
    }
    return count;
  }

  TemporaryPlace place;
  EngineOptions options;
  std::unique_ptr<store::Database> db = *store::Database::open(place.file("state.db"));
  MemoryJournal journal;
  std::unique_ptr<Launcher> launcher = make_process_launcher();
  SystemClock clock;

 private:
  std::unique_ptr<Embedded> engine_;
};

}  // namespace kubiya::engine
