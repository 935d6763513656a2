// SPDX-License-Identifier: Apache-2.0
#include "mcp/subscriptions.h"

#include <algorithm>
#include <utility>

namespace kubiya::mcp {
namespace {

constexpr std::string_view kSubscriptionId = R"("io.modelcontextprotocol/subscriptionId":)";
constexpr std::size_t kWaitingMax = 64;

}  // namespace

std::string_view list_changed_method(tools::Changes::List list) {
  switch (list) {
    case tools::Changes::List::tools:
      return "notifications/tools/list_changed";
    case tools::Changes::List::prompts:
      return "notifications/prompts/list_changed";
    case tools::Changes::List::resources:
      return "notifications/resources/list_changed";
  }
  return "notifications/tools/list_changed";
}

bool Listener::wants(tools::Changes::List list) const {
  switch (list) {
    case tools::Changes::List::tools:
      return wants_.tools;
    case tools::Changes::List::prompts:
      return wants_.prompts;
    case tools::Changes::List::resources:
      return wants_.resources;
  }
  return false;
}

std::string Listener::message(std::string_view method, std::string_view params) const {
  std::string out;
  out.reserve(160 + params.size() + id_.size());
  out.append(R"({"jsonrpc":"2.0","method":")").append(method).append(R"(","params":{)");
  if (!params.empty()) out.append(params).append(",");
  out.append(R"("_meta":{)").append(kSubscriptionId).append(id_).append("}}}");
  return out;
}

void Listener::open(http::EventStream out, std::string_view honoured) {
  const std::lock_guard lock(mutex_);
  out_ = std::move(out);
  out_.event(message("notifications/subscriptions/acknowledged",
                     std::string(R"("notifications":)").append(honoured)));
  for (const auto& text : waiting_) out_.event(text);
  waiting_.clear();
  waiting_.shrink_to_fit();
  open_ = true;
  if (ended_) say_end();
}

void Listener::notify(std::string_view method, std::string_view params) {
  const std::string text = message(method, params);
  const std::lock_guard lock(mutex_);
  if (open_) return out_.event(text);
  if (waiting_.size() < kWaitingMax) waiting_.push_back(text);
}

void Listener::end() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(ended_, true) || !open_) return;
  say_end();
}

void Listener::say_end() {
  std::string text = R"({"jsonrpc":"2.0","id":)" + id_;
  text.append(R"(,"result":{"resultType":"complete","_meta":{)");
  text.append(kSubscriptionId).append(id_).append("}}}");
  out_.event(text);
  out_.close();
}

bool Listener::gone() const {
  const std::lock_guard lock(mutex_);
  return open_ && !out_.open();
}

void Subscriptions::add(const std::shared_ptr<Listener>& listener) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(listener);
}

void Subscriptions::publish(tools::Changes::List list, const std::string& tenant) {
  std::vector<std::shared_ptr<Listener>> wanted;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& listener : listeners_) {
      if (!listener->wants(list)) continue;
      if (tenant.empty() || listener->principal()->facts().tenant == tenant)
        wanted.push_back(listener);
    }
  }
  for (const auto& listener : wanted) listener->notify(list_changed_method(list), {});
}

void Subscriptions::keep(const std::function<bool(const Listener&)>& kept) {
  std::vector<std::shared_ptr<Listener>> ended;
  {
    const std::lock_guard lock(mutex_);
    const auto first = std::stable_partition(listeners_.begin(), listeners_.end(),
                                             [&](const auto& listener) { return kept(*listener); });
    for (auto at = first; at != listeners_.end(); ++at) {
      ended.push_back(std::move(*at));
    }
    listeners_.erase(first, listeners_.end());
  }
  for (const auto& listener : ended) listener->end();
}

void Subscriptions::tick(Wall now) {
  keep([now](const Listener& listener) {
    return !listener.gone() && listener.principal()->facts().trusted_until > now;
  });
}

void Subscriptions::end_unless(const std::function<bool(const Principal&)>& good) {
  keep([&good](const Listener& listener) { return good(*listener.principal()); });
}

void Subscriptions::close_all() {
  decltype(listeners_) all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(listeners_);
  }
  for (const auto& listener : all) listener->end();
}

std::size_t Subscriptions::size() const {
  const std::lock_guard lock(mutex_);
  return listeners_.size();
}

}  // namespace kubiya::mcp
