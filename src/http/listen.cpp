// SPDX-License-Identifier: Apache-2.0
#include "http/listen.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/encoding.h"

namespace kubiya::http {
namespace {

constexpr int kBacklog = 4096;
constexpr int kPortTries = 16;

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

struct Name {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Name name_of(const Address& address, std::uint16_t port) {
  Name name;
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes.data() + 12, 4);
    std::memcpy(&name.storage, &v4, sizeof v4);
    name.size = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, address.bytes.data(), 16);
    std::memcpy(&name.storage, &v6, sizeof v6);
    name.size = sizeof v6;
  }
  return name;
}

enum class Sharing { alone, reuse_port };

// A bound socket, or -1 with errno set.
Descriptor bind_socket(const Address& address, std::uint16_t port, Sharing sharing) {
  const Name name = name_of(address, port);
  Descriptor fd(::socket(address.is_v4() ? AF_INET : AF_INET6,
                         SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return fd;
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (sharing == Sharing::reuse_port &&
      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
    return Descriptor(-1);
  }
  if (!address.is_v4()) {
    // "::" means every address; any other IPv6 address means itself.
    const int only = address == Address{} ? 0 : 1;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  }
  if (::bind(fd.get(), name.get(), name.size) != 0) {
    const int why = errno;
    fd = Descriptor(-1);
    errno = why;
  }
  return fd;
}

std::uint16_t port_of(int descriptor) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &size);
  sockaddr_in6 v6{};  // the port lies at the same place in both families
  std::memcpy(&v6, &storage, sizeof v6);
  return ntohs(v6.sin6_port);
}

tl::unexpected<Error> cannot_listen(const Address& address, std::uint16_t port, int why) {
  const std::string where = address.text() + " port " + std::to_string(port);
  if (why == EADDRINUSE) {
    return fail(Code::conflict, where + " is in use by another process; choose another port");
  }
  return fail(Code::unavailable, "cannot listen on " + where + ": " + std::strerror(why));
}

bool is_missing_v6(const Address& address, int why) {
  return !address.is_v4() && (why == EADDRNOTAVAIL || why == EAFNOSUPPORT);
}

// One address on every loop. Appends to `sockets`; 0 or the errno of the failure.
int open_address(const Address& address, std::uint16_t port, ListenSockets& sockets,
                 std::vector<Descriptor>& owned) {
  // SO_REUSEPORT would let a second server of the same user share our port in silence.
  if (port != 0 && bind_socket(address, port, Sharing::alone).get() < 0) return errno;
  std::uint16_t chosen = port;
  for (auto& loop : sockets.per_loop) {
    Descriptor fd = bind_socket(address, chosen, Sharing::reuse_port);
    if (fd.get() < 0 || ::listen(fd.get(), kBacklog) != 0) return errno;
    if (chosen == 0) chosen = port_of(fd.get());
    loop.push_back({fd.get(), !address.is_v4()});
    owned.push_back(std::move(fd));
  }
  sockets.port = chosen;
  return 0;
}

// All addresses on one port. The first one picks it when `port` is 0.
Result<ListenSockets> try_open(const std::vector<Address>& addresses, std::uint16_t port,
                               int loops) {
  ListenSockets sockets;
  sockets.per_loop.resize(static_cast<std::size_t>(loops));
  std::vector<Descriptor> owned;
  std::uint16_t wanted = port;
  for (const Address& address : addresses) {
    const int why = open_address(address, wanted, sockets, owned);
    if (why != 0 && addresses.size() > 1 && is_missing_v6(address, why)) continue;
    if (why != 0) return cannot_listen(address, wanted, why);
    wanted = sockets.port;
  }
  for (Descriptor& descriptor : owned) descriptor.release();
  return sockets;
}

}  // namespace

Result<std::vector<Address>> listen_addresses(const std::string& host) {
  if (iequals(host, "localhost")) {
    return std::vector<Address>{*parse_address("127.0.0.1"), *parse_address("::1")};
  }
  std::string_view literal = host;
  if (literal.size() > 2 && literal.front() == '[' && literal.back() == ']') {
    literal = literal.substr(1, literal.size() - 2);
  }
  const auto address = parse_address(literal);
  if (!address) {
    return fail(Code::invalid,
                "host must be an IP address or \"localhost\", not \"" + printable(host) + "\"");
  }
  return std::vector<Address>{*address};
}

Result<ListenSockets> open_listeners(const std::vector<Address>& addresses, std::uint16_t port,
                                     int loops) {
  for (int tries = 1;; ++tries) {
    auto sockets = try_open(addresses, port, loops);
    // The port that the first address picked may be taken on the second.
    const bool retry = !sockets && port == 0 && sockets.error().code == Code::conflict;
    if (!retry || tries == kPortTries) return sockets;
  }
}

}  // namespace kubiya::http
