// SPDX-License-Identifier: Apache-2.0
#include "http/chunked.h"

#include <algorithm>

namespace kubiya::http {
namespace {

constexpr int kSizeDigitsMax = 15;  // 60 bits: the arithmetic cannot overflow

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkedDecoder::Step ChunkedDecoder::feed(std::string_view in, std::string& out,
                                          std::size_t bytes_max) {
  const std::size_t room = bytes_max - std::min(bytes_max, out.size());
  const bool announced = expect_ == Expect::size_lf || expect_ == Expect::data;
  if (announced && left_ > room) return {State::too_large, 0};
  std::size_t at = 0;
  while (expect_ != Expect::end && at < in.size()) {
    if (expect_ == Expect::data) {
      const std::size_t take = std::min<std::uint64_t>(left_, in.size() - at);
      out.append(in.substr(at, take));
      at += take;
      left_ -= take;
      if (left_ == 0) expect_ = Expect::data_cr;
      continue;
    }
    const bool in_size =
        expect_ == Expect::first_digit || expect_ == Expect::digits || expect_ == Expect::size_lf;
    const State state = in_size ? size_byte(in[at], out, bytes_max) : framing_byte(in[at]);
    ++at;
    if (state != State::more) return {state, at};
  }
  return {expect_ == Expect::end ? State::done : State::more, at};
}

ChunkedDecoder::State ChunkedDecoder::size_byte(char byte, const std::string& out,
                                                std::size_t bytes_max) {
  if (expect_ == Expect::size_lf) {
    if (byte != '\n') return State::fault;
    expect_ = left_ == 0 ? Expect::end_cr : Expect::data;
    return State::more;
  }
  if (const int digit = hex_digit(byte); digit >= 0) {
    if (++digits_ > kSizeDigitsMax) return State::fault;
    left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
    expect_ = Expect::digits;
    return State::more;
  }
  if (expect_ == Expect::first_digit || byte != '\r') return State::fault;
  expect_ = Expect::size_lf;
  return left_ > bytes_max - std::min(bytes_max, out.size()) ? State::too_large : State::more;
}

ChunkedDecoder::State ChunkedDecoder::framing_byte(char byte) {
  const bool cr = expect_ == Expect::data_cr || expect_ == Expect::end_cr;
  if (byte != (cr ? '\r' : '\n')) return State::fault;
  switch (expect_) {
    case Expect::data_cr:
      expect_ = Expect::data_lf;
      break;
    case Expect::end_cr:
      expect_ = Expect::end_lf;
      break;
    case Expect::data_lf:
      expect_ = Expect::first_digit;
      digits_ = 0;
      break;
    case Expect::end_lf:
      expect_ = Expect::end;
      return State::done;
    default:
      return State::fault;
  }
  return State::more;
}

}  // namespace kubiya::http
