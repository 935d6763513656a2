// SPDX-License-Identifier: Apache-2.0
//
// The request headers the endpoint decides by, found in one pass. Views into the request.
#pragma once

#include <span>

#include "http/message.h"
#include "mcp/message.h"

namespace kubiya::mcp {

struct Headers {
  using Field = MirroredHeaders::Field;
  Field authorization;
  Field api_key;  // X-API-Key
  Field content_type;
  Field content_encoding;
  Field accept;
  Field idempotency_key;
  Field session;        // Mcp-Session-Id
  Field last_event_id;  // Last-Event-ID
  MirroredHeaders mirrored;
};

Headers read_headers(std::span<const http::Header> headers);
// The same for a transport without headers of its own.
Headers without_mirrored(Headers headers);

}  // namespace kubiya::mcp
