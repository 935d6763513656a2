// SPDX-License-Identifier: Apache-2.0
//
// Random identifiers. Every handle a client can present (run, request, session)
// carries at least 122 random bits and is never recycled.
#pragma once

#include <cstddef>
#include <string>

namespace kubiya {

// Fills `data` from the kernel's generator. Stops the process if it has none.
void random_bytes(void* data, std::size_t size);

// 32 lower-case hex digits, 128 random bits.
std::string random_id();

// RFC 9562 UUID, version 7: sorts by time of creation, 74 random bits.
std::string uuid_v7(long long unix_ms_now);

}  // namespace kubiya
