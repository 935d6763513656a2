// SPDX-License-Identifier: Apache-2.0
//
// One event loop: its io_context, its listening sockets, its connections and the
// one coarse timer that enforces every timeout of theirs. The sockets of connections are watched
// by an epoll of the loop's own, edge-triggered, which the io_context watches as one descriptor.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "http/block.h"
#include "http/fault.h"
#include "http/render.h"
#include "http/shared.h"
#include "http/transport.h"

namespace kubiya::http {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

class Connection;

class Loop : public std::enable_shared_from_this<Loop> {
 public:
  Loop(int index, std::shared_ptr<Shared> shared);
  ~Loop();

  // Any thread.
  void post(std::function<void()> work);  // dropped once the loop has ended
  bool on_loop() const;
  int index() const { return index_; }
  Shared& shared() const { return *shared_; }
  std::uint64_t requests() const { return requests_.load(std::memory_order_relaxed); }
  void add_refused(std::map<std::string_view, std::uint64_t>& by_reason) const;

  // Before run().
  void add_listener(int descriptor, bool v6);

  void run();   // until stop(); on the loop's own thread
  void stop();  // any thread: closes everything and lets run() return

  // On the loop only.
  void every(std::chrono::milliseconds interval, std::function<void(int)> work);
  void begin_drain();
  void end_drain();  // ends streams in order and closes what is not writing
  bool draining() const { return draining_; }
  Mono now() const { return now_; }
  Mono refresh_now() { return now_ = std::chrono::steady_clock::now(); }
  // With so many connections, memory kept by each for its next request adds up.
  bool crowded() const { return connections_.size() > 1'000; }
  const HeadCache& heads() const { return heads_; }
  void count_request() { bump(requests_); }
  void count_refused(Fault fault) { bump(refused_[static_cast<std::size_t>(fault)]); }
  Block take_block();  // kBlockBytes long
  void give_block(Block block);
  void remove(Connection& connection);

 private:
  // The concrete executor: any_io_executor costs half a microsecond per completion.
  using Executor = asio::io_context::executor_type;
  using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
  struct Listener {
    Acceptor acceptor;
    bool paused = false;  // out of descriptors; tried again at the next sweep
  };
  struct Chore {
    std::chrono::milliseconds interval;
    Mono next;
    std::function<void(int)> work;
  };

  // Only the loop writes, so no locked instruction is needed.
  static void bump(std::atomic<std::uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void accept(Listener& listener);
  bool take_waiting(Listener& listener);
  void admit(Descriptor socket, const Address& peer);
  void await_ready();
  void serve_ready();
  void shed_one(Listener& listener);
  void arm_sweep();
  void sweep();
  void run_inbox();
  void close_listeners();
  void close_all();

  const int index_;
  const std::shared_ptr<Shared> shared_;
  // Sockets and timers are used on this loop's thread only; posting locks all the same.
  asio::io_context io_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<Executor> work_;
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>, Executor>
      timer_;
  asio::posix::basic_stream_descriptor<Executor> ready_;  // the epoll of the connections
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::shared_ptr<Connection>> connections_;
  // Closed while events are being served, which may name them again.
  std::vector<std::shared_ptr<Connection>> leaving_;
  bool serving_ = false;
  std::vector<Chore> chores_;
  std::vector<Block> blocks_;
  HeadCache heads_;
  Mono now_{};
  bool draining_ = false;
  bool stopping_ = false;
  int reserve_ = -1;  // given up for a moment when descriptors run out
  std::atomic<std::uint64_t> requests_{0};
  std::array<std::atomic<std::uint64_t>, kFaults> refused_{};

  std::mutex inbox_mutex_;
  std::vector<std::function<void()>> inbox_;
  bool ended_ = false;  // guarded by inbox_mutex_
};

}  // namespace kubiya::http
