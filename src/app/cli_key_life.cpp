// SPDX-License-Identifier: Apache-2.0
#include "app/cli_key_life.h"

#include <cstdio>

#include <fmt/format.h>

#include "app/cli_data.h"
#include "app/config_value.h"
#include "identity/api_key.h"
#include "identity/key_life.h"
#include "store/store.h"

namespace kubiya::app::cli {
namespace {

constexpr std::uint64_t kDayMs = 86'400'000;
constexpr Range kLifetime{60'000, 3'660 * kDayMs};
constexpr Range kOverlap{0, 366 * kDayMs};
constexpr std::int64_t kUsageDays = 90;
constexpr std::int64_t kLately = 3'600'000;  // who called within an hour will call again

std::int64_t now_ms() { return unix_ms(SystemClock().wall()); }

std::string time_text(std::int64_t ms) { return ms == 0 ? "never" : format_time(from_unix_ms(ms)); }

Result<std::vector<store::KeyUse>> uses_of(store::Keys& keys, const store::KeyRow& row) {
  const std::int64_t today = now_ms() / static_cast<std::int64_t>(kDayMs);
  return keys.usage({row.tenant, row.issuer, row.owner}, row.id, today - kUsageDays);
}

void print_uses(const std::vector<store::KeyUse>& uses) {
  fmt::print("{:<12} {:>10} {:<26} {}\n", "DAY", "CALLS", "LAST", "CLIENT");
  for (const store::KeyUse& use : uses) {
    fmt::print("{:<12} {:>10} {:<26} {}\n",
               format_time(from_unix_ms(use.day * static_cast<std::int64_t>(kDayMs))).substr(0, 10),
               use.calls, time_text(use.last_ms), use.client.empty() ? "-" : use.client);
  }
}

json::array uses_json(const std::vector<store::KeyUse>& uses) {
  json::array out;
  for (const store::KeyUse& use : uses) {
    out.push_back(
        {{"day",
          format_time(from_unix_ms(use.day * static_cast<std::int64_t>(kDayMs))).substr(0, 10)},
         {"calls", use.calls},
         {"last", time_text(use.last_ms)},
         {"client", use.client}});
  }
  return out;
}

Result<> describe_key(const KeyCommand& command) {
  const Config config = TRY(load(command.where));
  const auto database = TRY(open_existing(config));
  store::Keys keys(*database);
  const store::KeyRow row = TRY(keys.get(command.id));
  json::object out = identity::describe(row, now_ms());
  if (const auto next = TRY(keys.successor(row.id))) out["replaced_by"] = next->id;
  if (command.json) {
    fmt::print("{}\n", to_json(out));
    return {};
  }
  for (const auto& field : out) {
    const std::string_view name = field.key();
    fmt::print("{:<12} {}\n", name,
               field.value().is_string() ? std::string(view(field.value().get_string()))
                                         : to_json(field.value()));
  }
  return {};
}

Result<> rotate(const KeyCommand& command) {
  std::optional<std::int64_t> expires;
  if (command.expires == "never") expires = 0;
  if (!command.expires.empty() && !expires) {
    const auto lifetime = parse_duration(command.expires, kLifetime);
    if (!lifetime) {
      return fail(Code::invalid, "--expires: allowed: never, or " + lifetime.error().message);
    }
    expires = now_ms() + lifetime->count();
  }
  const Config config = TRY(load(command.where));
  Workbench bench = TRY(Workbench::open(config));
  store::Keys keys(bench.database());
  store::Meta meta(bench.database());
  const store::KeyRow old = TRY(keys.get(command.id));
  const Secret pepper = TRY(open_key_pepper(config.data_dir, meta));
  const identity::NewKey made = identity::make_key(pepper);
  store::KeyRow row = identity::successor_of(old, now_ms(), expires);
  row.id = made.id;
  row.digest = made.digest;
  row.hint = made.hint;
  TRY_VOID(keys.stage(row));
  if (const Result<> recorded = bench.record_keys(); !recorded) {
    // A key without evidence must not work.
    TRY_VOID(keys.revoke(row.id, now_ms()));
    return fail(recorded.error());
  }
  fmt::print("{}\n", made.key.reveal());
  fmt::print(stderr,
             "Key {} is to replace {}; both work. It is shown this once. Hand it out, then run: "
             "kubiya-mcp key promote {}\n",
             row.id, old.id, row.id);
  return {};
}

Result<> promote(const KeyCommand& command) {
  const auto overlap = parse_duration(command.overlap, kOverlap);
  if (!overlap) return fail(Code::invalid, "--overlap: allowed: " + overlap.error().message);
  const Config config = TRY(load(command.where));
  Workbench bench = TRY(Workbench::open(config));
  store::Keys keys(bench.database());
  const std::int64_t retires = now_ms() + overlap->count();
  TRY_VOID(keys.promote(command.id, now_ms(), retires));
  TRY_VOID(bench.record_keys());
  const store::KeyRow promoted = TRY(keys.get(command.id));
  const store::KeyRow old = TRY(keys.get(promoted.replaces));
  fmt::print(
      "Key {} is in place of {}, which ends {}. `kubiya-mcp key usage {}` says who still "
      "uses the old one.\n",
      command.id, old.id, time_text(identity::ends_ms(old)), old.id);
  return {};
}

Result<> retire(const KeyCommand& command) {
  const Config config = TRY(load(command.where));
  Workbench bench = TRY(Workbench::open(config));
  store::Keys keys(bench.database());
  const store::KeyRow old = TRY(keys.get(command.id));
  if (!identity::is_good(identity::state_of(old, now_ms()))) {
    return fail(Code::conflict, fmt::format("Key {} has ended already.", old.id));
  }
  const auto next = TRY(keys.successor(old.id));
  if (!next || next->promoted_ms == 0) {
    return fail(Code::conflict, fmt::format("No key has taken the place of {}: promote its "
                                            "successor first, or revoke it.",
                                            old.id));
  }
  if (!command.force && old.last_used_ms > now_ms() - kLately) {
    return fail(
        Code::conflict,
        fmt::format("Key {} was used at {}: see `kubiya-mcp key usage {}`, or give --force.",
                    old.id, time_text(old.last_used_ms), old.id));
  }
  TRY_VOID(keys.retire(old.id, now_ms()));
  TRY_VOID(bench.record_keys());
  fmt::print("Key {} is retired.\n", old.id);
  return {};
}

Result<> label(const KeyCommand& command) {
  const Config config = TRY(load(command.where));
  Workbench bench = TRY(Workbench::open(config));
  store::Keys keys(bench.database());
  json::object labels = identity::labels_of(TRY(keys.get(command.id)));
  for (const std::string& word : command.labels) {
    const std::size_t equals = word.find('=');
    if (equals == word.npos) return fail(Code::invalid, "labels: give name=value, or name=");
    const std::string name = word.substr(0, equals);
    labels.erase(name);
    if (equals + 1 < word.size()) labels[name] = word.substr(equals + 1);
  }
  TRY_VOID(identity::check_labels(labels));
  TRY_VOID(keys.set_labels(command.id, to_json(labels)));
  TRY_VOID(bench.record_keys());
  fmt::print("{}\n", to_json(labels));
  return {};
}

Result<> usage(const KeyCommand& command) {
  const Config config = TRY(load(command.where));
  const auto database = TRY(open_existing(config));
  store::Keys keys(*database);
  const store::KeyRow row = TRY(keys.get(command.id));
  const auto uses = TRY(uses_of(keys, row));
  if (command.json) {
    fmt::print("{}\n", to_json(json::value(uses_json(uses))));
  } else {
    print_uses(uses);
  }
  return {};
}

int status_of(const Result<>& result) { return result ? kDone : complain(result.error()); }

}  // namespace

int key_describe(const KeyCommand& command) { return status_of(describe_key(command)); }
int key_rotate(const KeyCommand& command) { return status_of(rotate(command)); }
int key_promote(const KeyCommand& command) { return status_of(promote(command)); }
int key_retire(const KeyCommand& command) { return status_of(retire(command)); }
int key_label(const KeyCommand& command) { return status_of(label(command)); }
int key_usage(const KeyCommand& command) { return status_of(usage(command)); }

}  // namespace kubiya::app::cli
