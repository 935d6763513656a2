// SPDX-License-Identifier: Apache-2.0
#include "mcp/stdio.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>
#include <vector>

#include "base/log.h"

namespace kubiya::mcp {
namespace {

constexpr std::string_view kData = "data: ";
constexpr std::string_view kSessionHeader = "Mcp-Session-Id: ";

// A refusal of HTTP as one of JSON-RPC. What has no id cannot be answered.
std::string as_message(const http::Response& response, std::string_view request) {
  if (response.body.empty() || response.body.starts_with(R"({"jsonrpc")")) return response.body;
  JsonText read;
  std::string_view id;
  if (read.read(request)) {
    const auto given = read.root().find("id");
    if (given) id = given->text();
  }
  const auto told = parse_json(response.body);
  std::string message = "Refused";
  json::object data{{"status", response.status}};
  if (told && told->is_object()) {
    message = std::string(find_string(told->get_object(), "message").value_or(message));
    if (const auto more = find_string(told->get_object(), "error_description"))
      data["description"] = *more;
  }
  return error_answer(id.empty() ? std::nullopt : std::optional(id),
                      {response.status, rpc::kInvalidRequest, message, std::move(data)});
}

std::string header_value(std::string_view headers, std::string_view name) {
  const auto at = headers.find(name);
  if (at == headers.npos) return {};
  const auto begin = at + name.size();
  return std::string(headers.substr(begin, headers.find("\r\n", begin) - begin));
}

}  // namespace

// Whole lines, from any thread, none within another.
class Stdio::Output {
 public:
  explicit Output(int descriptor) : descriptor_(descriptor) {}

  void line(std::string text) {
    text += '\n';
    const std::lock_guard lock(mutex_);
    std::string_view left = text;
    while (!left.empty()) {
      const ssize_t written = ::write(descriptor_, left.data(), left.size());
      if (written < 0 && errno == EINTR) continue;
      // The client is gone; the end of the input will say so.
      if (written <= 0) return;
      left.remove_prefix(static_cast<std::size_t>(written));
    }
  }

 private:
  const int descriptor_;
  std::mutex mutex_;
};

// One message on its way: what the endpoint sees as a request, and where it answers.
class Stdio::Line final : public http::Responder::Impl {
 public:
  Line(Stdio& stdio, std::string text) : stdio_(stdio), text_(std::move(text)) {
    headers_ = {{"Content-Type", "application/json"},
                {"Accept", "application/json, text/event-stream"}};
    if (stdio_.options_.token) {
      authorization_ = "Bearer " + std::string(stdio_.options_.token->reveal());
      headers_.push_back({"Authorization", authorization_});
    }
    session_ = stdio_.session_;
    if (!session_.empty()) headers_.push_back({"Mcp-Session-Id", session_});
    request.method = "POST";
    request.target = request.path = stdio_.options_.path;
    request.body = text_;
    request.headers = headers_;
    request.peer = "stdio";
    request.secure = request.loopback = true;
    request.host = "localhost";
    request.received = stdio_.clock_.mono();
    ++stdio_.open_;
  }
  ~Line() override {
    wipe_memory(authorization_.data(), authorization_.size());
    --stdio_.open_;
  }

  void send(http::Response&& response) override {
    const std::string session = header_value(response.headers, kSessionHeader);
    std::string message = as_message(response, text_);
    if (!message.empty()) stdio_.output_->line(std::move(message));
    if (session.empty()) return;
    stdio_.post([stdio = &stdio_, session] {
      stdio->session_ = session;
      stdio->open_general_stream();
    });
  }

  // Events without what the stream of HTTP puts around them.
  class Events final : public http::EventStream::Impl {
   public:
    explicit Events(std::shared_ptr<Output> output) : output_(std::move(output)) {}
    void write(std::string bytes) override {
      const auto at = bytes.find(kData);
      if (!open_ || at == bytes.npos) return;
      const auto begin = at + kData.size();
      std::string text = bytes.substr(begin, bytes.find('\n', begin) - begin);
      if (!text.empty()) output_->line(std::move(text));
    }
    void close() override { open_ = false; }
    bool open() const override { return open_; }

   private:
    const std::shared_ptr<Output> output_;
    std::atomic<bool> open_{true};
  };

  http::EventStream stream(http::Response&&) override {
    return http::EventStream(std::make_shared<Events>(stdio_.output_));
  }
  bool open() const override { return true; }
  void post(std::function<void()> work) override { stdio_.post(std::move(work)); }

  http::Request request;

 private:
  Stdio& stdio_;
  const std::string text_;
  std::string authorization_;
  std::string session_;
  std::vector<http::Header> headers_;
};

Stdio::Stdio(Endpoint& endpoint, StdioOptions options, const Clock& clock)
    : endpoint_(endpoint),
      options_(std::move(options)),
      clock_(clock),
      output_(std::make_shared<Output>(options_.output)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  ASSERT(wake_ >= 0, "an event descriptor can be had at the start");
}

Stdio::~Stdio() { ::close(wake_); }

void Stdio::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
}

void Stdio::stop() {
  stopping_ = true;
  post([] {});
}

void Stdio::run_posted() {
  std::uint64_t count = 0;
  (void)!::read(wake_, &count, sizeof count);
  std::deque<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (const auto& piece : work) piece();
}

// False when the input has ended.
bool Stdio::read_more() {
  std::array<char, 64 * 1024> bytes{};
  const ssize_t count = ::read(options_.input, bytes.data(), bytes.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  if (count == 0) return false;
  input_.append(bytes.data(), static_cast<std::size_t>(count));
  take_lines();
  if (input_.size() <= options_.line_bytes) return true;
  log::error("a message on the standard input is too long", {{"limit_bytes", options_.line_bytes}});
  return false;
}

void Stdio::take_lines() {
  std::size_t begin = 0;
  for (;;) {
    const auto end = input_.find('\n', begin);
    if (end == input_.npos) break;
    std::string text = input_.substr(begin, end - begin);
    if (text.ends_with('\r')) text.pop_back();
    if (!text.empty()) take(std::move(text));
    begin = end + 1;
  }
  input_.erase(0, begin);
}

void Stdio::take(std::string text) {
  const auto line = std::make_shared<Line>(*this, std::move(text));
  endpoint_.handle_line(line->request, http::Responder(line));
}

// For what the server says unasked.
void Stdio::open_general_stream() {
  const auto line = std::make_shared<Line>(*this, std::string());
  line->request.method = "GET";
  endpoint_.handle(line->request, http::Responder(line));
}

void Stdio::run(const std::function<void()>& sweep) {
  using namespace std::chrono_literals;
  Mono next = clock_.mono();
  while (!stopping_) {
    std::array<pollfd, 2> watched{{{options_.input, POLLIN, 0}, {wake_, POLLIN, 0}}};
    ::poll(watched.data(), watched.size(), 50);
    if (watched[1].revents != 0) run_posted();
    if ((watched[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_more()) return;
    if (clock_.mono() < next) continue;
    next = clock_.mono() + 250ms;
    sweep();
  }
}

void Stdio::drain(Mono deadline) {
  using namespace std::chrono_literals;
  while (open_ > 0 && clock_.mono() < deadline) {
    pollfd woken{wake_, POLLIN, 0};
    ::poll(&woken, 1, 20);
    run_posted();
  }
}

}  // namespace kubiya::mcp
