// SPDX-License-Identifier: Apache-2.0
//
// Chunked transfer coding (RFC 9112 §7.1), pure and incremental. Sizes are plain
// hex digits followed by CRLF: extensions, white space and trailer fields are
// refused, because intermediaries disagree about them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kubiya::http {

class ChunkedDecoder {
 public:
  enum class State { more, done, fault, too_large };

  struct Step {
    State state = State::more;
    std::size_t consumed = 0;  // of `in`; what is left after `done` belongs to the next request
  };

  // Appends decoded bytes of `in` to `out`, which never grows past `bytes_max`
  // (too_large is told as soon as a chunk size announces more, and by every call after that
  // until `bytes_max` has room for the whole chunk; feeding the rest then goes on from there).
  Step feed(std::string_view in, std::string& out, std::size_t bytes_max);

 private:
  enum class Expect { first_digit, digits, size_lf, data, data_cr, data_lf, end_cr, end_lf, end };

  State size_byte(char byte, const std::string& out, std::size_t bytes_max);
  State framing_byte(char byte);

  Expect expect_ = Expect::first_digit;
  std::uint64_t left_ = 0;
  int digits_ = 0;
};

}  // namespace kubiya::http
