// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/log.h"
#include "http/connection.h"
#include "http/forwarded.h"
#include "http/guard.h"

namespace kubiya::http {
namespace {

constexpr std::size_t kOutputHigh = 256 * 1024;  // unsent answer bytes before we stop serving
constexpr int kReadsInARow = 16;                 // then the others have their turn
constexpr std::size_t kBodyStart = 16 * 1024;
constexpr std::size_t kBodyKept = 64 * 1024;  // larger body memory is freed with its request

// Makes sure that an admission is decided exactly once, also when it is forgotten.
class AdmissionTicket {
 public:
  explicit AdmissionTicket(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)) {}
  ~AdmissionTicket() {
    if (connection_) decide(std::make_unique<Response>(answer_to(Fault::internal)));
  }

  void decide(std::unique_ptr<Response> refusal) {
    const auto connection = std::exchange(connection_, nullptr);
    ASSERT(connection, "an admission is decided once");
    if (connection->loop().on_loop()) return connection->admitted(std::move(refusal));
    const auto shared = std::make_shared<std::unique_ptr<Response>>(std::move(refusal));
    connection->post([connection, shared] { connection->admitted(std::move(*shared)); });
  }

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace

void Connection::pump() {
  if (pumping_ || phase_ == Phase::closed) return;
  pumping_ = true;
  const bool unfinished = work();
  pumping_ = false;
  if (unfinished) loop_->post([self = shared_from_this()] { self->pump(); });
}

// True when the others are to have their turn before the rest.
bool Connection::work() {
  std::size_t steps = loop_->shared().limits.pipelined * 3;  // head, body, exchange
  for (int reads = 0; reads < kReadsInARow; ++reads) {
    steps = serve(steps);
    flush();
    if (!settle()) return false;
    if (steps == 0) return true;
    if (!receive()) return false;
  }
  return true;
}

// Serves what has arrived, and returns the steps that are left. Answers given on the spot gather
// in out_, so that a burst of pipelined requests costs one write.
std::size_t Connection::serve(std::size_t steps) {
  while (steps > 0) {
    if (unsent() >= kOutputHigh) flush();
    if (unsent() >= kOutputHigh || !step()) break;
    --steps;
  }
  return steps;
}

// True when there may be more to do with the bytes at hand.
bool Connection::step() {
  switch (phase_) {
    case Phase::idle:
    case Phase::head:
      return read_head();
    case Phase::body:
      return read_body();
    default:
      return false;
  }
}

bool Connection::read_head() {
  const std::string_view bytes = in_.view();
  if (bytes.empty()) return false;
  if (phase_ == Phase::idle) {
    enter(Phase::head);
    scanned_ = 0;
  }
  const HeadLimits& limits = loop_->shared().head_limits;
  const std::size_t line_max = limits.request_line_bytes + 2;
  // Only a line's end or a limit can change the outcome; parsing on every byte of a slow
  // client would be quadratic.
  const bool crossed = scanned_ < line_max && bytes.size() >= line_max;
  if (scanned_ > 0 && !crossed && bytes.size() < head_bytes_max(limits) &&
      bytes.find('\n', scanned_) == bytes.npos) {
    scanned_ = bytes.size();
    return false;
  }
  scanned_ = bytes.size();
  const HeadResult result = parse_head(bytes, limits, head_);
  if (result.state == HeadResult::State::incomplete) return false;
  if (result.state == HeadResult::State::fault) {
    refuse(result.fault);
    return false;
  }
  in_.begin += result.size;
  return begin_request();
}

// Fills in what the handler may know about the request before its body.
void Connection::describe_request() {
  request_.method = head_.method;
  request_.target = head_.target;
  request_.path = head_.path;
  request_.query = head_.query;
  request_.body = {};
  request_.headers = head_.headers;
  request_.host = head_.host;
  request_.secure = transport_.tls();
  request_.received = loop_->now();
  // A proxy on this machine, trusted or not, makes a stranger look local. One that adds no header
  // still shows the name under which the stranger came.
  request_.loopback =
      peer_.is_loopback() && !trusted_ && !head_.forwarded && is_loopback_host(head_.host);
  const ForwardedFacts facts =
      trusted_ && head_.forwarded
          ? read_forwarded(head_.headers, loop_->shared().trusted, loop_->shared().forwarding)
          : ForwardedFacts{};
  if (facts.client || trusted_ || request_.peer.empty()) {
    request_.peer = facts.client.value_or(peer_).text();
  }
  if (facts.secure) request_.secure = *facts.secure;
  if (!facts.host.empty()) request_.host = facts.host;
}

bool Connection::begin_request() {
  describe_request();
  cors_origin_ = {};
  if (loop_->shared().proxies_only && !trusted_ && !peer_.is_loopback()) {
    refuse(Fault::plain_http);
    return false;
  }
  GuardInput input{head_.method,    head_.path,         request_.host,     head_.origin,
                   request_.secure, std::string_view(), std::string_view()};
  if (!head_.origin.empty()) {
    input.requested_method = request_.header("access-control-request-method");
    input.requested_headers = request_.header("access-control-request-headers");
  }
  const GuardVerdict verdict = loop_->shared().guard.judge(input);
  switch (verdict.kind) {
    case GuardVerdict::Kind::bad_host:
      refuse(Fault::bad_host);
      return false;
    case GuardVerdict::Kind::bad_origin:
      refuse(Fault::bad_origin);
      return false;
    case GuardVerdict::Kind::preflight:
      answer_self(preflight_answer(verdict, input.requested_headers));
      return true;
    case GuardVerdict::Kind::pass:
      break;
  }
  cors_origin_ = verdict.allow_origin;
  return begin_body();
}

bool Connection::begin_body() {
  const Limits& limits = loop_->shared().limits;
  admitted_ = false;
  body_size_ = 0;
  body_received_ = 0;
  chunks_ = ChunkedDecoder();
  if (!head_.has_body()) {
    dispatch();
    return true;
  }
  const std::uint64_t announced = head_.content_length.value_or(0);
  if (announced > limits.early_body_bytes) return ask_admission();
  if (announced > limits.body_bytes) {
    refuse(Fault::body_too_large);
    return false;
  }
  start_body();
  return true;
}

bool Connection::ask_admission() {
  enter(Phase::admission);
  auto ticket = std::make_shared<AdmissionTicket>(shared_from_this());
  const Handler::Admission decide = [ticket](std::unique_ptr<Response> refusal) {
    ticket->decide(std::move(refusal));
  };
  ticket.reset();
  loop_->shared().handler.admit(request_, decide);
  return phase_ == Phase::body;
}

void Connection::admitted(std::unique_ptr<Response> refusal) {
  if (phase_ != Phase::admission) return;
  if (refusal) {
    refusal->close = true;
    answer_self(*refusal);
  } else if (head_.content_length.value_or(0) > loop_->shared().limits.body_bytes) {
    refuse(Fault::body_too_large);
  } else {
    admitted_ = true;
    start_body();
  }
  pump();
}

void Connection::start_body() {
  const bool resumed = !body_.empty() || body_received_ > 0;
  enter(Phase::body);
  if (!resumed) body_at_ = in_.begin;
  if (head_.expects_continue && !resumed && in_.begin == in_.end) out_.append(kContinue);
  if (head_.chunked) return;
  const std::size_t length = *head_.content_length;
  if (length <= in_.capacity - in_.begin) return;  // arrives where the head lies
  // Grown as bytes arrive: an announced length alone reserves no memory.
  body_size_ = in_.end - in_.begin;
  body_.resize(std::max(body_size_, std::min(length, kBodyStart)));
  in_.view().copy(body_.data(), body_size_);
  in_.end = in_.begin;
}

bool Connection::read_body() { return head_.chunked ? take_chunked_body() : take_counted_body(); }

bool Connection::take_counted_body() {
  const std::size_t length = *head_.content_length;
  if (body_.empty()) {
    if (in_.end - in_.begin < length) return false;
    request_.body = in_.view().substr(0, length);
    in_.begin += length;
  } else {
    if (body_size_ < length) {
      if (body_size_ == body_.size()) body_.resize(std::min(length, body_.size() * 2));
      return false;
    }
    request_.body = body_;
  }
  dispatch();
  return true;
}

bool Connection::take_chunked_body() {
  const Limits& limits = loop_->shared().limits;
  const std::size_t bytes_max =
      admitted_ ? limits.body_bytes : std::min(limits.body_bytes, limits.early_body_bytes);
  const auto [state, consumed] = chunks_.feed(in_.view(), body_, bytes_max);
  in_.begin += consumed;
  switch (state) {
    case ChunkedDecoder::State::fault:
      refuse(Fault::chunk);
      return false;
    case ChunkedDecoder::State::too_large:
      if (admitted_ || limits.body_bytes <= limits.early_body_bytes) {
        refuse(Fault::body_too_large);
        return false;
      }
      return ask_admission();
    case ChunkedDecoder::State::more:
      // Everything was decoded; the space behind the head is free again.
      in_.begin = in_.end = body_at_;
      return false;
    case ChunkedDecoder::State::done:
      break;
  }
  request_.body = body_;
  dispatch();
  return true;
}

void Connection::dispatch() {
  enter(Phase::exchange);
  loop_->count_request();
  exchange_state_.store(0, std::memory_order_relaxed);
  try {
    loop_->shared().handler.handle(request_, Responder(shared_from_this()));
  } catch (const std::exception& failure) {
    // The Responder was dropped on the way here, which answered 500.
    log::error("handler failed", {{"what", std::string_view(failure.what())}});
  }
}

// An answer of the server's own, before any handler saw the request.
void Connection::answer_self(const Response& response) {
  close_after_ = response.close || head_.has_body() || last_answer();
  append_response(out_, loop_->heads(), response,
                  {cors_origin_, head_.method == "HEAD", close_after_});
  advance();
}

void Connection::refuse(Fault fault) {
  const bool in_body = phase_ != Phase::head;
  // After a fault in the head its fields mean nothing.
  const bool known = in_body || fault == Fault::plain_http || fault == Fault::bad_host ||
                     fault == Fault::bad_origin;
  tell_refused(fault, known, in_body);
  append_response(
      out_, loop_->heads(), answer_to(fault),
      {known ? cors_origin_ : std::string_view(), known && head_.method == "HEAD", true});
  enter(Phase::closing);
  pump();
}

void Connection::tell_refused(Fault fault, bool known, bool in_body) {
  loop_->count_refused(fault);
  const std::string peer = known ? request_.peer : peer_.text();
  loop_->shared().handler.refused({name_of(fault), status_of(fault), known ? &request_ : nullptr,
                                   peer, in_body, loop_->index()});
}

bool Connection::last_answer() const { return head_.close || eof_ || loop_->draining(); }

void Connection::send(Response&& response) {
  if (loop_->on_loop()) return answer(std::move(response));
  auto shared = std::make_shared<Response>(std::move(response));
  post([self = shared_from_this(), shared] { self->answer(std::move(*shared)); });
}

void Connection::answer(Response&& response) {
  if (phase_ != Phase::exchange) return;
  const bool close_after = response.close || last_answer();
  append_response(out_, loop_->heads(), response,
                  {cors_origin_, head_.method == "HEAD", close_after});
  finish_exchange(close_after);
}

void Connection::finish_exchange(bool close_after) {
  close_after_ = close_after;
  const unsigned before = exchange_state_.fetch_or(kAnswered, std::memory_order_acq_rel);
  if (before & kReleased) return advance();
  if (!pumping_) flush();
}

void Connection::release() {
  const unsigned before = exchange_state_.fetch_or(kReleased, std::memory_order_acq_rel);
  if (!(before & kAnswered)) return;
  if (loop_->on_loop()) return advance();
  post([self = shared_from_this()] { self->advance(); });
}

// The request is answered and nobody looks at it any more.
void Connection::advance() {
  if (phase_ == Phase::closed) return;
  request_.body = {};
  head_block_.reset();
  if (body_.capacity() > kBodyKept) {
    std::string().swap(body_);
  } else {
    body_.clear();
  }
  if (loop_->crowded()) std::vector<Header>().swap(head_.headers);
  if (in_.begin == in_.end) in_.begin = in_.end = 0;
  enter(close_after_ ? Phase::closing : Phase::idle);
  pump();
}

}  // namespace kubiya::http
