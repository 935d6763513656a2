// SPDX-License-Identifier: Apache-2.0
//
// First in, first out for each owner. Tenants take turns, and within a tenant its
// owners, so that nobody's hundred waiting items stand before another's first.
#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <utility>

namespace kubiya::engine {

template <class Item>
class FairQueue {
 public:
  void push(const std::string& tenant, const std::string& owner, Item item) {
    ++size_;
    lane(lane(tenants_, tenant), owner).push_back(std::move(item));
  }

  // The next item of somebody who `may(tenant, owner)` have one; that tenant and owner go to the
  // end of their rounds.
  template <class Predicate>
  std::optional<Item> pop(Predicate may) {
    for (auto tenant = tenants_.begin(); tenant != tenants_.end(); ++tenant) {
      auto& owners = tenant->second;
      for (auto owner = owners.begin(); owner != owners.end(); ++owner) {
        if (!may(tenant->first, owner->first)) continue;
        Item item = std::move(owner->second.front());
        owner->second.pop_front();
        --size_;
        next_round(owners, owner);
        next_round(tenants_, tenant);
        return item;
      }
    }
    return std::nullopt;
  }
  std::optional<Item> pop() {
    return pop([](const std::string&, const std::string&) { return true; });
  }

  template <class Predicate>
  void remove_if(Predicate predicate) {
    for (auto& [tenant, owners] : tenants_) {
      for (auto& [owner, items] : owners) size_ -= std::erase_if(items, predicate);
      std::erase_if(owners, [](const auto& one) { return one.second.empty(); });
    }
    std::erase_if(tenants_, [](const auto& one) { return one.second.empty(); });
  }

  std::size_t size() const { return size_; }

 private:
  template <class Lane>
  using Round = std::list<std::pair<std::string, Lane>>;
  using Owners = Round<std::deque<Item>>;

  template <class Lane>
  static Lane& lane(Round<Lane>& round, const std::string& name) {
    for (auto& one : round) {
      if (one.first == name) return one.second;
    }
    return round.emplace_back(name, Lane{}).second;
  }

  template <class Lane>
  static void next_round(Round<Lane>& round, typename Round<Lane>::iterator at) {
    if (at->second.empty()) {
      round.erase(at);
    } else {
      round.splice(round.end(), round, at);
    }
  }

  Round<Owners> tenants_;
  std::size_t size_ = 0;
};

}  // namespace kubiya::engine
