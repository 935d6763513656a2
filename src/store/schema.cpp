// SPDX-License-Identifier: Apache-2.0
#include "store/schema.h"

#include <array>

#include <fmt/format.h>

#include "store/sql.h"

namespace kubiya::store {
namespace {

constexpr std::array kMigrations = {
    R"sql(
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workflows (
  tenant      TEXT NOT NULL,
  name        TEXT NOT NULL,
  description TEXT NOT NULL,
  text        TEXT NOT NULL,
  digest      TEXT NOT NULL,
  created_by  TEXT NOT NULL,
  created_ms  INTEGER NOT NULL,
  updated_ms  INTEGER NOT NULL,
  version     INTEGER NOT NULL CHECK (version > 0),
  PRIMARY KEY (tenant, name)
) STRICT;

CREATE TABLE runs (
  id                 TEXT PRIMARY KEY,
  tenant             TEXT NOT NULL,
  owner              TEXT NOT NULL,
  issuer             TEXT NOT NULL,
  subject            TEXT NOT NULL,
  display_name       TEXT NOT NULL,
  client             TEXT NOT NULL,
  key_fingerprint    TEXT NOT NULL,
  workflow           TEXT NOT NULL,
  digest             TEXT NOT NULL,
  definition         TEXT NOT NULL,
  params             TEXT NOT NULL,
  status             TEXT NOT NULL CHECK (status IN ('queued', 'running', 'finished', 'failed',
                       'canceled', 'partial_success', 'interrupted')),
  reason             TEXT NOT NULL,
  request_id         TEXT NOT NULL,
  idempotency_key    TEXT,
  idempotency_digest TEXT NOT NULL,
  created_ms         INTEGER NOT NULL,
  started_ms         INTEGER NOT NULL,
  finished_ms        INTEGER NOT NULL,
  outputs            TEXT NOT NULL,
  audited            INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_unaudited ON runs (created_ms) WHERE audited = 0;
CREATE UNIQUE INDEX runs_by_idempotency_key ON runs (tenant, owner, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_of_tenant ON runs (tenant, created_ms, id);
CREATE INDEX runs_of_owner ON runs (tenant, owner, created_ms, id);
CREATE INDEX runs_unfinished ON runs (created_ms) WHERE status IN ('queued', 'running');

CREATE TABLE steps (
  run_id      TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  position    INTEGER NOT NULL,
  name        TEXT NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('not_started', 'running', 'finished', 'failed',
                'canceled', 'skipped', 'interrupted')),
  attempt     INTEGER NOT NULL,
  exit_code   INTEGER,
  reason      TEXT NOT NULL,
  started_ms  INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL,
  output      TEXT NOT NULL,
  pid         INTEGER NOT NULL,
  PRIMARY KEY (run_id, position)
) STRICT;

CREATE TABLE logs (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id  TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  step    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  stream  TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr', 'system')),
  time_ms INTEGER NOT NULL,
  text    TEXT NOT NULL
) STRICT;
CREATE INDEX logs_of_run ON logs (run_id, id);

CREATE TABLE keys (
  id           TEXT PRIMARY KEY,
  digest       TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  owner        TEXT NOT NULL,
  name         TEXT NOT NULL,
  scopes       TEXT NOT NULL,
  hint         TEXT NOT NULL,
  created_ms   INTEGER NOT NULL,
  expires_ms   INTEGER NOT NULL,
  revoked_ms   INTEGER NOT NULL,
  last_used_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_of_owner ON keys (tenant, owner, created_ms);
)sql",
    R"sql(
ALTER TABLE keys ADD COLUMN recorded INTEGER NOT NULL DEFAULT 0;
)sql",
    R"sql(
ALTER TABLE runs ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN tracestate TEXT NOT NULL DEFAULT '';
)sql",
    // Whose a key is takes an issuer and a subject. Those made before belong to the server itself.
    R"sql(
ALTER TABLE keys ADD COLUMN issuer TEXT NOT NULL DEFAULT 'urn:kubiya:api-key';
ALTER TABLE keys ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE keys ADD COLUMN made_by TEXT NOT NULL DEFAULT 'command_line';
ALTER TABLE keys ADD COLUMN replaces TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN promoted_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN retires_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN revoked_by TEXT NOT NULL DEFAULT '';
DROP INDEX keys_of_owner;
CREATE INDEX keys_of_owner ON keys (tenant, issuer, owner, created_ms);
CREATE UNIQUE INDEX keys_by_replaced ON keys (replaces) WHERE replaces <> '' AND revoked_ms = 0;

CREATE TABLE key_usage (
  key_id  TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
  day     INTEGER NOT NULL,
  client  TEXT NOT NULL,
  calls   INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  PRIMARY KEY (key_id, day, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_changes (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  key_id TEXT NOT NULL,
  name   TEXT NOT NULL,
  fields TEXT NOT NULL
) STRICT;
)sql",
    R"sql(
CREATE TABLE vault (
  tenant     TEXT NOT NULL,
  issuer     TEXT NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('subject', 'reference')),
  name       TEXT NOT NULL,
  version    INTEGER NOT NULL CHECK (version > 0),
  key_id     TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant, issuer, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE owed_records (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  event  TEXT NOT NULL,
  fields TEXT NOT NULL
) STRICT;
)sql",
    // More states, for which a column has to be made anew: its check is part of it.
    R"sql(
DROP INDEX runs_unfinished;
ALTER TABLE runs ADD COLUMN state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued',
  'running', 'finished', 'failed', 'canceled', 'partial_success', 'interrupted', 'rejected',
  'expired'));
UPDATE runs SET state = status;
ALTER TABLE runs DROP COLUMN status;
ALTER TABLE runs RENAME COLUMN state TO status;
CREATE INDEX runs_unfinished ON runs (created_ms) WHERE status IN ('queued', 'running');

ALTER TABLE steps ADD COLUMN state TEXT NOT NULL DEFAULT 'not_started' CHECK (state IN
  ('not_started', 'running', 'finished', 'failed', 'canceled', 'skipped', 'interrupted', 'waiting',
   'rejected', 'expired'));
UPDATE steps SET state = status;
ALTER TABLE steps DROP COLUMN status;
ALTER TABLE steps RENAME COLUMN state TO status;

CREATE TABLE approvals (
  id            TEXT PRIMARY KEY,
  run_id        TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  tenant        TEXT NOT NULL,
  requester     TEXT NOT NULL,
  workflow      TEXT NOT NULL,
  step          TEXT NOT NULL,
  message       TEXT NOT NULL,
  digest        TEXT NOT NULL,
  scopes        TEXT NOT NULL,
  groups        TEXT NOT NULL,
  quorum        INTEGER NOT NULL CHECK (quorum > 0),
  not_requester INTEGER NOT NULL,
  created_ms    INTEGER NOT NULL,
  expires_ms    INTEGER NOT NULL,
  decided_ms    INTEGER NOT NULL,
  status        TEXT NOT NULL CHECK (status IN ('open', 'approved', 'rejected', 'expired',
                  'withdrawn'))
) STRICT;
CREATE UNIQUE INDEX approvals_of_run ON approvals (run_id, step);
CREATE INDEX approvals_of_tenant ON approvals (tenant, created_ms, id);

CREATE TABLE approval_votes (
  approval_id TEXT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
  approver    TEXT NOT NULL,
  issuer      TEXT NOT NULL,
  subject     TEXT NOT NULL,
  name        TEXT NOT NULL,
  decision    TEXT NOT NULL CHECK (decision IN ('approve', 'reject')),
  comment     TEXT NOT NULL,
  request_id  TEXT NOT NULL,
  decided_ms  INTEGER NOT NULL,
  PRIMARY KEY (approval_id, approver)
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
CREATE TABLE cutoffs (
  issuer      TEXT NOT NULL,
  subject     TEXT NOT NULL,
  since_ms    INTEGER NOT NULL,
  lifted_ms   INTEGER NOT NULL,
  reason      TEXT NOT NULL,
  PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
)sql",
};

Result<std::int64_t> pragma(Connection& connection, std::string_view sql) {
  Statement statement = TRY(query(connection, sql));
  TRY(statement.step());
  return statement.integer(0);
}

Result<> check_is_ours(Connection& connection, std::int64_t version) {
  const std::int64_t id = TRY(pragma(connection, "PRAGMA application_id"));
  const std::int64_t tables = TRY(pragma(connection, "SELECT count(*) FROM sqlite_schema"));
  const bool fresh = id == 0 && version == 0 && tables == 0;
  if (fresh || id == kApplicationId) return {};
  return fail(Code::unsupported, "The database file belongs to another program.",
              fmt::format("application_id {}", id));
}

Result<> apply(Connection& connection, std::int64_t wanted) {
  const std::int64_t version = TRY(pragma(connection, "PRAGMA user_version"));
  TRY_VOID(check_is_ours(connection, version));
  const auto known = static_cast<std::int64_t>(kMigrations.size());
  if (version < 0 || version > known) {
    return fail(Code::unsupported,
                fmt::format("The database has schema version {}, this program knows up to {}. "
                            "Use the newer program.",
                            version, known));
  }
  for (auto next = version; next < wanted; ++next) {
    TRY_VOID(connection.execute(kMigrations[static_cast<std::size_t>(next)]));
  }
  if (version >= wanted) return {};
  TRY_VOID(connection.execute(fmt::format("PRAGMA user_version = {}", wanted).c_str()));
  return connection.execute(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
}

}  // namespace

Result<> migrate(Connection& connection) {
  return migrate(connection, static_cast<std::int64_t>(kMigrations.size()));
}

Result<> migrate(Connection& connection, std::int64_t version) {
  ASSERT(version >= 0 && version <= static_cast<std::int64_t>(kMigrations.size()),
         "a known schema");
  TRY_VOID(connection.execute("BEGIN IMMEDIATE"));
  Result<> applied = apply(connection, version);
  if (applied) applied = connection.execute("COMMIT");
  if (!applied) (void)connection.execute("ROLLBACK");
  return applied;
}

}  // namespace kubiya::store
