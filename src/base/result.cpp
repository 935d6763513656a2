// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cstdio>
#include <cstdlib>

namespace kubiya {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::unauthenticated:
      return "unauthenticated";
    case Code::forbidden:
      return "forbidden";
    case Code::not_found:
      return "not_found";
    case Code::conflict:
      return "conflict";
    case Code::too_large:
      return "too_large";
    case Code::busy:
      return "busy";
    case Code::timeout:
      return "timeout";
    case Code::cancelled:
      return "cancelled";
    case Code::unavailable:
      return "unavailable";
    case Code::untrusted:
      return "untrusted";
    case Code::unsupported:
      return "unsupported";
    case Code::corrupt:
      return "corrupt";
    case Code::internal:
      return "internal";
  }
  return "internal";
}

void assertion_failed(const char* condition, const char* why, const char* file, int line) {
  std::fprintf(stderr,
               "{\"level\":\"fatal\",\"message\":\"assertion failed: "
               "%s\",\"why\":\"%s\",\"at\":\"%s:%d\"}\n",
               condition, why, file, line);
  std::abort();
}

}  // namespace kubiya
