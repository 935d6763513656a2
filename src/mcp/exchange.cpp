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

void Exchange::open_stream() {
  if (stream_ || session_stream_) return;
  http::Response head;
  head.place = stream_place;
  http::EventStream out = responder_.stream(std::move(head));
  if (session) {
    session_stream_ = session->open_stream(std::move(out));
  } else {
    stream_ = std::move(out);
  }
}

void Exchange::notify(std::string_view json_text) {
  const std::lock_guard lock(mutex_);
  if (answered_) return;
  open_stream();
  if (session_stream_) return session_stream_->event(json_text);
  stream_->event(json_text);
}

void Exchange::answer(http::Response response) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(answered_, true)) return;
  if (session_stream_) return session_stream_->finish(response.body);
  if (!stream_) {
    responder_.send(std::move(response));
    return;
  }
  stream_->event(response.body);
  stream_->close();
}

bool Exchange::is_awaited() {
  const std::lock_guard lock(mutex_);
  if (answered_) return false;
  if (session_stream_) return true;  // it can be taken up again
  return stream_ ? stream_->open() : responder_.open();
}

void Exchange::abandon() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(answered_, true)) return;
  if (session_stream_) return session_stream_->close();
  if (stream_) return stream_->close();
  http::Response nothing;
  nothing.status = 202;
  responder_.send(std::move(nothing));
}

void Exchange::let_go() {
  constexpr std::chrono::milliseconds kRetry{500};
  const std::lock_guard lock(mutex_);
  if (answered_) return;
  open_stream();
  if (session_stream_) session_stream_->let_go(kRetry);
}

http::EventStream Exchange::detach(std::shared_ptr<void> place) {
  const std::lock_guard lock(mutex_);
  ASSERT(!answered_ && !stream_ && !session_stream_, "a stream is the whole answer");
  answered_ = true;
  http::Response head;
  head.place = std::move(place);
  return responder_.stream(std::move(head));
}

}  // namespace kubiya::mcp
