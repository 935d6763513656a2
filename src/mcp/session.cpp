// SPDX-License-Identifier: Apache-2.0
#include "mcp/session.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/ids.h"

namespace kubiya::mcp {
namespace {

constexpr std::size_t kAsks = 64;
constexpr std::size_t kBegun = 1'024;

Result<json::value> no_answer(std::string message) {
  return fail(Code::timeout, std::move(message));
}

// "7-12": stream 7, event 12.
std::optional<std::pair<std::uint64_t, std::uint64_t>> read_event_id(std::string_view text) {
  std::pair<std::uint64_t, std::uint64_t> id{};
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, id.first);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, id.second);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return id;
}

}  // namespace

void SessionStream::replace_reader(http::EventStream out) {
  if (out_.open()) out_.close();
  out_ = std::move(out);
}

// An id before anything is said, so that a client that loses the connection now can come back.
void SessionStream::attach(http::EventStream out) {
  const std::lock_guard lock(mutex_);
  replace_reader(std::move(out));
  if (ids_) out_.event({}, fmt::format("{}-{}", name_, last_));
  if (finished_) out_.close();
}

void SessionStream::attach(http::EventStream out, std::uint64_t after) {
  const std::lock_guard lock(mutex_);
  replace_reader(std::move(out));
  for (const auto& [number, json] : kept_) {
    if (number > after) out_.event(json, fmt::format("{}-{}", name_, number));
  }
  if (finished_) out_.close();
}

void SessionStream::say(std::string_view json) {
  if (!ids_) return out_.event(json);
  ++last_;
  kept_.emplace_back(last_, json);
  kept_bytes_ += json.size();
  while (kept_bytes_ > kKeptBytes && kept_.size() > 1) {
    kept_bytes_ -= kept_.front().second.size();
    kept_.pop_front();
  }
  if (out_.open()) out_.event(json, fmt::format("{}-{}", name_, last_));
}

void SessionStream::event(std::string_view json) {
  const std::lock_guard lock(mutex_);
  if (!finished_) say(json);
}

void SessionStream::finish(std::string_view json) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(finished_, true)) return;
  say(json);
  out_.close();
}

void SessionStream::let_go(std::chrono::milliseconds retry) {
  const std::lock_guard lock(mutex_);
  if (!out_.open()) return;
  out_.retry(retry);
  out_.close();
}

void SessionStream::close() {
  const std::lock_guard lock(mutex_);
  finished_ = true;
  out_.close();
}

bool SessionStream::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

bool SessionStream::attached() const {
  const std::lock_guard lock(mutex_);
  return out_.open();
}

bool Session::admits(const PrincipalPtr& principal) {
  const std::lock_guard lock(mutex_);
  if (!principal) return opened_openly_;
  if (!principal_) principal_ = principal;
  return principal_->owner() == principal->owner();
}

PrincipalPtr Session::principal() const {
  const std::lock_guard lock(mutex_);
  return principal_;
}

std::shared_ptr<SessionStream> Session::open_stream(http::EventStream out) {
  std::shared_ptr<SessionStream> stream;
  {
    const std::lock_guard lock(mutex_);
    const std::uint64_t number = next_stream_++;
    stream = std::make_shared<SessionStream>(std::to_string(number), resumable());
    // The oldest ended one makes way; of those that go on none is given up.
    while (streams_.size() >= kStreams) {
      const auto ended = std::find_if(streams_.begin(), streams_.end(),
                                      [](const auto& entry) { return entry.second->finished(); });
      if (ended == streams_.end()) break;
      streams_.erase(ended);
    }
    if (!closed_ && streams_.size() < kStreams) streams_.emplace(number, stream);
  }
  stream->attach(std::move(out));
  return stream;
}

bool Session::resume(std::string_view event_id, http::EventStream out, Wall expires) {
  const auto id = read_event_id(event_id);
  std::shared_ptr<SessionStream> stream;
  {
    const std::lock_guard lock(mutex_);
    if (!id || closed_) return false;
    if (id->first == 0) {
      stream = general_;
      general_until_ = expires;
    } else if (const auto at = streams_.find(id->first); at != streams_.end()) {
      stream = at->second;
    }
  }
  if (!stream) return false;
  stream->attach(std::move(out), id->second);
  return true;
}

void Session::listen(http::EventStream out, Wall expires) {
  std::shared_ptr<SessionStream> stream;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return out.close();
    // The same for every reader: no event id is ever given twice.
    if (!general_) general_ = std::make_shared<SessionStream>("0", resumable());
    stream = general_;
    general_until_ = expires;
  }
  stream->attach(std::move(out));
}

void Session::tell(std::string_view json) {
  std::shared_ptr<SessionStream> stream;
  {
    const std::lock_guard lock(mutex_);
    stream = general_;
  }
  if (stream) stream->event(json);
}

std::string Session::ask(std::string_view method, const json::object& params, Mono deadline,
                         Answered answered) {
  std::string id;
  {
    const std::lock_guard lock(mutex_);
    id = fmt::format("\"{}-{}\"", id_.substr(0, 8), next_ask_++);
    if (!closed_ && asks_.size() < kAsks) {
      asks_.emplace(id, Ask{deadline, std::move(answered)});
      answered = nullptr;
    }
  }
  if (answered) answered(no_answer("Too many questions are open at this client"));
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":{}}})", id, method,
                     to_json(params));
}

bool Session::answer(std::string_view id, Result<json::value> result) {
  Answered answered;
  {
    const std::lock_guard lock(mutex_);
    const auto at = asks_.find(std::string(id));
    if (at == asks_.end()) return false;
    answered = std::move(at->second.answered);
    asks_.erase(at);
  }
  answered(std::move(result));
  return true;
}

bool Session::watch(const std::string& uri, std::unique_ptr<tools::Watch> watch) {
  std::unique_ptr<tools::Watch> before;  // ends outside the lock, which its own news may want
  const std::lock_guard lock(mutex_);
  if (closed_ || (watches_.size() >= kWatches && !watches_.contains(uri))) return false;
  before = std::exchange(watches_[uri], std::move(watch));
  return true;
}

void Session::unwatch(const std::string& uri) {
  std::unique_ptr<tools::Watch> ended;  // ends outside the lock, which its own news may want
  const std::lock_guard lock(mutex_);
  if (const auto at = watches_.find(uri); at != watches_.end()) {
    ended = std::move(at->second);
    watches_.erase(at);
  }
}

void Session::began(std::string_view id, std::function<void()> abandon) {
  const std::lock_guard lock(mutex_);
  if (begun_.size() < kBegun) begun_.emplace(id, std::move(abandon));
}

void Session::ended(std::string_view id) {
  const std::lock_guard lock(mutex_);
  begun_.erase(std::string(id));
}

void Session::cancel(std::string_view id) {
  std::function<void()> abandon;
  {
    const std::lock_guard lock(mutex_);
    const auto at = begun_.find(std::string(id));
    if (at == begun_.end()) return;
    abandon = std::move(at->second);
    begun_.erase(at);
  }
  abandon();
}

void Session::close() {
  decltype(streams_) streams;
  decltype(asks_) asks;
  decltype(watches_) watches;
  std::shared_ptr<SessionStream> general;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    streams.swap(streams_);
    asks.swap(asks_);
    watches.swap(watches_);
    general = std::move(general_);
  }
  for (const auto& [id, ask] : asks) ask.answered(no_answer("The client ended its session"));
  for (const auto& [number, stream] : streams) stream->close();
  if (general) general->close();
}

void Session::tick(Mono now, Wall wall) {
  std::vector<Answered> overdue;
  std::shared_ptr<SessionStream> expired;
  {
    const std::lock_guard lock(mutex_);
    if (general_until_ <= wall) expired = general_;
    for (auto at = asks_.begin(); at != asks_.end();) {
      if (at->second.deadline > now) {
        ++at;
      } else {
        overdue.push_back(std::move(at->second.answered));
        at = asks_.erase(at);
      }
    }
  }
  for (const auto& answered : overdue) answered(no_answer("The client did not answer in time"));
  if (expired) expired->let_go(std::chrono::milliseconds(500));
}

Result<std::shared_ptr<Session>> Sessions::open(std::string_view version,
                                                tools::ClientAbilities client,
                                                PrincipalPtr principal) {
  auto session = std::make_shared<Session>(random_id(), version, client, principal);
  session->last_used = clock_.mono().time_since_epoch().count();
  std::shared_ptr<Session> given_up;
  {
    const std::lock_guard lock(mutex_);
    if (principal) given_up = surplus(principal->owner());
    if (by_id_.size() >= limits_.sessions) {
      return fail(Code::busy, "Too many sessions are open; try again shortly");
    }
    by_id_.emplace(session->id(), session);
  }
  if (given_up) given_up->close();
  return session;
}

std::shared_ptr<Session> Sessions::surplus(const std::string& owner) {
  std::size_t count = 0;
  std::shared_ptr<Session> oldest;
  // Counted by looking: opening a session is rare, and nothing can get out of step.
  for (const auto& [id, session] : by_id_) {
    const PrincipalPtr principal = session->principal();
    if (!principal || principal->owner() != owner) continue;
    ++count;
    if (!oldest || session->last_used.load() < oldest->last_used.load()) oldest = session;
  }
  if (count < limits_.per_principal) return nullptr;
  by_id_.erase(oldest->id());
  return oldest;
}

std::string Sessions::version_of(std::string_view id) {
  const std::lock_guard lock(mutex_);
  const auto at = by_id_.find(std::string(id));
  return at == by_id_.end() ? std::string() : std::string(at->second->version());
}

std::shared_ptr<Session> Sessions::find(std::string_view id, const PrincipalPtr& principal) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    const auto at = by_id_.find(std::string(id));
    if (at == by_id_.end()) return nullptr;
    session = at->second;
  }
  if (!session->admits(principal)) return nullptr;
  session->last_used = clock_.mono().time_since_epoch().count();
  return session;
}

void Sessions::close(const std::string& id) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    const auto at = by_id_.find(id);
    if (at == by_id_.end()) return;
    session = std::move(at->second);
    by_id_.erase(at);
  }
  session->close();
}

std::vector<std::shared_ptr<Session>> Sessions::of(const std::string& tenant) {
  std::vector<std::shared_ptr<Session>> found;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, session] : by_id_) {
    const PrincipalPtr principal = session->principal();
    if (tenant.empty() || (principal && principal->facts().tenant == tenant))
      found.push_back(session);
  }
  return found;
}

void Sessions::tick(Mono now) {
  std::vector<std::shared_ptr<Session>> all, idle;
  {
    const std::lock_guard lock(mutex_);
    for (auto at = by_id_.begin(); at != by_id_.end();) {
      const Mono used{Mono::duration(at->second->last_used.load())};
      if (now - used > limits_.idle) {
        idle.push_back(std::move(at->second));
        at = by_id_.erase(at);
      } else {
        all.push_back(at->second);
        ++at;
      }
    }
  }
  for (const auto& session : idle) session->close();
  for (const auto& session : all) session->tick(now, clock_.wall());
}

void Sessions::end_unless(const std::function<bool(const Principal&)>& good) {
  for (const auto& session : of({})) {
    const PrincipalPtr principal = session->principal();
    if (principal && !good(*principal)) close(session->id());
  }
}

void Sessions::close_all() {
  decltype(by_id_) all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(by_id_);
  }
  for (const auto& [id, session] : all) session->close();
}

std::size_t Sessions::size() {
  const std::lock_guard lock(mutex_);
  return by_id_.size();
}

}  // namespace kubiya::mcp
