// SPDX-License-Identifier: Apache-2.0
#include "mcp/exchange.h"

namespace kubiya::mcp {

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
