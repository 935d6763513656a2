// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one record: a JSON object on one line, members in the order of the
// table in docs/audit-format.md, strings spelled as in RFC 8785, absent members left
// out. Every value has exactly one spelling, so a line that parses prints back equal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "audit/tree.h"
#include "base/json.h"
#include "base/result.h"

namespace kubiya::audit {

inline constexpr std::size_t kMaxLine = 32 * 1024;  // bytes of a record, newline excluded

// Empty strings and empty optionals are left out of the line.
struct Record {
  std::uint64_t sequence = 0;  // index of the leaf, from 0
  std::uint64_t batch = 0;     // sequence of the first record of the same write
  Hash previous{};             // leaf hash of the record before; zeroes in record 0

  std::string time;  // RFC 3339, UTC, milliseconds; of the decision, not of the write
  // intent | outcome | read | refused | run_finished | event | recovered
  std::string kind;
  std::string request_id;
  std::string era;
  std::string peer;
  std::string tenant;
  std::string issuer;
  std::string subject;
  std::string client;
  std::string credential;      // token | api_key | shared_key
  std::string key;             // fingerprint, 8 hex digits
  std::string claimed_issuer;  // of a credential that was not accepted
  std::string claimed_subject;
  std::string operation;
  std::string target;
  std::string digest;    // SHA-256 of a workflow definition, 64 hex digits
  std::string args;      // keyed digest, 64 hex digits
  std::string decision;  // allowed | refused
  std::string reason;
  std::string detail;
  std::optional<std::uint64_t> status;  // HTTP
  std::string run_id;
  std::string outcome;                  // ok | error; of a run: its status
  std::string code;                     // of an error
  std::optional<std::uint64_t> intent;  // sequence of the intent this is the outcome of
  std::optional<std::uint64_t> latency_us;
  std::optional<std::uint64_t> count;  // how many equal calls this record stands for
  std::string first;                   // time of the first and the last of them
  std::string last;
  std::string event;
  std::string fields;  // RFC 8785 text of an object
};

// Everything behind `prev`, without the opening brace: what is known before the record
// has its place. Text is made printable and cut to the bounds of the format here.
std::string record_body(const Record& record);
// The line of a body at its place, without newline.
std::string record_line(std::uint64_t sequence, std::uint64_t batch, const Hash& previous,
                        std::string_view body);

// Strict: unknown members, other orders, other spellings and lines over kMaxLine are
// Code::corrupt. `line` has no newline.
Result<Record> parse_record(std::string_view line);

// What may stand in Record::fields: strings made printable and cut, at most 4 KiB in
// all (otherwise {"truncated":true}).
std::string event_fields(const json::object& fields);

// HMAC-SHA-256, 64 hex digits, over the RFC 8785 text of the arguments, in which every
// value of a member that names a secret (api_key, password, token, …) is replaced by
// "redacted". Equal arguments have equal digests under one key; nothing can be read back.
std::string argument_digest(std::string_view key, const json::object& arguments);

}  // namespace kubiya::audit
