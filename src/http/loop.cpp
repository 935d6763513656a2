// SPDX-License-Identifier: Apache-2.0
#include "http/loop.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "http/connection.h"

namespace kubiya::http {
namespace {

constexpr std::chrono::milliseconds kSweepInterval{250};
constexpr std::size_t kSpareBlocksMax = 64;
constexpr int kAcceptsInARow = 64;
constexpr std::size_t kEventsInARow = 128;

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

Address address_of(const sockaddr_storage& peer) {
  Address out;
  if (peer.ss_family == AF_INET6) {
    std::memcpy(out.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr, 16);
  } else {
    out.bytes[10] = out.bytes[11] = 0xff;  // IPv4-mapped, RFC 4291 §2.5.5.2
    std::memcpy(out.bytes.data() + 12, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, 4);
  }
  return out;
}

int open_epoll() {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  ASSERT(epoll >= 0, "a loop is made while descriptors are left");
  return epoll;
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
      ready_(io_, open_epoll()),
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
  await_ready();
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
    ready_.cancel();
    work_.reset();
  });
}

void Loop::accept(Listener& listener) {
  listener.acceptor.async_wait(Acceptor::wait_read, [this, &listener](ErrorCode error) {
    if (stopping_ || draining_ || error) return;
    refresh_now();
    if (take_waiting(listener)) accept(listener);
  });
}

// False when the machine could not take one: the listener then rests until the next sweep.
bool Loop::take_waiting(Listener& listener) {
  for (int i = 0; i < kAcceptsInARow; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    Descriptor socket(::accept4(listener.acceptor.native_handle(),
                                reinterpret_cast<sockaddr*>(&peer), &size,
                                SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      admit(std::move(socket), address_of(peer));
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != ECONNABORTED && errno != EINTR) {
      shed_one(listener);
      return false;
    }
  }
  return true;
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

void Loop::admit(Descriptor socket, const Address& peer) {
  const int on = 1;
  if (::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return;
  if (!shared_->counts.enter(peer)) return;
  SslPtr ssl;
  if (shared_->tls.enabled()) {
    ssl = shared_->tls.session(socket.get());
    if (!ssl) {
      shared_->counts.leave(peer);
      return;
    }
  }
  const int descriptor = socket.get();
  auto connection = std::make_shared<Connection>(
      shared_from_this(), Transport(std::move(socket), std::move(ssl)), peer);
  connection->set_slot(connections_.size());
  connections_.push_back(connection);
  epoll_event event{};
  event.events = Transport::kEdges;
  event.data.ptr = connection.get();
  if (::epoll_ctl(ready_.native_handle(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
    connection->close();
  }
}

void Loop::await_ready() {
  ready_.async_wait(asio::posix::descriptor_base::wait_read, [this](ErrorCode error) {
    if (stopping_ || error) return;
    serve_ready();
    await_ready();
  });
}

void Loop::serve_ready() {
  std::array<epoll_event, kEventsInARow> events;
  const int count = ::epoll_wait(ready_.native_handle(), events.data(), events.size(), 0);
  serving_ = true;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    static_cast<Connection*>(event.data.ptr)->on_ready(event.events);
  }
  serving_ = false;
  leaving_.clear();
}

void Loop::remove(Connection& connection) {
  const std::size_t slot = connection.slot();
  shared_->counts.leave(connection.peer());
  connections_.back()->set_slot(slot);
  std::swap(connections_[slot], connections_.back());
  if (serving_) leaving_.push_back(std::move(connections_.back()));
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
