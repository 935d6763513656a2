// SPDX-License-Identifier: Apache-2.0
#include "mcp/headers.h"

#include "base/encoding.h"

namespace kubiya::mcp {
namespace {

// The first value counts; how many there were tells the rest.
void take(const http::Header& header, std::string_view name, Headers::Field& field) {
  if (!iequals(header.name, name)) return;
  if (field.count++ == 0) field.value = header.value;
}

}  // namespace

Headers read_headers(std::span<const http::Header> headers) {
  Headers found;
  for (const http::Header& header : headers) {
    switch (header.name.size()) {
      case 6:
        take(header, "accept", found.accept);
        break;
      case 8:
        take(header, "mcp-name", found.mirrored.name);
        break;
      case 9:
        take(header, "x-api-key", found.api_key);
        break;
      case 10:
        take(header, "mcp-method", found.mirrored.method);
        break;
      case 12:
        take(header, "content-type", found.content_type);
        break;
      case 13:
        take(header, "authorization", found.authorization);
        take(header, "last-event-id", found.last_event_id);
        break;
      case 14:
        take(header, "mcp-session-id", found.session);
        break;
      case 15:
        take(header, "idempotency-key", found.idempotency_key);
        break;
      case 16:
        take(header, "content-encoding", found.content_encoding);
        break;
      case 20:
        take(header, "mcp-protocol-version", found.mirrored.version);
        break;
      default:
        break;
    }
  }
  return found;
}

Headers without_mirrored(Headers headers) {
  headers.mirrored = {};
  headers.mirrored.carried = false;
  return headers;
}

}  // namespace kubiya::mcp
