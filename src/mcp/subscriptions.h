// SPDX-License-Identifier: Apache-2.0
//
// Open `subscriptions/listen` streams of the modern era (MCP 2026-07-28, "Subscriptions"): who
// wants to hear of what, and the notifications that tell. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/principal.h"
#include "http/message.h"
#include "tools/catalogue.h"

namespace kubiya::mcp {

// One listener. What is published before it was acknowledged waits.
class Listener {
 public:
  struct Wants {
    bool tools = false;
    bool prompts = false;
    bool resources = false;
  };
  // `id` is JSON text: the request's, by which each notification is tagged.
  Listener(std::string id, Wants wants, PrincipalPtr principal)
      : id_(std::move(id)), wants_(wants), principal_(std::move(principal)) {}

  const PrincipalPtr& principal() const { return principal_; }
  bool wants(tools::Changes::List list) const;
  void hold(std::unique_ptr<tools::Watch> watch) { watches_.push_back(std::move(watch)); }

  // Once: says which wishes are honoured, then all that happened since. `honoured` is JSON text.
  void open(http::EventStream out, std::string_view honoured);
  // `params` is JSON text of members without braces, may be empty.
  void notify(std::string_view method, std::string_view params);
  // The answer to the request, which ends the stream.
  void end();
  bool gone() const;

 private:
  std::string message(std::string_view method, std::string_view params) const;
  void say_end();

  const std::string id_;
  const Wants wants_;
  const PrincipalPtr principal_;
  std::vector<std::unique_ptr<tools::Watch>> watches_;
  mutable std::mutex mutex_;
  bool open_ = false;
  bool ended_ = false;
  std::vector<std::string> waiting_;
  http::EventStream out_;
};

class Subscriptions {
 public:
  void add(const std::shared_ptr<Listener>& listener);
  void publish(tools::Changes::List list, const std::string& tenant);
  // Forgets who is gone, ends whose credential has run out.
  void tick(Wall now);
  // Ends those whose principal is no longer good.
  void end_unless(const std::function<bool(const Principal&)>& good);
  void close_all();
  std::size_t size() const;

 private:
  void keep(const std::function<bool(const Listener&)>& kept);

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Listener>> listeners_;
};

// "notifications/tools/list_changed" and its like.
std::string_view list_changed_method(tools::Changes::List list);

}  // namespace kubiya::mcp
