// SPDX-License-Identifier: Apache-2.0
//
// What happens to a key between its making and its end. Each change leaves, in the same
// transaction, what the audit journal is to be told of it.
#include <fmt/format.h>

#include "base/clock.h"
#include "base/json.h"
#include "store/sql.h"
#include "store/store.h"

namespace kubiya::store {
namespace {

tl::unexpected<Error> unknown() { return fail(Code::not_found, "There is no key of that id."); }

std::string time_of(std::int64_t ms) { return format_time(from_unix_ms(ms)); }

Result<> note(Connection& connection, std::string_view id, std::string_view name,
              json::object fields, std::string_view by) {
  fields["key"] = id;
  fields["by"] = by;
  TRY(change(connection, "INSERT INTO key_changes (key_id, name, fields) VALUES (?1, ?2, ?3)", id,
             name, to_json(fields)));
  return {};
}

// Why a key of this state cannot be replaced; empty: it can.
std::string_view no_rotation(std::int64_t revoked_ms, std::int64_t expires_ms,
                             std::int64_t retires_ms, std::int64_t now_ms) {
  if (revoked_ms != 0) return "is revoked";
  if (expires_ms != 0 && expires_ms <= now_ms) return "has expired";
  if (retires_ms != 0) return "is being replaced already";
  return {};
}

Result<> check_rotation(Connection& connection, const KeyRow& row) {
  Statement old =
      TRY(query(connection, "SELECT revoked_ms, expires_ms, retires_ms FROM keys WHERE id = ?1",
                row.replaces));
  if (!TRY(old.step())) return unknown();
  const std::string_view why =
      no_rotation(old.integer(0), old.integer(1), old.integer(2), row.created_ms);
  if (!why.empty()) {
    return fail(Code::conflict, fmt::format("Key {} {}: create a new one.", row.replaces, why));
  }
  Statement other = TRY(query(
      connection, "SELECT id FROM keys WHERE replaces = ?1 AND revoked_ms = 0", row.replaces));
  if (!TRY(other.step())) return {};
  return fail(Code::conflict,
              fmt::format("Key {} has a successor already, {}: promote or revoke that one first.",
                          row.replaces, other.text(0)));
}

}  // namespace

Result<> Keys::stage(const KeyRow& row) {
  return db_.write_wait([&row](Connection& connection) -> Result<> {
    TRY_VOID(check_rotation(connection, row));
    return insert(connection, row);
  });
}

Result<> Keys::promote(std::string_view id, std::int64_t now_ms, std::int64_t retires_ms,
                       std::string_view by) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    Statement row = TRY(
        query(connection, "SELECT replaces, promoted_ms, revoked_ms FROM keys WHERE id = ?1", id));
    if (!TRY(row.step())) return unknown();
    const std::string old = row.text(0);
    if (old.empty()) {
      return fail(Code::conflict, fmt::format("Key {} replaces no other: there is nothing to "
                                              "promote. Rotate a key first.",
                                              id));
    }
    if (row.integer(1) != 0 || row.integer(2) != 0) {
      return fail(Code::conflict, fmt::format("Key {} is {} already.", id,
                                              row.integer(2) != 0 ? "revoked" : "promoted"));
    }
    TRY(change(connection, "UPDATE keys SET promoted_ms = ?2 WHERE id = ?1", id, now_ms));
    TRY(change(connection,
               "UPDATE keys SET retires_ms = ?2 WHERE id = ?1 AND revoked_ms = 0 AND"
               " (retires_ms = 0 OR retires_ms > ?2)",
               old, retires_ms));
    return note(connection, id, "key_promoted",
                {{"replaces", old}, {"retires", time_of(retires_ms)}}, by);
  });
}

Result<> Keys::retire(std::string_view id, std::int64_t at_ms, std::string_view by) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    const auto changed = TRY(change(
        connection, "UPDATE keys SET retires_ms = ?2 WHERE id = ?1 AND revoked_ms = 0", id, at_ms));
    if (changed == 0) return unknown();
    return note(connection, id, "key_retired", {{"retires", time_of(at_ms)}}, by);
  });
}

Result<> Keys::set_labels(std::string_view id, std::string_view labels, std::string_view by) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    const auto changed =
        TRY(change(connection, "UPDATE keys SET labels = ?2 WHERE id = ?1", id, labels));
    if (changed == 0) return unknown();
    return note(connection, id, "key_labelled", {{"labels", labels}}, by);
  });
}

Result<std::vector<KeyChange>> Keys::changes() {
  return read_value(db_, [](Connection& connection) -> Result<std::vector<KeyChange>> {
    Statement statement =
        TRY(query(connection, "SELECT id, key_id, name, fields FROM key_changes ORDER BY id"));
    return rows<KeyChange>(std::move(statement), [](const Statement& row) {
      return KeyChange{row.integer(0), row.text(1), row.text(2), row.text(3)};
    });
  });
}

void Keys::forget_change(std::int64_t id) {
  db_.write(
      [id](Connection& connection) -> Result<> {
        TRY(change(connection, "DELETE FROM key_changes WHERE id = ?1", id));
        return {};
      },
      {});
}

void Keys::count(std::vector<KeyUse> uses) {
  db_.write(
      [uses = std::move(uses)](Connection& connection) -> Result<> {
        for (const KeyUse& use : uses) {
          // Nothing of a key that is not in the store.
          TRY(change(connection,
                     "INSERT INTO key_usage (key_id, day, client, calls, last_ms)"
                     " SELECT ?1, ?2, ?3, ?4, ?5 FROM keys WHERE id = ?1"
                     " ON CONFLICT (key_id, day, client) DO UPDATE SET calls = calls + ?4,"
                     " last_ms = max(last_ms, ?5)",
                     use.key, use.day, use.client, use.calls, use.last_ms));
          TRY(change(connection,
                     "UPDATE keys SET last_used_ms = max(last_used_ms, ?2) WHERE id = ?1", use.key,
                     use.last_ms));
        }
        return {};
      },
      {});
}

Result<std::vector<KeyUse>> Keys::usage(const KeyFilter& filter,
                                        const std::optional<std::string>& id,
                                        std::int64_t since_day) {
  return read_value(db_, [&](Connection& connection) -> Result<std::vector<KeyUse>> {
    Statement statement =
        TRY(query(connection,
                  "SELECT u.key_id, u.client, u.day, u.calls, u.last_ms FROM key_usage u"
                  " JOIN keys k ON k.id = u.key_id"
                  " WHERE k.tenant = ?1 AND (?2 IS NULL OR k.issuer = ?2)"
                  " AND (?3 IS NULL OR k.owner = ?3) AND (?4 IS NULL OR k.id = ?4) AND u.day >= ?5"
                  " ORDER BY u.day DESC, u.key_id, u.client",
                  filter.tenant, filter.issuer, filter.owner, id, since_day));
    return rows<KeyUse>(std::move(statement), [](const Statement& row) {
      return KeyUse{row.text(0), row.text(1), row.integer(2), row.integer(3), row.integer(4)};
    });
  });
}

}  // namespace kubiya::store
