// SPDX-License-Identifier: Apache-2.0
//
// Everything a client finds here: tools, prompts, resources, tasks, and the news about them.
// The protocol serves a catalogue and knows no more of workflows than what stands in it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/principal.h"
#include "base/result.h"
#include "policy/operation.h"
#include "tools/registry.h"

namespace kubiya::tools {

// Values for an argument that is being typed, best first.
struct Completion {
  std::vector<std::string> values;
  std::optional<std::size_t> total;  // when there are more than were given
};

// What is known while one argument is typed.
struct Typed {
  std::string_view argument;
  std::string_view value;         // so far
  const json::object& arguments;  // the others that are settled
};

// Keeps what it was asked to watch under watch until it is destroyed, on any thread.
class Watch {
 public:
  virtual ~Watch() = default;
};

struct PromptArgument {
  std::string name;
  std::string title;
  std::string description;
  bool required = false;
};

struct PromptSpec {
  std::string name;
  std::string title;
  std::string description;
  std::vector<PromptArgument> arguments;
};

// One template of messages. `get` runs on a worker thread; ToolResult::content is then the JSON
// text of the array of messages.
struct Prompt {
  PromptSpec spec;
  std::function<void(const Call&, const audit::Ticket&, Done)> get;
  std::function<Completion(const PrincipalPtr&, const Typed&)> complete;  // may be empty
  std::string listing = {};  // filled in by the catalogue
};

// Resources of one kind. Functions that take a principal show what that principal may see and
// nothing else. They may block; worker threads only.
class ResourceFamily {
 public:
  struct Page {
    std::vector<std::string> listings;  // JSON texts of Resource objects
    std::string next;                   // where the next page begins; empty: there is none
  };
  virtual ~ResourceFamily() = default;

  // What reading one takes. Its effect is `reads`.
  virtual const policy::Operation& operation() const = 0;
  virtual bool serves(std::string_view uri) const = 0;
  // JSON texts of ResourceTemplate objects.
  virtual std::vector<std::string> templates() const { return {}; }
  // At most `limit`, from `from` on: empty, or `next` of the page before.
  virtual Result<Page> list(const PrincipalPtr& principal, const std::string& from, int limit) = 0;
  // `arguments` of the call hold `uri`; ToolResult::content is the JSON text of the array of
  // contents. Code::not_found when there is no such resource for this caller.
  virtual void read(const Call& call, const audit::Ticket& ticket, Done done) = 0;
  // Of a variable of the template `uri`.
  virtual Completion complete(const PrincipalPtr&, std::string_view /*uri*/, const Typed&) {
    return {};
  }
  // `changed` runs on any thread and must not block. Null when this resource never changes;
  // Code::not_found as for read().
  virtual Result<std::unique_ptr<Watch>> watch(const PrincipalPtr& principal, std::string_view uri,
                                               std::function<void()> changed) = 0;
};

enum class TaskStatus { working, input_required, completed, failed, cancelled };
std::string_view to_string(TaskStatus status);

struct TaskState {
  std::string id;
  TaskStatus status = TaskStatus::working;
  std::string message;
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  std::optional<std::int64_t> ttl_ms;  // from creation; nothing: kept
  std::int64_t poll_ms = 1'000;
  std::vector<InputRequest> asks;  // input_required: everything that is open
  ToolResult result;               // completed: what the call would have answered
  Error error;                     // failed
};

// Calls that go on after they were answered (the extension io.modelcontextprotocol/tasks). A
// task of somebody else is Code::not_found. May block; worker threads only.
class Tasks {
 public:
  virtual ~Tasks() = default;
  virtual const policy::Operation& get_operation() const = 0;     // reads
  virtual const policy::Operation& update_operation() const = 0;  // mutates
  virtual const policy::Operation& cancel_operation() const = 0;  // mutates
  virtual Result<TaskState> get(const PrincipalPtr& principal, const std::string& id) = 0;
  // Answers to some of the task's questions; what it does not ask is ignored. `done` runs once, on
  // any thread, when they are not asked any more.
  virtual void update(const policy::Permit& permit, const audit::DurableTicket& ticket,
                      const std::string& id, const json::object& answers,
                      std::function<void(Result<>)> done) = 0;
  // Asks it to stop; of an ended one nothing happens.
  virtual Result<> cancel(const policy::Permit& permit, const audit::DurableTicket& ticket,
                          const std::string& id) = 0;
  virtual Result<std::unique_ptr<Watch>> watch(const PrincipalPtr& principal, const std::string& id,
                                               std::function<void()> changed) = 0;
};

// Tools that come and go while the server runs, by tenant. Any thread; must not block.
class ToolSource {
 public:
  virtual ~ToolSource() = default;
  virtual std::shared_ptr<const Tool> find(std::string_view tenant, std::string_view name) = 0;
  // In a stable order.
  virtual std::vector<std::shared_ptr<const Tool>> list(std::string_view tenant) = 0;
};

// Says when a list is another than before, or a resource. Any thread.
class Changes {
 public:
  enum class List { tools, prompts, resources };
  // `tenant` empty: of everybody.
  using Listener = std::function<void(List, const std::string& tenant)>;
  void listen(Listener listener);
  // Afterwards nobody listens; a call under way is waited for.
  void forget();
  void changed(List list, const std::string& tenant = {});

  // `told` runs on whatever thread brings the news and must not block. It may run once more while
  // its watch is being destroyed.
  std::unique_ptr<Watch> watch(const std::string& tenant, const std::string& uri,
                               std::function<void()> told);
  void updated(const std::string& tenant, const std::string& uri);

 private:
  class UriWatch;
  // Shared with the watches, which may outlive this.
  struct Watched {
    std::mutex mutex;
    std::multimap<std::pair<std::string, std::string>, std::function<void()>> by_uri;
  };
  std::mutex mutex_;
  Listener listener_;
  std::shared_ptr<Watched> watched_ = std::make_shared<Watched>();
};

class Catalogue {
 public:
  Registry& tools() { return tools_; }
  const Registry& tools() const { return tools_; }
  Changes& changes() { return changes_; }

  // Before the server listens. Code::conflict for a taken name.
  Result<> add(Prompt prompt);
  void add(std::unique_ptr<ResourceFamily> family);
  void set_tasks(std::unique_ptr<Tasks> tasks) { tasks_ = std::move(tasks); }
  void set_source(std::shared_ptr<ToolSource> source) { source_ = std::move(source); }

  // In order of registration.
  const std::vector<std::unique_ptr<Prompt>>& prompts() const { return prompts_; }
  const Prompt* find_prompt(std::string_view name) const;
  const std::vector<std::unique_ptr<ResourceFamily>>& families() const { return families_; }
  ResourceFamily* family_of(std::string_view uri) const;
  Tasks* tasks() const { return tasks_.get(); }
  ToolSource* source() const { return source_.get(); }

 private:
  Registry tools_;
  Changes changes_;
  std::vector<std::unique_ptr<Prompt>> prompts_;
  std::vector<std::unique_ptr<ResourceFamily>> families_;
  std::unique_ptr<Tasks> tasks_;
  std::shared_ptr<ToolSource> source_;
};

}  // namespace kubiya::tools
