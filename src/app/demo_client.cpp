// SPDX-License-Identifier: Apache-2.0
#include "app/demo_client.h"

#include <cerrno>
#include <charconv>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/encoding.h"

namespace kubiya::app {
namespace {

constexpr std::size_t kAnswerMax = 8 * 1024 * 1024;

tl::unexpected<Error> no_answer(int error) {
  return fail(Code::unavailable, "no answer: " + std::generic_category().message(error));
}

class Socket {
 public:
  Socket() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }

  Result<> connect(std::uint16_t port) const {
    const timeval patience{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(fd_, generic, sizeof address) != 0) return no_answer(errno);
    return {};
  }

  Result<> send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return no_answer(errno);
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }

  Result<std::string> receive_all() const {
    std::string bytes;
    char buffer[16 * 1024];
    while (bytes.size() < kAnswerMax) {
      const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return no_answer(errno);
      if (count == 0) return bytes;
      bytes.append(buffer, static_cast<std::size_t>(count));
    }
    return fail(Code::too_large, "the answer is too large");
  }

 private:
  int fd_;
};

std::string text_of(const LoopbackRequest& request) {
  std::string text =
      request.method + " " + request.path +
      " HTTP/1.1\r\nHost: localhost:" + std::to_string(request.port) +
      "\r\nConnection: close\r\nContent-Length: " + std::to_string(request.body.size()) + "\r\n";
  for (const auto& [name, value] : request.headers) {
    text.append(name).append(": ").append(value).append("\r\n");
  }
  return text + "\r\n" + request.body;
}

}  // namespace

std::string_view LoopbackAnswer::header(std::string_view name) const {
  std::string_view rest = headers;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    const std::size_t colon = line.find(':');
    if (colon != line.npos && iequals(line.substr(0, colon), name)) {
      return trim(line.substr(colon + 1));
    }
  }
  return {};
}

Result<LoopbackAnswer> parse_answer(std::string_view bytes) {
  const std::size_t line_end = bytes.find("\r\n");
  const std::size_t head_end = bytes.find("\r\n\r\n");
  LoopbackAnswer answer;
  if (head_end == bytes.npos || !bytes.starts_with("HTTP/1.1 ") ||
      std::from_chars(bytes.data() + 9, bytes.data() + line_end, answer.status).ptr !=
          bytes.data() + 12) {
    return fail(Code::corrupt, "the answer is not HTTP/1.1");
  }
  if (line_end != head_end) answer.headers = bytes.substr(line_end + 2, head_end - line_end - 2);
  answer.body = bytes.substr(head_end + 4);
  const std::string_view length = answer.header("content-length");
  if (length != std::to_string(answer.body.size())) {
    return fail(Code::corrupt, "the answer is cut short or not of a given length");
  }
  return answer;
}

Result<LoopbackAnswer> call_loopback(const LoopbackRequest& request) {
  const Socket socket;
  TRY_VOID(socket.connect(request.port));
  TRY_VOID(socket.send(text_of(request)));
  const std::string bytes = TRY(socket.receive_all());
  return parse_answer(bytes);
}

}  // namespace kubiya::app
