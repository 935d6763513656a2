// SPDX-License-Identifier: Apache-2.0
#include "mcp/exchange.h"

#include <utility>
#include <vector>

namespace kubiya::mcp {
namespace {

constexpr std::size_t kSpareBlocks = 64;
thread_local std::vector<std::unique_ptr<unsigned char[]>> spare_blocks;

}  // namespace

ArenaBlock::ArenaBlock() {
  if (spare_blocks.empty()) {
    bytes_.reset(new unsigned char[kBytes]);
  } else {
    bytes_ = std::move(spare_blocks.back());
    spare_blocks.pop_back();
  }
}

ArenaBlock::~ArenaBlock() {
  if (spare_blocks.size() < kSpareBlocks) spare_blocks.push_back(std::move(bytes_));
}

void Exchange::notify(std::string_view json_text) {
  const std::lock_guard lock(mutex_);
  if (answered_) return;
  if (!stream_) stream_ = responder_.stream();
  stream_->event(json_text);
}

void Exchange::answer(http::Response response) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(answered_, true)) return;
  if (!stream_) {
    responder_.send(std::move(response));
    return;
  }
  stream_->event(response.body);
  stream_->close();
}

}  // namespace kubiya::mcp
