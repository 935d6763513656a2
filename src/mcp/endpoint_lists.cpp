// SPDX-License-Identifier: Apache-2.0
//
// Methods that concern no one's data, and pages of what a caller may see.
#include <charconv>

#include <fmt/format.h>

#include "base/encoding.h"
#include "mcp/endpoint.h"

namespace kubiya::mcp {
namespace {

constexpr std::size_t kToolsPage = 500;
constexpr int kResourcesPage = 100;
constexpr std::size_t kCachedLists = 512;
constexpr std::size_t kCompletions = 100;  // MCP allows no more in one answer

std::optional<std::size_t> read_number(std::string_view text) {
  std::size_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

tools::Completion within_bounds(tools::Completion completion) {
  if (completion.values.size() > kCompletions) {
    completion.total = completion.total.value_or(completion.values.size());
    completion.values.resize(kCompletions);
  }
  return completion;
}

}  // namespace

// The server-wide scopes suffice. False when the caller was refused.
bool Endpoint::admit_handshake(const ExchangePtr& x) {
  if (!x->principal) return true;
  auto permit = services_.policy.decide(x->principal, handshake_);
  if (!permit) {
    refuse_denied(x, handshake_, permit.error());
    return false;
  }
  audit::Intent what;
  what.request_id = x->request_id;
  what.peer = x->request.peer;
  what.era = x->message.version;
  what.target = x->message.method;
  const audit::Ticket ticket = services_.journal.note(*permit, what, x->request.loop);
  services_.journal.finish(ticket,
                           {.code = {}, .ok = true, .reason = "done", .run_id = {}, .target = {}},
                           x->request.loop);
  return true;
}

void Endpoint::handshake(const ExchangePtr& x, const std::string& result) {
  if (!admit_handshake(x)) return;
  send(x, json_response(result_answer(x->rpc_id, result)), "done");
}

void Endpoint::on_worker(const ExchangePtr& x, std::function<void()> work) {
  if (services_.workers.submit(work)) return;
  answer(x, render_error(*x, {Code::busy, "The server is busy; try again shortly", {}}));
}

void Endpoint::discover(const ExchangePtr& x) { handshake(x, results_.discover()); }

void Endpoint::ping(const ExchangePtr& x) { handshake(x, results_.empty(x->message.era)); }

void Endpoint::set_log_level(const ExchangePtr& x) {
  const auto level = x->message.params ? find_string(*x->message.params, "level") : std::nullopt;
  const auto rank = log_level_rank(level.value_or(""));
  if (!rank) {
    return refuse_params(x,
                         "params.level must be one of debug, info, notice, warning, error, "
                         "critical, alert, emergency");
  }
  if (x->session) x->session->set_log_level(*rank);
  handshake(x, results_.empty(x->message.era));
}

bool Endpoint::may_use(const PrincipalPtr& principal, const policy::Operation& operation) const {
  if (options_.list_everything || !principal) return true;
  return services_.policy.may_ever(*principal, operation);
}

std::vector<std::shared_ptr<const tools::Tool>> Endpoint::tools_of(
    const PrincipalPtr& principal) const {
  std::vector<std::shared_ptr<const tools::Tool>> found;
  const auto take = [&](std::shared_ptr<const tools::Tool> tool) {
    if (may_use(principal, tool->operation())) found.push_back(std::move(tool));
  };
  for (const auto& tool : services_.catalogue.tools().tools()) {
    take(std::shared_ptr<const tools::Tool>(std::shared_ptr<void>(), tool.get()));
  }
  if (services_.catalogue.source() != nullptr && principal) {
    for (auto& tool : services_.catalogue.source()->list(principal->facts().tenant))
      take(std::move(tool));
  }
  return found;
}

std::optional<std::string> Endpoint::page_from(const ExchangePtr& x, std::string_view list) {
  const auto given = x->message.params ? x->message.params->find("cursor") : std::nullopt;
  if (!given) return "";
  const std::string owner = x->principal ? x->principal->owner() : "";
  auto position = given->kind() == JsonView::Kind::string
                      ? handles_.position(owner, list, given->string())
                      : std::nullopt;
  if (!position) refuse_params(x, "Unknown cursor");
  return position;
}

std::string Endpoint::cursor_to(const Exchange& x, std::string_view list,
                                std::string_view position) const {
  if (position.empty()) return {};
  return handles_.cursor(x.principal ? x.principal->owner() : "", list, position);
}

void Endpoint::list_tools(const ExchangePtr& x) {
  const auto from = page_from(x, "tools");
  if (!from || !admit_handshake(x)) return;
  const Era era = x->message.era;
  const std::string key =
      fmt::format("{}\n{}\n{}\n{}", era == Era::modern ? 'm' : 'l', *from,
                  x->principal ? x->principal->facts().tenant : "",
                  x->principal ? x->principal->facts().scopes.text() : std::string("\n"));
  std::shared_ptr<const std::string> list;
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock(lists_.mutex);
    generation = lists_.generation;
    if (const auto at = lists_.by_key.find(key); at != lists_.by_key.end()) list = at->second;
  }
  if (!list) {
    const auto all = tools_of(x->principal);
    const std::size_t begin = std::min(read_number(*from).value_or(0), all.size());
    const std::size_t end = std::min(begin + kToolsPage, all.size());
    std::vector<std::string_view> items;
    for (std::size_t i = begin; i < end; ++i) items.push_back(all[i]->listing());
    const std::string next = end < all.size() ? std::to_string(end) : "";
    list = std::make_shared<const std::string>(
        results_.list(era, "tools", items, cursor_to(*x, "tools", next)));
    // A cursor is its owner's, so only a list that is whole may be shared.
    if (next.empty() && from->empty()) {
      const std::lock_guard lock(lists_.mutex);
      if (lists_.by_key.size() >= kCachedLists) lists_.by_key.clear();
      // What changed while the list was made may not be in it.
      if (lists_.generation == generation) lists_.by_key[key] = list;
    }
  }
  send(x, json_response(result_answer(x->rpc_id, *list)), "done");
}

void Endpoint::list_prompts(const ExchangePtr& x) {
  const auto from = page_from(x, "prompts");
  if (!from) return;
  std::vector<std::string_view> items;
  if (may_use(x->principal, get_prompt_)) {
    for (const auto& prompt : services_.catalogue.prompts()) items.push_back(prompt->listing);
  }
  handshake(x, results_.list(x->message.era, "prompts", items, {}));
}

void Endpoint::list_templates(const ExchangePtr& x) {
  const auto from = page_from(x, "templates");
  if (!from) return;
  std::vector<std::string> found;
  for (const auto& family : services_.catalogue.families()) {
    if (!may_use(x->principal, family->operation())) continue;
    for (auto& entry : family->templates()) found.push_back(std::move(entry));
  }
  const std::vector<std::string_view> items(found.begin(), found.end());
  handshake(x, results_.list(x->message.era, "resourceTemplates", items, {}));
}

// The families one after the other; a position is "family:position within".
void Endpoint::list_resources(const ExchangePtr& x) {
  const auto from = page_from(x, "resources");
  if (!from || !admit_handshake(x)) return;
  on_worker(x, [this, x, from = *from] {
    const auto& families = services_.catalogue.families();
    const std::size_t colon = from.find(':');
    std::size_t index = colon == from.npos ? 0 : read_number(from.substr(0, colon)).value_or(0);
    std::string position = colon == from.npos ? "" : from.substr(colon + 1);
    std::vector<std::string> found;
    std::string next;
    for (; index < families.size() && next.empty(); position.clear()) {
      const int room = kResourcesPage - static_cast<int>(found.size());
      if (room == 0) {
        next = fmt::format("{}:", index);
        break;
      }
      if (!may_use(x->principal, families[index]->operation())) {
        ++index;
        continue;
      }
      auto page = families[index]->list(x->principal, position, room);
      if (!page) return answer(x, render_error(*x, page.error()));
      for (auto& listing : page->listings) found.push_back(std::move(listing));
      if (page->next.empty()) {
        ++index;
      } else {
        next = fmt::format("{}:{}", index, page->next);
      }
    }
    const std::vector<std::string_view> items(found.begin(), found.end());
    send(x,
         json_response(result_answer(x->rpc_id, results_.list(x->message.era, "resources", items,
                                                              cursor_to(*x, "resources", next)))),
         "done");
  });
}

void Endpoint::complete(const ExchangePtr& x) {
  const auto ref = x->message.params ? find_object(*x->message.params, "ref") : std::nullopt;
  const auto argument =
      x->message.params ? find_object(*x->message.params, "argument") : std::nullopt;
  const auto name = argument ? find_string(*argument, "name") : std::nullopt;
  const auto value = argument ? find_string(*argument, "value") : std::nullopt;
  if (!ref || !name || !value)
    return refuse_params(x, "params.ref and params.argument {name, value} are required");
  const std::string_view type = find_string(*ref, "type").value_or("");
  const tools::Prompt* prompt = nullptr;
  tools::ResourceFamily* family = nullptr;
  std::string uri;
  if (type == "ref/prompt") {
    prompt = services_.catalogue.find_prompt(find_string(*ref, "name").value_or(""));
  } else if (type == "ref/resource") {
    uri = std::string(find_string(*ref, "uri").value_or(""));
    family = services_.catalogue.family_of(uri);
  }
  if (prompt == nullptr && family == nullptr)
    return refuse_params(x, "params.ref names no prompt or resource template");
  if (!admit_handshake(x)) return;
  const policy::Operation& operation = family != nullptr ? family->operation() : get_prompt_;
  if (!may_use(x->principal, operation)) {
    return send(x, json_response(result_answer(x->rpc_id, results_.completion(x->message.era, {}))),
                "done");
  }
  on_worker(x, [this, x, prompt, family, uri, name = *name, value = *value] {
    const auto context = find_object(*x->message.params, "context");
    const auto settled = context ? find_object(*context, "arguments") : std::nullopt;
    const json::value arguments = settled ? settled->value() : json::object{};
    const tools::Typed typed{name, value, arguments.get_object()};
    tools::Completion found;
    if (family != nullptr) {
      found = family->complete(x->principal, uri, typed);
    } else if (prompt->complete) {
      found = prompt->complete(x->principal, typed);
    }
    send(x,
         json_response(result_answer(
             x->rpc_id, results_.completion(x->message.era, within_bounds(std::move(found))))),
         "done");
  });
}

}  // namespace kubiya::mcp
