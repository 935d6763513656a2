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
      auto watch = source->watch(x->principal, id, [this, weak, source, id] {
        // Reading how a task stands may block, and news come from threads that must not.
        services_.workers.submit_always([this, weak, source, id] {
          const auto alive = weak.lock();
          if (!alive) return;
          const auto task = source->get(alive->principal(), id);
          if (task) alive->notify("notifications/tasks", results_.task_notice(*task));
        });
      });
      if (!watch) continue;
      if (*watch) listener->hold(std::move(*watch));
      tasks.emplace_back(id);
    }
  }
  if (!uris.empty()) honoured["resourceSubscriptions"] = std::move(uris);
  if (!tasks.empty()) honoured["taskIds"] = std::move(tasks);
  if (!subscriptions_.add(listener)) {
    return answer(x, render_error(*x, {Code::busy, "Too many subscriptions are open", {}}));
  }
  log_.line(*x, 200, "stream", services_.clock.mono());
  listener->open(x->detach(), to_json(honoured));
}

void Endpoint::get_task(const ExchangePtr& x) {
  tools::Tasks* tasks = services_.catalogue.tasks();
  const std::string id(*find_string(*x->message.params, "taskId"));
  if (!needs_tasks(x)) return;
  auto permit = services_.policy.decide(x->principal, tasks->get_operation());
  if (!permit) return refuse_denied(x, tasks->get_operation(), permit.error());
  const json::object arguments{{"taskId", id}};
  const audit::Ticket ticket =
      services_.journal.note(*permit, intent(*x, printable(id, 128), arguments), x->request.loop);
  on_worker(x, [this, x, tasks, id, ticket] {
    const auto task = tasks->get(x->principal, id);
    audit::Outcome outcome;
    outcome.ok = task.has_value();
    outcome.reason = task ? "done" : std::string(to_string(task.error().code));
    if (!task) outcome.code = task.error().code;
    services_.journal.finish(ticket, outcome, -1);
    if (!task) return answer(x, render_error(*x, task.error()));
    send(x, json_response(result_answer(x->rpc_id, results_.task(*task))), "done");
  });
}

// What changes a task is recorded like any other effect, and answered with nothing but that it
// was taken.
void Endpoint::change_task(
    const ExchangePtr& x, const policy::Operation& operation,
    std::function<Result<>(const policy::Permit&, const audit::DurableTicket&)> act) {
  if (!needs_tasks(x)) return;
  auto permit = services_.policy.decide(x->principal, operation);
  if (!permit) return refuse_denied(x, operation, permit.error());
  const json::object arguments{{"taskId", *find_string(*x->message.params, "taskId")}};
  const audit::Intent what =
      intent(*x, printable(*find_string(*x->message.params, "taskId"), 128), arguments);
  services_.journal.begin(
      *permit, what,
      [this, x, permit = *permit, act = std::move(act)](Result<audit::DurableTicket> begun) {
        if (!begun) return answer(x, render_error(*x, begun.error()));
        const auto ticket = std::make_shared<const audit::DurableTicket>(std::move(*begun));
        services_.workers.submit_always([this, x, permit, act, ticket] {
          const Result<> done = act(permit, *ticket);
          audit::Outcome outcome;
          outcome.ok = done.has_value();
          outcome.reason = done ? "done" : std::string(to_string(done.error().code));
          if (!done) outcome.code = done.error().code;
          services_.journal.finish(*ticket, outcome, [this, x, done](Result<> recorded) {
            if (!recorded) return answer(x, render_error(*x, recorded.error()));
            if (!done) return answer(x, render_error(*x, done.error()));
            send(x, json_response(result_answer(x->rpc_id, results_.empty(Era::modern))), "done");
          });
        });
      });
}

void Endpoint::update_task(const ExchangePtr& x) {
  tools::Tasks* tasks = services_.catalogue.tasks();
  const std::string id(*find_string(*x->message.params, "taskId"));
  const auto given = find_object(*x->message.params, "inputResponses");
  if (!given) return refuse_params(x, "params.inputResponses is required and must be an object");
  auto answers = std::make_shared<const json::value>(given->value());
  change_task(x, tasks->update_operation(),
              [tasks, id, answers](const auto& permit, const auto& ticket) {
                return tasks->update(permit, ticket, id, answers->get_object());
              });
}

void Endpoint::cancel_task(const ExchangePtr& x) {
  tools::Tasks* tasks = services_.catalogue.tasks();
  const std::string id(*find_string(*x->message.params, "taskId"));
  change_task(x, tasks->cancel_operation(), [tasks, id](const auto& permit, const auto& ticket) {
    return tasks->cancel(permit, ticket, id);
  });
}

void Endpoint::publish(tools::Changes::List list, const std::string& tenant) {
  if (list == tools::Changes::List::tools) {
    const std::lock_guard lock(lists_.mutex);
    lists_.by_key.clear();
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
