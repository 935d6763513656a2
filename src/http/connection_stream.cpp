// SPDX-License-Identifier: Apache-2.0
#include "http/connection.h"

namespace kubiya::http {
namespace {

// What EventStream copies share. Dropping the last one ends the stream in order.
class StreamWriter final : public EventStream::Impl {
 public:
  StreamWriter(std::shared_ptr<Connection> connection, std::shared_ptr<StreamLink> link,
               std::size_t bytes_max)
      : connection_(std::move(connection)), link_(std::move(link)), bytes_max_(bytes_max) {}
  ~StreamWriter() override { finish(); }

  void write(std::string bytes) override {
    if (!open()) return;
    Loop& loop = connection_->loop();
    if (loop.on_loop()) return connection_->stream_write(link_, bytes);
    const std::size_t size = bytes.size();
    if (link_->posted.fetch_add(size) + size + link_->backlog.load() > bytes_max_) {
      link_->open.store(false);
      loop.post([connection = connection_, link = link_] { connection->stream_cut(link); });
      return;
    }
    loop.post([connection = connection_, link = link_, text = std::move(bytes)] {
      link->posted.fetch_sub(text.size());
      connection->stream_write(link, text);
    });
  }

  void close() override { finish(); }
  bool open() const override { return link_->open.load(std::memory_order_relaxed); }

 private:
  void finish() {
    if (!link_->open.exchange(false)) return;
    Loop& loop = connection_->loop();
    if (loop.on_loop()) return connection_->stream_end(link_);
    loop.post([connection = connection_, link = link_] { connection->stream_end(link); });
  }

  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<StreamLink> link_;
  const std::size_t bytes_max_;
};

}  // namespace

EventStream Connection::stream(Response&& head) {
  auto link = std::make_shared<StreamLink>();
  auto writer = std::make_shared<StreamWriter>(shared_from_this(), link,
                                               loop_->shared().limits.stream_buffer_bytes);
  if (loop_->on_loop()) {
    begin_stream(std::move(head), link);
  } else {
    auto shared = std::make_shared<Response>(std::move(head));
    post([self = shared_from_this(), shared, link] {
      self->begin_stream(std::move(*shared), link);
    });
  }
  return EventStream(std::move(writer));
}

void Connection::begin_stream(Response&& head, std::shared_ptr<StreamLink> link) {
  if (phase_ != Phase::exchange || eof_) {
    link->open.store(false);
    if (phase_ == Phase::exchange) close();
    return;
  }
  close_after_ = head.close || last_answer();
  append_stream_head(out_, loop_->heads(), head,
                     {cors_origin_, head_.method == "HEAD", close_after_});
  enter(Phase::stream);
  last_event_ = loop_->now();
  link_ = std::move(link);
  place_ = std::move(head.place);
  if (!pumping_) flush();
}

void Connection::stream_write(const std::shared_ptr<StreamLink>& link, std::string_view bytes) {
  if (link_ != link || head_.method == "HEAD") return;
  append_chunk(out_, bytes);
  last_event_ = loop_->now();
  publish_backlog();
  if (link->backlog.load() > loop_->shared().limits.stream_buffer_bytes) return stream_cut(link);
  if (!pumping_) flush();
}

void Connection::stream_end(const std::shared_ptr<StreamLink>& link) {
  if (link_ != link) return;
  link_.reset();
  place_.reset();
  if (head_.method != "HEAD") out_.append(kLastChunk);
  finish_exchange(close_after_ || last_answer());
}

// The reader is too slow. Without the last chunk the client can tell that this is not the end.
void Connection::stream_cut(const std::shared_ptr<StreamLink>& link) {
  if (link_ == link) close();
}

void Connection::publish_backlog() {
  if (link_) link_->backlog.store(unsent());
}

}  // namespace kubiya::http
