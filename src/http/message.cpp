// SPDX-License-Identifier: Apache-2.0
#include "http/message.h"

#include "base/encoding.h"
#include "base/result.h"
#include "http/fault.h"

namespace kubiya::http {

const std::string_view* Request::find(std::string_view name) const {
  for (const Header& header : headers) {
    if (iequals(header.name, name)) return &header.value;
  }
  return nullptr;
}

std::string_view Request::header(std::string_view name) const {
  const std::string_view* value = find(name);
  return value ? *value : std::string_view();
}

std::size_t Request::count(std::string_view name) const {
  std::size_t found = 0;
  for (const Header& header : headers) found += iequals(header.name, name);
  return found;
}

Response& Response::add(std::string_view name, std::string_view value) {
  headers.append(name).append(": ");
  // A control byte in a value would start a line of the client's making.
  for (char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    headers += byte < 0x20 || byte == 0x7F ? ' ' : c;
  }
  headers.append("\r\n");
  return *this;
}

void EventStream::event(std::string_view json, std::string_view id) const {
  if (!impl_) return;
  std::string bytes;
  bytes.reserve(json.size() + id.size() + 16);
  if (!id.empty()) bytes.append("id: ").append(id).append("\n");
  bytes.append("data: ").append(json).append("\n\n");
  impl_->write(std::move(bytes));
}

void EventStream::retry(std::chrono::milliseconds wait) const {
  if (impl_) impl_->write("retry: " + std::to_string(wait.count()) + "\n\n");
}

void EventStream::comment(std::string_view text) const {
  if (!impl_) return;
  std::string bytes;
  bytes.append(": ").append(text).append("\n\n");
  impl_->write(std::move(bytes));
}

void EventStream::close() const {
  if (impl_) impl_->close();
}

bool EventStream::open() const { return impl_ && impl_->open(); }

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this != &other) {
    finish();
    impl_ = std::move(other.impl_);
    answered_ = other.answered_;
  }
  return *this;
}

Responder::~Responder() { finish(); }

void Responder::finish() {
  if (!impl_) return;
  if (!answered_) impl_->send(answer_to(Fault::internal));
  impl_->release();
  impl_.reset();
}

void Responder::send(Response response) {
  ASSERT(impl_ && !answered_, "a request is answered once");
  answered_ = true;
  impl_->send(std::move(response));
}

EventStream Responder::stream(Response head) {
  ASSERT(impl_ && !answered_, "a request is answered once");
  answered_ = true;
  return impl_->stream(std::move(head));
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace kubiya::http
