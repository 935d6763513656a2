// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "base/log.h"
#include "http/listen.h"
#include "http/loop.h"

namespace kubiya::http {
namespace {

class LoopServer final : public Server {
 public:
  LoopServer(ServerOptions options, std::shared_ptr<Shared> shared, const ListenSockets& sockets)
      : options_(std::move(options)), shared_(std::move(shared)), port_(sockets.port) {
    for (const auto& own : sockets.per_loop) {
      auto loop = std::make_shared<Loop>(static_cast<int>(loops_.size()), shared_);
      for (const ListenSocket& socket : own) loop->add_listener(socket.descriptor, socket.v6);
      loops_.push_back(std::move(loop));
    }
  }

  ~LoopServer() override {
    for (const auto& loop : loops_) loop->stop();
    for (std::thread& thread : threads_) thread.join();
  }

  void start() override {
    ASSERT(threads_.empty(), "a server starts once");
    for (const auto& loop : loops_) {
      threads_.emplace_back([loop] { loop->run(); });
    }
  }

  std::uint16_t port() const override { return port_; }
  int threads() const override { return static_cast<int>(loops_.size()); }

  void drain(std::chrono::milliseconds grace) override {
    const Mono deadline = std::chrono::steady_clock::now() + grace;
    on_every_loop([](Loop& loop) { loop.begin_drain(); });
    wait_until_quiet(deadline);
    on_every_loop([](Loop& loop) { loop.end_drain(); });
    // What is ended in order still has bytes on the way.
    wait_until_quiet(std::max(deadline, Mono(std::chrono::steady_clock::now())) + kLastWrites);
    for (const auto& loop : loops_) loop->stop();
  }

  Result<> reload_tls() override {
    if (!options_.tls.enabled()) return fail(Code::unsupported, "TLS is not configured");
    shared_->tls.set(TRY(load_tls(options_.tls)));
    return {};
  }

  void every(std::chrono::milliseconds interval, std::function<void(int)> work) override {
    on_every_loop([interval, work](Loop& loop) { loop.every(interval, work); });
  }

  ServerStats stats() const override {
    ServerStats stats;
    stats.connections = shared_->counts.total();
    for (const auto& loop : loops_) {
      stats.requests += loop->requests();
      loop->add_refused(stats.refused);
    }
    return stats;
  }

 private:
  static constexpr std::chrono::milliseconds kLastWrites{500};

  template <class Work>
  void on_every_loop(Work work) {
    for (const auto& loop : loops_) {
      loop->post([target = loop.get(), work] { work(*target); });
    }
  }

  void wait_until_quiet(Mono deadline) const {
    while (shared_->counts.total() > 0 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  const ServerOptions options_;
  const std::shared_ptr<Shared> shared_;
  const std::uint16_t port_;
  std::vector<std::shared_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
};

bool all_loopback(const std::vector<Address>& addresses) {
  return std::all_of(addresses.begin(), addresses.end(),
                     [](const Address& address) { return address.is_loopback(); });
}

Result<> check_exposure(const ServerOptions& options, bool loopback) {
  if (loopback || options.tls.enabled() || options.insecure_http ||
      !options.guard.trusted_proxies.empty()) {
    return {};
  }
  return fail(Code::invalid,
              "refusing to serve plain HTTP on " + options.host +
                  ": tokens would cross the network readable. Configure a TLS certificate and "
                  "key, name the trusted proxy that terminates TLS, or allow insecure HTTP "
                  "explicitly");
}

int loop_count(int wanted) {
  if (wanted > 0) return wanted;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

Result<std::unique_ptr<Server>> Server::open(ServerOptions options, Handler& handler) {
  const auto addresses = TRY(listen_addresses(options.host));
  const bool loopback = all_loopback(addresses);
  TRY_VOID(check_exposure(options, loopback));
  AddressSet proxies = TRY(AddressSet::parse(options.guard.trusted_proxies));
  auto shared =
      std::make_shared<Shared>(options, loopback ? ListenerKind::loopback : ListenerKind::reachable,
                               std::move(proxies), handler);
  if (options.tls.enabled()) shared->tls.set(TRY(load_tls(options.tls)));
  const ListenSockets sockets =
      TRY(open_listeners(addresses, options.port, loop_count(options.threads)));
  return std::unique_ptr<Server>(
      std::make_unique<LoopServer>(std::move(options), std::move(shared), sockets));
}

}  // namespace kubiya::http
