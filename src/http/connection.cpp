// SPDX-License-Identifier: Apache-2.0
#include "http/connection.h"

#include <algorithm>
#include <cstring>

namespace kubiya::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kHoldBuffers{1'000};
constexpr milliseconds kLinger{2'000};
constexpr milliseconds kBodyRateGrace{5'000};
constexpr std::size_t kOutputKept = 256 * 1024;

}  // namespace

Connection::Connection(std::shared_ptr<Loop> loop, Transport transport, const Address& peer)
    : loop_(std::move(loop)),
      transport_(std::move(transport)),
      peer_(peer),
      trusted_(loop_->shared().trusted.contains(peer)) {
  request_.loop = loop_->index();
}

void Connection::start() {
  enter(Phase::handshake);
  if (!transport_.tls()) {
    enter(Phase::idle);
    arm_read();
    return;
  }
  transport_.lend_block(loop_->take_block());
  transport_.handshake([self = shared_from_this()](ErrorCode error) {
    if (self->phase_ == Phase::closed) return;
    if (error) return self->close();
    self->loop_->refresh_now();
    self->enter(Phase::idle);
    self->arm_read();
  });
}

void Connection::enter(Phase phase) {
  phase_ = phase;
  since_ = loop_->now();
}

// Starts the one read that suits the phase, unless it is running.
void Connection::arm_read() {
  if (reading_ != Reading::no || eof_) return;
  switch (phase_) {
    case Phase::idle:
      if (in_.data) return read_more();
      release_session();
      reading_ = Reading::waiting;
      transport_.wait_readable([self = shared_from_this()](ErrorCode error, std::size_t count) {
        self->on_read(error, count);
      });
      return;
    case Phase::head:
    case Phase::body:
    case Phase::lingering:
      return read_more();
    case Phase::exchange:
    case Phase::stream:
      // Reads ahead, which also tells that the client went away. A full buffer bounds it.
      if (in_.space() > 0) read_more();
      return;
    case Phase::handshake:
    case Phase::admission:
    case Phase::closing:
    case Phase::closed:
      return;
  }
}

void Connection::read_more() {
  char* target = nullptr;
  std::size_t size = 0;
  if (phase_ == Phase::body && !head_.chunked && body_size_ < body_.size()) {
    reading_ = Reading::body;
    target = body_.data() + body_size_;
    size = body_.size() - body_size_;
  } else {
    reading_ = Reading::input;
    make_room();
    target = in_.data.get() + in_.end;
    size = in_.space();
  }
  if (transport_.needs_block()) transport_.lend_block(loop_->take_block());
  transport_.read_some(target, size,
                       [self = shared_from_this()](ErrorCode error, std::size_t count) {
                         self->on_read(error, count);
                       });
}

// Leaves free space behind in_.end. Bytes move only between requests, when no view exists.
void Connection::make_room() {
  if (!in_.data) {
    in_ = Input{loop_->take_block(), kBlockBytes, 0, 0};
    return;
  }
  if (phase_ == Phase::lingering) in_.begin = in_.end = 0;
  if (in_.space() > 0) return;
  if (phase_ == Phase::body) {
    // The head fills the block; its views stay valid while chunks arrive in another one.
    ASSERT(in_.begin == in_.end && !head_block_, "chunks are decoded as they arrive");
    head_block_ = std::move(in_.data);
    in_ = Input{loop_->take_block(), kBlockBytes, 0, 0};
    body_at_ = 0;
    return;
  }
  ASSERT(phase_ == Phase::idle || phase_ == Phase::head, "bytes move between requests only");
  const std::size_t used = in_.end - in_.begin;
  if (in_.begin > 0) {
    std::memmove(in_.data.get(), in_.data.get() + in_.begin, used);
  } else {
    const std::size_t larger =
        std::max(in_.capacity * 2, head_bytes_max(loop_->shared().head_limits) + 64);
    Block data(new char[larger]);
    std::memcpy(data.get(), in_.data.get(), used);
    in_.data = std::move(data);
    in_.capacity = larger;
  }
  in_.begin = 0;
  in_.end = used;
}

void Connection::on_read(ErrorCode error, std::size_t count) {
  const Reading kind = std::exchange(reading_, Reading::no);
  if (phase_ == Phase::closed) return;
  loop_->refresh_now();
  if (error) {
    if (error != asio::error::operation_aborted) return on_end_of_input(error);
    // Cancelled by the sweep, or by a request that came in at that very moment.
    if (std::exchange(release_asked_, false) && phase_ == Phase::idle) release_buffers();
    return arm_read();
  }
  release_asked_ = false;
  if (kind == Reading::body) {
    body_size_ += count;
  } else if (kind == Reading::input && phase_ != Phase::lingering) {
    in_.end += count;
  } else if (kind == Reading::waiting) {
    return read_more();
  }
  body_received_ += count;
  if (phase_ == Phase::lingering) return arm_read();
  pump();
}

void Connection::on_end_of_input(ErrorCode error) {
  eof_ = true;
  gone_.store(true, std::memory_order_relaxed);
  // A client that only ended its sending side still gets the answer it waits for.
  const bool may_listen = error == asio::error::eof && !transport_.tls();
  const bool answering =
      phase_ == Phase::exchange || phase_ == Phase::closing || (writing_ && phase_ == Phase::idle);
  if (may_listen && answering) return;
  close();
}

void Connection::release_session() {
  transport_.free_session_buffers();
  if (Block block = transport_.take_block()) loop_->give_block(std::move(block));
}

void Connection::release_buffers() {
  release_session();
  if (in_.capacity == kBlockBytes) loop_->give_block(std::move(in_.data));
  in_ = Input{};
  // Assignment of an empty string would keep the memory.
  std::string().swap(out_);
  std::string().swap(sending_);
  std::string().swap(body_);
  std::vector<Header>().swap(head_.headers);
}

void Connection::flush() {
  if (writing_ || out_.empty() || phase_ == Phase::closed) return;
  out_.swap(sending_);
  sent_ = 0;
  writing_ = true;
  write_progress_ = loop_->now();
  write_more();
}

void Connection::write_more() {
  transport_.write_some(sending_.data() + sent_, sending_.size() - sent_,
                        [self = shared_from_this()](ErrorCode error, std::size_t count) {
                          self->on_written(error, count);
                        });
}

void Connection::on_written(ErrorCode error, std::size_t count) {
  if (phase_ == Phase::closed) return;
  // cancel() is for the idle read and happens only while nothing is written.
  if (error) return close();
  write_progress_ = loop_->refresh_now();
  sent_ += count;
  if (sent_ < sending_.size()) {
    publish_backlog();
    return write_more();
  }
  writing_ = false;
  sending_.clear();
  if (sending_.capacity() > kOutputKept || loop_->crowded()) std::string().swap(sending_);
  if (loop_->crowded()) {
    if (out_.empty()) std::string().swap(out_);
    transport_.free_session_buffers();
  }
  sent_ = 0;
  if (phase_ == Phase::idle) since_ = loop_->now();
  publish_backlog();
  if (!out_.empty()) return flush();
  pump();
}

// Closing a socket with unread input resets it, and the reset may destroy the answer on
// its way. So: end our side, swallow what still comes for a moment, then close.
void Connection::linger() {
  if (eof_) return close();
  transport_.shutdown_send();
  enter(Phase::lingering);
  arm_read();
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  const auto self = shared_from_this();
  const bool lent =
      phase_ == Phase::exchange || phase_ == Phase::stream || phase_ == Phase::admission;
  phase_ = Phase::closed;
  gone_.store(true, std::memory_order_relaxed);
  if (link_) link_->open.store(false, std::memory_order_relaxed);
  link_.reset();
  transport_.close();
  // A handler may still read the request; then the bytes go with the last reference.
  if (!lent) release_buffers();
  loop_->remove(*this);
}

void Connection::begin_drain() {
  if (phase_ == Phase::idle && !writing_ && in_.begin == in_.end) close();
}

void Connection::end_drain() {
  if (phase_ == Phase::stream && link_) {
    link_->open.store(false, std::memory_order_relaxed);
    const auto link = link_;
    close_after_ = true;
    stream_end(link);
  } else if (phase_ != Phase::closing && phase_ != Phase::lingering && !writing_) {
    close();
  }
}

void Connection::sweep(Mono now) {
  const Limits& limits = loop_->shared().limits;
  const auto spent = now - since_;
  if (writing_ && now - write_progress_ > limits.write_stall) return close();
  switch (phase_) {
    case Phase::handshake:
      if (spent > limits.tls_handshake) close();
      return;
    case Phase::idle:
      if (writing_) return;
      if (spent > limits.idle) return close();
      if (spent > kHoldBuffers && in_.data && reading_ == Reading::input) {
        release_asked_ = true;
        transport_.cancel();
      }
      return;
    case Phase::head:
      if (spent > limits.headers) refuse(Fault::slow_headers);
      return;
    case Phase::body: {
      const auto whole_seconds = std::chrono::duration_cast<seconds>(spent).count();
      const bool slow =
          spent > kBodyRateGrace && body_received_ < limits.body_bytes_per_second_min *
                                                         static_cast<std::size_t>(whole_seconds);
      if (slow || spent > limits.body) refuse(Fault::slow_body);
      return;
    }
    case Phase::stream:
      if (now - last_event_ > limits.event_comment && link_ && !writing_) {
        const auto link = link_;
        stream_write(link, ": keep-alive\n\n");
      }
      return;
    case Phase::lingering:
      if (spent > kLinger) close();
      return;
    case Phase::admission:
    case Phase::exchange:
    case Phase::closing:
    case Phase::closed:
      return;
  }
}

}  // namespace kubiya::http
