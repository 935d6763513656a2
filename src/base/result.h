// SPDX-License-Identifier: Apache-2.0
//
// How things fail. The world disagreeing with us (a bad token, a full disk) is
// a Result<T>; a broken invariant of ours is an ASSERT, on in every build.
// Our code throws nothing; what a library throws is caught around a request
// and in main.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace kubiya {

// The closed list of kinds of failure. Each maps to one HTTP status, one
// JSON-RPC code and one exit status; the table is in mcp/errors.cpp.
enum class Code {
  invalid,          // the caller's input is malformed or out of range
  unauthenticated,  // no usable credential
  forbidden,        // known caller, not allowed
  not_found,        // absent, or not visible to this caller
  conflict,         // clashes with existing state
  too_large,        // over a documented limit
  busy,             // over a quota or a queue bound; try again later
  timeout,
  cancelled,
  unavailable,  // something we depend on (disk, identity provider) is down
  untrusted,    // the other side of a connection did not prove who it is
  unsupported,  // understood, not offered
  corrupt,      // stored data fails its own checks
  internal,     // a bug or an exhausted machine
};

std::string_view to_string(Code code);

// `message` may leave the house and says what to do next; `detail` goes to the
// log and the audit record only. Neither may hold a secret.
struct Error {
  Code code = Code::internal;
  std::string message;
  std::string detail;
};

template <class T = void>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(Code code, std::string message,
                                                std::string detail = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(detail)});
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

[[noreturn]] void assertion_failed(const char* condition, const char* why, const char* file,
                                   int line);

}  // namespace kubiya

// Yields the value of a Result or returns its error from the calling function.
#define TRY(expression)                                                      \
  __extension__({                                                            \
    auto&& try_result_ = (expression);                                       \
    if (!try_result_) return ::kubiya::fail(std::move(try_result_).error()); \
    *std::move(try_result_);                                                 \
  })

// The same for Result<void>.
#define TRY_VOID(expression)                                                 \
  do {                                                                       \
    auto&& try_result_ = (expression);                                       \
    if (!try_result_) return ::kubiya::fail(std::move(try_result_).error()); \
  } while (false)

// Stops the process when one of our invariants is broken. Never on anything a
// client can influence. Restarting is safe: the store and the journal are.
#define ASSERT(condition, why) \
  ((condition) ? void(0) : ::kubiya::assertion_failed(#condition, why, __FILE__, __LINE__))
