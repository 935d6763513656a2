// SPDX-License-Identifier: Apache-2.0
//
// First in, first out for each owner; owners take turns, so that nobody's hundred
// waiting items stand before another's first.
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
  void push(const std::string& owner, Item item) {
    ++size_;
    for (auto& lane : lanes_) {
      if (lane.first == owner) {
        lane.second.push_back(std::move(item));
        return;
      }
    }
    lanes_.emplace_back(owner, std::deque<Item>{});
    lanes_.back().second.push_back(std::move(item));
  }

  // The next item; its owner goes to the end of the round.
  std::optional<Item> pop() {
    if (lanes_.empty()) return std::nullopt;
    auto& items = lanes_.front().second;
    Item item = std::move(items.front());
    items.pop_front();
    --size_;
    if (items.empty()) {
      lanes_.pop_front();
    } else {
      lanes_.splice(lanes_.end(), lanes_, lanes_.begin());
    }
    return item;
  }

  template <class Predicate>
  void remove_if(Predicate predicate) {
    for (auto lane = lanes_.begin(); lane != lanes_.end();) {
      size_ -= std::erase_if(lane->second, predicate);
      lane = lane->second.empty() ? lanes_.erase(lane) : std::next(lane);
    }
  }

  std::size_t size() const { return size_; }
  std::size_t size_of(const std::string& owner) const {
    for (const auto& lane : lanes_) {
      if (lane.first == owner) return lane.second.size();
    }
    return 0;
  }

 private:
  std::list<std::pair<std::string, std::deque<Item>>> lanes_;
  std::size_t size_ = 0;
};

}  // namespace kubiya::engine
