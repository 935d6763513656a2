// SPDX-License-Identifier: Apache-2.0
//
// The modern era's own: subscriptions and tasks.
#include <fmt/format.h>

#include "base/encoding.h"
#include "mcp/abilities.h"
#include "mcp/endpoint.h"

namespace kubiya::mcp {
namespace {

constexpr std::size_t kWatchesPerListener = 256;

bool wants(JsonView wishes, std::string_view name) {
  const auto wish = wishes.find(name);
  return wish && wish->text() == "true";
}

std::vector<std::string> texts_of(JsonView wishes, std::string_view name) {
  std::vector<std::string> found;
  const auto list = wishes.find(name);
  if (!list) return found;
  for (const JsonView element : list->elements()) {
    if (found.size() >= kWatchesPerListener) break;
    if (element.kind() == JsonView::Kind::string) found.emplace_back(element.string());
  }
  return found;
}

// A client that cannot answer a question is not told of it: to it, the task works on.
void leave_out_what_cannot_be_asked(tools::TaskState& task, const tools::ClientAbilities& client) {
  if (task.status != tools::TaskStatus::input_required) return;
  std::erase_if(task.asks, [&client](const auto& ask) { return !can_ask(client, ask); });
  if (task.asks.empty()) task.status = tools::TaskStatus::working;
}

}  // namespace

// False when the request was refused.
bool Endpoint::needs_tasks(const ExchangePtr& x) {
  if (abilities(*x).tasks) return true;
  refuse_capability(
      x, {{"extensions", json::object{{"io.modelcontextprotocol/tasks", json::object{}}}}});
  return false;
}

void Endpoint::listen(const ExchangePtr& x) {
  const auto wishes =
      x->message.params ? find_object(*x->message.params, "notifications") : std::nullopt;
  if (!wishes) return refuse_params(x, "params.notifications is required and must be an object");
  if (!x->can_stream()) {
    return refuse_http_request(x, 406, "not_acceptable",
                               "subscriptions/listen answers with text/event-stream");
  }
  if (!x->principal) return refuse_credential(x, {identity::Reason::no_credential, {}, {}, {}});
  if (wishes->find("taskIds") && !needs_tasks(x)) return;
  if (!admit_handshake(x)) return;
  on_worker(x, [this, x] { start_listening(x); });
}

// What cannot be watched is left out of what is acknowledged and is no reason to refuse the rest.
void Endpoint::start_listening(const ExchangePtr& x) {
  const JsonView wishes = *find_object(*x->message.params, "notifications");
  Listener::Wants lists{wants(wishes, "toolsListChanged"),
                        results_.offers().prompts && wants(wishes, "promptsListChanged"),
                        results_.offers().resources && wants(wishes, "resourcesListChanged")};
  const auto listener = std::make_shared<Listener>(std::string(x->rpc_id), lists, x->principal);
  json::object honoured;
  if (lists.tools) honoured["toolsListChanged"] = true;
  if (lists.prompts) honoured["promptsListChanged"] = true;
  if (lists.resources) honoured["resourcesListChanged"] = true;
  json::array uris, tasks;
  const std::weak_ptr<Listener> weak = listener;
  for (const auto& uri : texts_of(wishes, "resourceSubscriptions")) {
    tools::ResourceFamily* family = services_.catalogue.family_of(uri);
    if (family == nullptr || !may_use(x->principal, family->operation())) continue;
    auto watch = family->watch(x->principal, uri, [weak, uri] {
      if (const auto alive = weak.lock()) {
        alive->notify("notifications/resources/updated", R"("uri":)" + to_json(json::value(uri)));
      }
    });
    if (!watch) continue;
    if (*watch) listener->hold(std::move(*watch));
    uris.emplace_back(uri);
  }
  if (tools::Tasks* source = services_.catalogue.tasks(); source != nullptr) {
    for (const auto& id : texts_of(wishes, "taskIds")) {
      if (!may_use(x->principal, source->get_operation())) continue;
      auto watch =
          source->watch(x->principal, id, [this, weak, source, id, client = abilities(*x)] {
            // Reading how a task stands may block, and news come from threads that must not.
            services_.workers.submit_always([this, weak, source, id, client] {
              const auto alive = weak.lock();
              if (!alive) return;
              auto task = source->get(alive->principal(), id);
              if (!task) return;
              leave_out_what_cannot_be_asked(*task, client);
              alive->notify("notifications/tasks", results_.task_notice(*task));
            });
          });
      if (!watch) continue;
      if (*watch) listener->hold(std::move(*watch));
      tasks.emplace_back(id);
    }
  }
  if (!uris.empty()) honoured["resourceSubscriptions"] = std::move(uris);
  if (!tasks.empty()) honoured["taskIds"] = std::move(tasks);
  auto place = streams_.take(*x->principal);
  if (!place) return answer(x, render_error(*x, {Code::busy, std::string(kTooManyStreams), {}}));
  subscriptions_.add(listener);
  log_.line(*x, 200, "stream", services_.clock.mono());
  listener->open(x->detach(std::move(place)), to_json(honoured));
  // Its credential may have been ended since it was taken, and the sweep that ends streams be over.
  if (!services_.authenticator.still_good(*x->principal)) listener->end();
}

// What the three methods have in common: the task's id, and whether this caller may.
std::optional<Endpoint::TaskCall> Endpoint::task_call(const ExchangePtr& x,
                                                      const policy::Operation& operation) {
  if (!needs_tasks(x)) return std::nullopt;
  auto permit = services_.policy.decide(x->principal, operation);
  if (!permit) {
    refuse_denied(x, operation, permit.error());
    return std::nullopt;
  }
  return TaskCall{std::move(*permit), std::string(*find_string(*x->message.params, "taskId"))};
}

void Endpoint::get_task(const ExchangePtr& x) {
  tools::Tasks* tasks = services_.catalogue.tasks();
  auto task = task_call(x, tasks->get_operation());
  if (!task) return;
  read(x, printable(task->id, 128), std::move(task->permit), {{"taskId", task->id}},
       [this, tasks, id = task->id](const tools::Call& call, const audit::Ticket&,
                                    const tools::Done& done) {
         auto state = tasks->get(call.permit.principal(), id);
         if (!state) return done(fail(state.error()));
         leave_out_what_cannot_be_asked(*state, call.client);
         tools::ToolResult result;
         result.content = results_.task(*state);
         done(std::move(result));
       });
}

void Endpoint::update_task(const ExchangePtr& x) {
  tools::Tasks* tasks = services_.catalogue.tasks();
  if (!find_object(*x->message.params, "inputResponses"))
    return refuse_params(x, "params.inputResponses is required and must be an object");
  auto task = task_call(x, tasks->update_operation());
  if (!task) return;
  mutate(x, printable(task->id, 128), std::move(task->permit), {{"taskId", task->id}}, false,
         [tasks, id = task->id](const auto& call, const audit::DurableTicket& ticket,
                                const tools::Done& done) {
           tasks->update(call->permit, ticket, id, call->answers, [done](const Result<>& taken) {
             done(taken ? Result<tools::ToolResult>(tools::ToolResult{}) : fail(taken.error()));
           });
         });
}

void Endpoint::cancel_task(const ExchangePtr& x) {
  tools::Tasks* tasks = services_.catalogue.tasks();
  auto task = task_call(x, tasks->cancel_operation());
  if (!task) return;
  mutate(x, printable(task->id, 128), std::move(task->permit), {{"taskId", task->id}}, true,
         [tasks, id = task->id](const auto& call, const audit::DurableTicket& ticket,
                                const tools::Done& done) {
           const auto taken = tasks->cancel(call->permit, ticket, id);
           done(taken ? Result<tools::ToolResult>(tools::ToolResult{}) : fail(taken.error()));
         });
}

void Endpoint::publish(tools::Changes::List list, const std::string& tenant) {
  if (list == tools::Changes::List::tools) {
    const std::lock_guard lock(lists_.mutex);
    lists_.by_key.clear();
    ++lists_.generation;
  }
  subscriptions_.publish(list, tenant);
  const std::string news =
      fmt::format(R"({{"jsonrpc":"2.0","method":"{}"}})", list_changed_method(list));
  for (const auto& session : sessions_.of(tenant)) session->tell(news);
}

void Endpoint::close_streams() {
  subscriptions_.close_all();
  sessions_.close_all();
}

}  // namespace kubiya::mcp
