// SPDX-License-Identifier: Apache-2.0
//
// One client connection. Everything here runs on the connection's loop, but for
// the functions of Responder::Impl and what is marked otherwise.
//
//   handshake → idle → head → [admission] → body → exchange | stream → idle …
//                                                      └→ closing → lingering → closed
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "http/chunked.h"
#include "http/loop.h"
#include "http/message.h"
#include "http/parse.h"
#include "http/transport.h"

namespace kubiya::http {

// Shared by a connection and the EventStream that writes to it, from any thread.
struct StreamLink {
  std::atomic<bool> open{true};
  std::atomic<std::size_t> posted{0};   // bytes on their way to the loop
  std::atomic<std::size_t> backlog{0};  // bytes at the loop, not yet taken by the kernel
};

class Connection final : public std::enable_shared_from_this<Connection>, public Responder::Impl {
 public:
  Connection(std::shared_ptr<Loop> loop, Transport transport, const Address& peer);

  void on_ready(std::uint32_t events);  // of epoll
  void sweep(Mono now);
  void begin_drain();
  void end_drain();
  void close();  // at once

  std::size_t slot() const { return slot_; }
  void set_slot(std::size_t slot) { slot_ = slot; }
  const Address& peer() const { return peer_; }

  // Responder::Impl, on any thread.
  void send(Response&& response) override;
  EventStream stream(Response&& head) override;
  bool open() const override { return !gone_.load(std::memory_order_relaxed); }
  void post(std::function<void()> work) override { loop_->post(std::move(work)); }
  void release() override;

  // Of the stream that `link` names; ignored when it is no longer the current one.
  Loop& loop() { return *loop_; }
  void stream_write(const std::shared_ptr<StreamLink>& link, std::string_view bytes);
  void stream_end(const std::shared_ptr<StreamLink>& link);
  void stream_cut(const std::shared_ptr<StreamLink>& link);
  void admitted(std::unique_ptr<Response> refusal);

 private:
  enum class Phase {
    handshake,
    idle,
    head,
    admission,
    body,
    exchange,
    stream,
    closing,
    lingering,
    closed
  };
  // Bytes received and not yet used are [begin, end). The views of the request being served
  // point below `begin`, so nothing moves while one is.
  struct Input {
    Block data;
    std::size_t capacity = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::string_view view() const { return {data.get() + begin, end - begin}; }
    std::size_t space() const { return capacity - end; }
  };

  // connection.cpp: bytes in and out, timeouts, the end.
  void shake_hands();
  void keep_certificate();
  bool wants_input() const;
  bool receive();
  void on_end_of_input(bool in_order);
  void make_room();
  void release_buffers();
  void release_session();
  void flush();
  void on_flushed();
  std::size_t unsent() const { return out_.size() - sent_; }
  bool settle();
  void linger();
  void enter(Phase phase);

  // connection_request.cpp: from bytes to a call of the handler, and back to the next.
  void pump();
  bool work();
  std::size_t serve(std::size_t steps);
  bool step();
  bool read_head();
  bool begin_request();
  void describe_request();
  bool begin_body();
  bool ask_admission();
  void start_body();
  bool read_body();
  bool take_chunked_body();
  bool take_counted_body();
  void dispatch();
  void answer_self(const Response& response);
  void refuse(Fault fault);
  void tell_refused(Fault fault, bool known, bool in_body);
  void answer(Response&& response);
  void begin_stream(Response&& head, std::shared_ptr<StreamLink> link);
  void finish_exchange(bool close_after);
  void advance();
  bool last_answer() const;
  void publish_backlog();

  const std::shared_ptr<Loop> loop_;
  Transport transport_;
  const Address peer_;
  std::size_t slot_ = 0;

  Phase phase_;
  bool pumping_ = false;
  bool blocked_ = false;  // the kernel takes no more of out_ for now
  bool eof_ = false;
  bool close_after_ = false;
  bool trusted_ = false;
  bool admitted_ = false;
  std::atomic<bool> gone_{false};

  Mono since_{};           // start of the phase
  Mono write_progress_{};  // last time the kernel took bytes, or the first of them was there
  Mono last_event_{};

  Input in_;
  Block head_block_;         // the head's bytes, where a body needed a block of its own
  std::size_t body_at_ = 0;  // where body bytes begin in `in_`
  std::size_t scanned_ = 0;  // bytes of an incomplete head that were looked at
  std::string out_;          // to be handed to the kernel, from sent_ on
  std::size_t sent_ = 0;

  Head head_;
  Request request_;
  std::unique_ptr<const std::string> certificate_;  // the client's; null: none
  std::string_view cors_origin_;
  ChunkedDecoder chunks_;
  std::string body_;  // of a request that does not fit into `in_`
  std::size_t body_size_ = 0;
  std::size_t body_received_ = 0;
  std::shared_ptr<StreamLink> link_;
  std::shared_ptr<void> place_;  // of the stream

  // The next request may be parsed when this one is answered and its Responder gone.
  static constexpr unsigned kReleased = 1;
  static constexpr unsigned kAnswered = 2;
  std::atomic<unsigned> exchange_state_{0};
};

}  // namespace kubiya::http
