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
      phase_(transport_.tls() ? Phase::handshake : Phase::idle),
      trusted_(loop_->shared().trusted.contains(peer)),
      since_(loop_->now()) {
  request_.loop = loop_->index();
}

void Connection::on_ready(std::uint32_t events) {
  if (phase_ == Phase::closed) return;
  loop_->refresh_now();
  transport_.note(events);
  if (phase_ == Phase::handshake) return shake_hands();
  pump();
}

void Connection::shake_hands() {
  if (transport_.needs_block()) transport_.lend_block(loop_->take_block());
  const Transfer done = transport_.handshake();
  if (done.state == Transfer::State::blocked) return;
  if (done.state != Transfer::State::some) return close();
  keep_certificate();
  enter(Phase::idle);
  pump();
  if (phase_ == Phase::idle && !in_.data) release_session();
}

void Connection::keep_certificate() {
  std::string certificate = transport_.certificate();
  if (certificate.empty()) return;
  certificate_ = std::make_unique<const std::string>(std::move(certificate));
  request_.certificate = *certificate_;
}

void Connection::enter(Phase phase) {
  phase_ = phase;
  since_ = loop_->now();
}

bool Connection::wants_input() const {
  if (eof_) return false;
  switch (phase_) {
    case Phase::idle:
    case Phase::head:
    case Phase::body:
    case Phase::lingering:
      return true;
    case Phase::exchange:
    case Phase::stream:
      // Reads ahead, which also tells that the client went away. A full buffer bounds it.
      return in_.space() > 0;
    case Phase::handshake:
    case Phase::admission:
    case Phase::closing:
    case Phase::closed:
      return false;
  }
  return false;
}

// True when bytes came in.
bool Connection::receive() {
  if (!transport_.readable() || !wants_input()) return false;
  if (transport_.needs_block()) transport_.lend_block(loop_->take_block());
  const bool into_body = phase_ == Phase::body && !head_.chunked && body_size_ < body_.size();
  if (!into_body) make_room();
  const Transfer got =
      into_body ? transport_.receive(body_.data() + body_size_, body_.size() - body_size_)
                : transport_.receive(in_.data.get() + in_.end, in_.space());
  if (got.state == Transfer::State::blocked) return false;
  if (got.state != Transfer::State::some) {
    on_end_of_input(got.state == Transfer::State::ended);
    return false;
  }
  if (phase_ == Phase::lingering) return true;
  (into_body ? body_size_ : in_.end) += got.count;
  body_received_ += got.count;
  return true;
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

void Connection::on_end_of_input(bool in_order) {
  eof_ = true;
  gone_.store(true, std::memory_order_relaxed);
  // A client that only ended its sending side still gets the answer it waits for.
  const bool may_listen = in_order && !transport_.tls();
  const bool answering =
      phase_ == Phase::exchange || phase_ == Phase::closing || (blocked_ && phase_ == Phase::idle);
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
  sent_ = 0;
  std::string().swap(body_);
  std::vector<Header>().swap(head_.headers);
}

// Hands to the kernel what it takes; on_ready() comes back for the rest.
void Connection::flush() {
  if (phase_ == Phase::closed || unsent() == 0) return;
  if (!blocked_) write_progress_ = loop_->now();
  while (unsent() > 0) {
    const Transfer sent = transport_.send(out_.data() + sent_, unsent());
    if (sent.state == Transfer::State::blocked) break;
    if (sent.state != Transfer::State::some) return close();
    sent_ += sent.count;
    write_progress_ = loop_->now();
  }
  if (unsent() == 0) return on_flushed();
  blocked_ = true;
  if (sent_ > kOutputKept) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
  publish_backlog();
}

void Connection::on_flushed() {
  out_.clear();
  sent_ = 0;
  if (out_.capacity() > kOutputKept || loop_->crowded()) std::string().swap(out_);
  if (loop_->crowded()) transport_.free_session_buffers();
  if (std::exchange(blocked_, false) && phase_ == Phase::idle) since_ = loop_->now();
  publish_backlog();
}

// After everything at hand was served and sent: whether more input is to be received.
bool Connection::settle() {
  const bool between = phase_ == Phase::idle || phase_ == Phase::head || phase_ == Phase::body;
  // While an answer is on its way the next bytes can wait.
  if (blocked_ && (between || phase_ == Phase::closing)) return false;
  if (phase_ == Phase::closing) linger();
  const bool done = phase_ == Phase::idle && loop_->draining() && in_.view().empty();
  if (between && (eof_ || done)) close();
  return phase_ != Phase::closed;
}

// Closing a socket with unread input resets it, and the reset may destroy the answer on
// its way. So: end our side, swallow what still comes for a moment, then close.
void Connection::linger() {
  if (eof_) return close();
  transport_.shutdown_send();
  enter(Phase::lingering);
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
  place_.reset();
  transport_.close();
  // A handler may still read the request; then the bytes go with the last reference.
  if (!lent) release_buffers();
  loop_->remove(*this);
}

void Connection::begin_drain() {
  if (phase_ == Phase::idle && !blocked_ && in_.view().empty()) close();
}

void Connection::end_drain() {
  if (phase_ == Phase::stream && link_) {
    link_->open.store(false, std::memory_order_relaxed);
    const auto link = link_;
    close_after_ = true;
    stream_end(link);
  } else if (phase_ != Phase::closing && phase_ != Phase::lingering && !blocked_) {
    close();
  }
}

void Connection::sweep(Mono now) {
  const Limits& limits = loop_->shared().limits;
  const auto spent = now - since_;
  if (blocked_ && now - write_progress_ > limits.write_stall) return close();
  switch (phase_) {
    case Phase::handshake:
      if (spent > limits.tls_handshake) close();
      return;
    case Phase::idle:
      if (blocked_) return;
      if (spent > limits.idle) return close();
      if (spent > kHoldBuffers && in_.data && in_.view().empty()) release_buffers();
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
      if (now - last_event_ > limits.event_comment && link_ && !blocked_) {
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
