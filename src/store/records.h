// SPDX-License-Identifier: Apache-2.0
//
// Rows as the rest of the program sees them. Times are Unix milliseconds, 0 when
// not yet. `owner` is Principal::owner(); every query by a caller is by (tenant, owner)
// or by tenant for admins, in SQL, never filtered afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kubiya::store {

struct WorkflowRow {
  std::string tenant;
  std::string name;
  std::string description;
  std::string text;        // as submitted
  std::string digest;      // SHA-256 of text, hex
  std::string created_by;  // display form: issuer and subject
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  std::int64_t version = 1;
};

struct RunRow {
  std::string id;
  std::string tenant;
  std::string owner;
  std::string issuer;
  std::string subject;
  std::string display_name;
  std::string client;
  std::string key_fingerprint;
  std::string workflow;
  std::string digest;      // of the definition that runs
  std::string definition;  // its text
  std::string params;      // JSON object
  std::string status;      // workflow::RunStatus
  std::string reason;
  std::string request_id;
  std::optional<std::string> idempotency_key;
  std::string
      idempotency_digest;  // of workflow + params, to refuse another call under the same key
  std::int64_t created_ms = 0;
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  std::string outputs;                  // JSON object of output variables, set at the end
  std::string traceparent, tracestate;  // W3C Trace Context of the call; empty: none
};

struct StepRow {
  std::string run_id;
  int position = 0;
  std::string name;
  std::string status;  // workflow::StepStatus
  int attempt = 0;
  std::optional<int> exit_code;
  std::string reason;
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  std::string output;  // captured output variable's value, capped
  std::int64_t pid = 0;
};

struct LogRow {
  std::int64_t id = 0;  // grows within the file; a cursor
  std::string step;
  int attempt = 0;
  std::string stream;  // "stdout", "stderr", "system"
  std::int64_t time_ms = 0;
  std::string text;
};

// The issuer of the people whose keys are their only credential.
inline constexpr std::string_view kKeyIssuer = "urn:kubiya:api-key";

// Whose a key is: the same subject at two issuers is two people.
struct KeyRow {
  // What of this key's life is in the audit journal.
  enum class Recorded { nothing, made, revoked };

  std::string id;      // public part of the key
  std::string digest;  // keyed digest of the secret, hex
  std::string tenant;
  std::string owner;  // subject, at `issuer`
  std::string name;
  std::string scopes;  // space separated
  std::string hint;    // last four characters
  std::int64_t created_ms = 0;
  std::int64_t expires_ms = 0;  // 0: never
  std::int64_t revoked_ms = 0;  // 0: not
  std::int64_t last_used_ms = 0;
  Recorded recorded = Recorded::nothing;
  std::string issuer = std::string(kKeyIssuer);
  std::string labels = "{}";  // JSON object of strings
  std::string made_by = "command_line";
  std::string replaces;          // id of the key that this one is to take the place of; or empty
  std::int64_t promoted_ms = 0;  // since then it has that place
  std::int64_t retires_ms = 0;   // it is not accepted from then on; 0: stays
  std::string revoked_by;
};

// Which keys of a tenant; what is empty is not asked for.
struct KeyFilter {
  std::string tenant;
  std::optional<std::string> issuer = {};
  std::optional<std::string> owner = {};
};

// What was done to a key, for the audit journal.
struct KeyChange {
  std::int64_t id = 0;  // grows
  std::string key;
  std::string name;    // of the event
  std::string fields;  // JSON object
};

// Calls made with a key on one day.
struct KeyUse {
  std::string key;
  std::string client;    // OAuth client of the token that carried it; empty: it came by itself
  std::int64_t day = 0;  // since 1970-01-01, UTC
  std::int64_t calls = 0;
  std::int64_t last_ms = 0;
};

// Part of a longer list. `more`: something follows that would not fit.
template <class Row>
struct Page {
  std::vector<Row> rows;
  bool more = false;
};

// What a page may hold. `bytes` counts the rows' text; a single row is given however long it is.
struct PageLimit {
  int rows = 50;
  std::size_t bytes = SIZE_MAX;
};

// Everything up to the row `id` was read, but of that row itself only `offset` bytes when that is
// not 0.
struct LogCursor {
  std::int64_t id = 0;
  std::size_t offset = 0;
};

struct LogPage {
  std::vector<LogRow> rows;
  LogCursor next;
  bool more = false;
};

struct RunFilter {
  std::string tenant;
  std::optional<std::string> owner;  // absent: the whole tenant (admins)
  std::optional<std::string> workflow;
  std::optional<std::string> status;
  std::int64_t before_ms = 0;  // page: created before; 0: newest
  std::string before_id;
  PageLimit limit;
};

}  // namespace kubiya::store
