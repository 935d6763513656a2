// SPDX-License-Identifier: Apache-2.0
//
// A value that must never be printed: tokens, API keys, peppers. It has no
// stream operator, no conversion and no comparison; whoever needs the bytes
// says reveal() and can be found by that word. The bytes are wiped on
// destruction and on move. Short values live on the heap too, so that a moved
// std::string leaves no copy behind in a small buffer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace kubiya {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view value);
  Secret(const Secret& other);
  Secret& operator=(const Secret& other);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  // Copies `value` and wipes the source.
  static Secret take(std::string&& value);

  std::string_view reveal() const { return {data_.get(), size_}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  void wipe() noexcept;
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
};

// Overwrites memory in a way the compiler may not remove.
void wipe_memory(void* data, std::size_t size) noexcept;

}  // namespace kubiya
