// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "base/encoding.h"
#include "base/result.h"

namespace kubiya {

void random_bytes(void* data, std::size_t size) {
  auto* out = static_cast<char*>(data);
  while (size != 0) {
    const ssize_t got = getrandom(out, size, 0);
    if (got < 0 && errno == EINTR) continue;
    ASSERT(got > 0, "the kernel must provide random bytes");
    out += got;
    size -= static_cast<std::size_t>(got);
  }
}

std::string random_id() {
  std::array<char, 16> bytes{};
  random_bytes(bytes.data(), bytes.size());
  return hex({bytes.data(), bytes.size()});
}

std::string uuid_v7(long long unix_ms_now) {
  std::array<unsigned char, 16> b{};
  random_bytes(b.data(), b.size());
  for (int i = 0; i < 6; ++i) {
    b[static_cast<std::size_t>(i)] =
        static_cast<unsigned char>(static_cast<std::uint64_t>(unix_ms_now) >> (40 - 8 * i));
  }
  b[6] = static_cast<unsigned char>((b[6] & 0x0f) | 0x70);
  b[8] = static_cast<unsigned char>((b[8] & 0x3f) | 0x80);
  const std::string h = hex({reinterpret_cast<const char*>(b.data()), b.size()});
  return h.substr(0, 8) + "-" + h.substr(8, 4) + "-" + h.substr(12, 4) + "-" + h.substr(16, 4) +
         "-" + h.substr(20);
}

}  // namespace kubiya
