// SPDX-License-Identifier: Apache-2.0
//
// The memory of a connection that has work to do.
#pragma once

#include <cstddef>
#include <memory>

namespace kubiya::http {

inline constexpr std::size_t kBlockBytes = 8 * 1024;

// Blocks come in pages of their own: one that is freed goes back to the system at once, where the
// heap would keep it behind what a neighbour still holds.
struct BlockDeleter {
  std::size_t mapped = 0;  // bytes; 0: from the heap
  void operator()(char* bytes) const;
};
using Block = std::unique_ptr<char[], BlockDeleter>;

}  // namespace kubiya::http
