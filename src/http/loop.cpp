// SPDX-License-Identifier: Apache-2.0
#include "http/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "http/connection.h"

namespace kubiya::http {
namespace {

constexpr std::chrono::milliseconds kSweepInterval{250};
constexpr std::size_t kSpareBlocksMax = 64;

thread_local const Loop* current_loop = nullptr;

#if defined(__SANITIZE_ADDRESS__)
Block map_block() { return Block(new char[kBlockBytes]); }  // so that overruns are seen
#else
Block map_block() {
  void* const pages =
      ::mmap(nullptr, kBlockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return Block(new char[kBlockBytes]);
  return Block(static_cast<char*>(pages), BlockDeleter{kBlockBytes});
}
#endif

int open_reserve() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

Address address_of(const asio::ip::address& address) {
  const asio::ip::address_v6 v6 =
      address.is_v6() ? address.to_v6()
                      : asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4());
  Address out;
  const auto bytes = v6.to_bytes();
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  return out;
}

}  // namespace

void BlockDeleter::operator()(char* bytes) const {
  if (mapped == 0) {
    delete[] bytes;
  } else {
    ::munmap(bytes, mapped);
  }
}

Loop::Loop(int index, std::shared_ptr<Shared> shared)
    : index_(index),
      shared_(std::move(shared)),
      work_(io_.get_executor()),
      timer_(io_),
      now_(std::chrono::steady_clock::now()),
      reserve_(open_reserve()) {
  heads_.set_time(std::time(nullptr));
}

Loop::~Loop() {
  if (reserve_ >= 0) ::close(reserve_);
}

void Loop::add_refused(std::map<std::string_view, std::uint64_t>& by_reason) const {
  for (std::size_t i = 0; i < kFaults; ++i) {
    const std::uint64_t count = refused_[i].load(std::memory_order_relaxed);
    if (count != 0) by_reason[name_of(static_cast<Fault>(i))] += count;
  }
}

bool Loop::on_loop() const { return current_loop == this; }

void Loop::post(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(inbox_mutex_);
    if (ended_) return;
    first = inbox_.empty();
    inbox_.push_back(std::move(work));
  }
  if (first) asio::post(io_, [this] { run_inbox(); });
}

void Loop::run_inbox() {
  std::vector<std::function<void()>> works;
  {
    const std::lock_guard lock(inbox_mutex_);
    works.swap(inbox_);
  }
  refresh_now();
  for (auto& work : works) work();
}

void Loop::add_listener(int descriptor, bool v6) {
  const auto protocol = v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4();
  listeners_.push_back(std::make_unique<Listener>(Listener{Acceptor(io_, protocol, descriptor)}));
}

void Loop::run() {
  current_loop = this;
  // OpenSSL writes to the descriptor without MSG_NOSIGNAL; a peer that left must not kill us.
  sigset_t pipe_only;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_only, nullptr);
  for (auto& listener : listeners_) accept(*listener);
  arm_sweep();
  io_.run();
  // Connections may outlive us in a handler's hands; what they post from now on is dropped.
  std::vector<std::function<void()>> dropped;
  {
    const std::lock_guard lock(inbox_mutex_);
    ended_ = true;
    dropped.swap(inbox_);
  }
  dropped.clear();
  current_loop = nullptr;
}

void Loop::stop() {
  post([this] {
    stopping_ = true;
    close_listeners();
    close_all();
    timer_.cancel();
    work_.reset();
  });
}

void Loop::accept(Listener& listener) {
  listener.acceptor.async_accept(
      io_.get_executor(), [this, &listener](ErrorCode error, Socket socket) {
        if (stopping_ || draining_ || error == asio::error::operation_aborted) return;
        if (!error) {
          admit(std::move(socket));
        } else if (error != asio::error::connection_aborted) {
          return shed_one(listener);
        }
        accept(listener);
      });
}

// Out of descriptors or memory: the backlog would keep the listener readable for ever. One
// descriptor held in reserve takes the oldest waiting connection off it, so that its client learns
// at once.
void Loop::shed_one(Listener& listener) {
  log::warn("cannot accept, refusing connections for a moment");
  if (reserve_ >= 0) ::close(reserve_);
  const int refused =
      ::accept4(listener.acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (refused >= 0) ::close(refused);
  reserve_ = open_reserve();
  listener.paused = true;
}

void Loop::admit(Socket socket) {
  ErrorCode error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return;
  socket.non_blocking(true, error);
  if (!error) socket.set_option(asio::ip::tcp::no_delay(true), error);
  const Address peer = address_of(endpoint.address());
  if (error || !shared_->counts.enter(peer)) return;
  SslPtr ssl;
  if (shared_->tls.enabled()) {
    ssl = shared_->tls.session(socket.native_handle());
    if (!ssl) {
      shared_->counts.leave(peer);
      return;
    }
  }
  refresh_now();
  auto connection = std::make_shared<Connection>(
      shared_from_this(), Transport(std::move(socket), std::move(ssl)), peer);
  connection->set_slot(connections_.size());
  connections_.push_back(connection);
  connection->start();
}

void Loop::remove(Connection& connection) {
  const std::size_t slot = connection.slot();
  shared_->counts.leave(connection.peer());
  connections_.back()->set_slot(slot);
  std::swap(connections_[slot], connections_.back());
  connections_.pop_back();
}

void Loop::arm_sweep() {
  timer_.expires_after(kSweepInterval);
  timer_.async_wait([this](ErrorCode error) {
    if (error || stopping_) return;
    sweep();
    arm_sweep();
  });
}

void Loop::sweep() {
  refresh_now();
  heads_.set_time(std::time(nullptr));
  // Backwards: a connection that closes swaps itself with the last one, already seen.
  for (std::size_t i = connections_.size(); i-- > 0;) {
    if (i < connections_.size()) connections_[i]->sweep(now_);
  }
  for (std::size_t i = 0; i < chores_.size(); ++i) {
    if (chores_[i].next > now_) continue;
    chores_[i].next = now_ + chores_[i].interval;
    chores_[i].work(index_);
  }
  for (auto& listener : listeners_) {
    if (!listener->paused) continue;
    listener->paused = false;
    accept(*listener);
  }
}

void Loop::every(std::chrono::milliseconds interval, std::function<void(int)> work) {
  chores_.push_back({interval, now_ + interval, std::move(work)});
}

void Loop::close_listeners() {
  for (auto& listener : listeners_) {
    ErrorCode ignored;
    listener->acceptor.close(ignored);
    listener->paused = false;
  }
}

void Loop::begin_drain() {
  draining_ = true;
  close_listeners();
  const auto open = connections_;
  for (const auto& connection : open) connection->begin_drain();
}

void Loop::end_drain() {
  const auto open = connections_;
  for (const auto& connection : open) connection->end_drain();
}

void Loop::close_all() {
  const auto open = connections_;
  for (const auto& connection : open) connection->close();
}

Block Loop::take_block() {
  if (blocks_.empty()) return map_block();
  Block block = std::move(blocks_.back());
  blocks_.pop_back();
  return block;
}

void Loop::give_block(Block block) {
  if (blocks_.size() < kSpareBlocksMax) blocks_.push_back(std::move(block));
}

}  // namespace kubiya::http
