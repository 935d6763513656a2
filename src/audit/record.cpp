// SPDX-License-Identifier: Apache-2.0
#include "audit/record.h"

#include <algorithm>
#include <array>
#include <variant>

#include <fmt/format.h>

#include "base/canonical_json.h"
#include "base/encoding.h"

namespace kubiya::audit {
namespace {

using Text = std::string Record::*;
using Number = std::optional<std::uint64_t> Record::*;

struct Member {
  std::string_view name;
  std::variant<Text, Number> where;
  std::size_t max = 0;  // bytes of text
};

// The order of the line. `fields` is an object, not text, and comes last.
constexpr std::array kMembers = {
    Member{"time", &Record::time, 32},
    Member{"kind", &Record::kind, 16},
    Member{"request_id", &Record::request_id, 64},
    Member{"era", &Record::era, 16},
    Member{"peer", &Record::peer, 64},
    Member{"tenant", &Record::tenant, 128},
    Member{"issuer", &Record::issuer, 512},
    Member{"subject", &Record::subject, 512},
    Member{"client", &Record::client, 256},
    Member{"credential", &Record::credential, 16},
    Member{"key", &Record::key, 8},
    Member{"claimed_issuer", &Record::claimed_issuer, 256},
    Member{"claimed_subject", &Record::claimed_subject, 256},
    Member{"operation", &Record::operation, 128},
    Member{"target", &Record::target, 256},
    Member{"digest", &Record::digest, 64},
    Member{"args", &Record::args, 64},
    Member{"decision", &Record::decision, 16},
    Member{"reason", &Record::reason, 64},
    Member{"detail", &Record::detail, 512},
    Member{"status", &Record::status},
    Member{"run_id", &Record::run_id, 128},
    Member{"outcome", &Record::outcome, 32},
    Member{"code", &Record::code, 32},
    Member{"intent", &Record::intent},
    Member{"latency_us", &Record::latency_us},
    Member{"count", &Record::count},
    Member{"first", &Record::first, 32},
    Member{"last", &Record::last, 32},
    Member{"event", &Record::event, 64},
};

constexpr std::size_t kMaxFields = 4096;
constexpr std::size_t kMaxFieldText = 512;

void append_text(std::string& out, std::string_view text, std::size_t max) {
  const bool plain = text.size() <= max && std::all_of(text.begin(), text.end(), [](char c) {
                       return c >= 0x20 && c < 0x7F;
                     });
  append_canonical_string(out, plain ? text : printable(text, max));
}

json::value printable_value(const json::value& value, int depth) {
  if (const auto* text = value.if_string())
    return json::value(printable(view(*text), kMaxFieldText));
  if (depth == 0 && value.is_structured()) return json::value("…");
  if (const auto* array = value.if_array()) {
    json::array out;
    for (const auto& item : *array) out.push_back(printable_value(item, depth - 1));
    return out;
  }
  if (const auto* object = value.if_object()) {
    json::object out;
    for (const auto& member : *object) {
      out.insert_or_assign(printable(member.key()), printable_value(member.value(), depth - 1));
    }
    return out;
  }
  return value;
}

Error broken(std::string why) { return {Code::corrupt, std::move(why), {}}; }

Result<std::uint64_t> natural(const json::value& value, std::string_view name) {
  if (const auto* n = value.if_uint64()) return *n;
  if (const auto* n = value.if_int64(); n != nullptr && *n >= 0)
    return static_cast<std::uint64_t>(*n);
  return fail(broken(fmt::format("member {} is not a natural number", name)));
}

Result<> take_member(Record& record, const Member& member, const json::value& value) {
  if (const auto* number = std::get_if<Number>(&member.where)) {
    record.*(*number) = TRY(natural(value, member.name));
    return {};
  }
  const auto* text = value.if_string();
  if (text == nullptr) return fail(broken(fmt::format("member {} is not a string", member.name)));
  record.*std::get<Text>(member.where) = std::string(view(*text));
  return {};
}

Result<> take_place(Record& record, const json::object& object) {
  const auto* version = find(object, "v");
  const auto* sequence = find(object, "seq");
  const auto* batch = find(object, "batch");
  const auto previous = find_string(object, "prev");
  if (version == nullptr || sequence == nullptr || batch == nullptr || !previous) {
    return fail(broken("v, seq, batch or prev is missing"));
  }
  if (TRY(natural(*version, "v")) != 1) return fail(broken("unknown format version"));
  record.sequence = TRY(natural(*sequence, "seq"));
  record.batch = TRY(natural(*batch, "batch"));
  const auto bytes = unbase64(*previous);
  if (!bytes || bytes->size() != record.previous.size()) return fail(broken("prev is not a hash"));
  std::copy(bytes->begin(), bytes->end(), record.previous.begin());
  return {};
}

bool names_secret(std::string_view name) {
  static constexpr std::array<std::string_view, 14> kNames = {
      "api_key",       "apikey",        "api-key",       "x-api-key",  "kubiya_api_key",
      "authorization", "access_token",  "refresh_token", "id_token",   "token",
      "password",      "client_secret", "secret",        "private_key"};
  return std::any_of(kNames.begin(), kNames.end(),
                     [&](std::string_view known) { return iequals(known, name); });
}

json::value without_secrets(const json::value& value) {
  if (const auto* array = value.if_array()) {
    json::array out;
    out.reserve(array->size());
    for (const auto& item : *array) out.push_back(without_secrets(item));
    return out;
  }
  if (const auto* object = value.if_object()) {
    json::object out;
    out.reserve(object->size());
    for (const auto& member : *object) {
      out.emplace(member.key(), names_secret(member.key()) ? json::value("redacted")
                                                           : without_secrets(member.value()));
    }
    return out;
  }
  return value;
}

}  // namespace

std::string record_body(const Record& record) {
  std::string out;
  out.reserve(512);
  auto name = [&](std::string_view member) {
    if (!out.empty()) out += ',';
    out.append("\"").append(member).append("\":");
  };
  for (const Member& member : kMembers) {
    if (const auto* number = std::get_if<Number>(&member.where)) {
      if (!(record.*(*number))) continue;
      name(member.name);
      fmt::format_to(std::back_inserter(out), "{}", *(record.*(*number)));
    } else if (const std::string& text = record.*std::get<Text>(member.where); !text.empty()) {
      name(member.name);
      append_text(out, text, member.max);
    }
  }
  if (!record.fields.empty()) {
    name("fields");
    out += record.fields;
  }
  out += '}';
  return out;
}

std::string record_line(std::uint64_t sequence, std::uint64_t batch, const Hash& previous,
                        std::string_view body) {
  return fmt::format(R"({{"v":1,"seq":{},"batch":{},"prev":"{}",{})", sequence, batch,
                     base64(crypto::view(previous)), body);
}

Result<Record> parse_record(std::string_view line) {
  if (line.size() > kMaxLine) return fail(broken("line too long"));
  JsonLimits limits;
  limits.depth = 8;
  limits.nodes = 4096;
  auto parsed = parse_json(line, limits);
  if (!parsed) return fail(broken(parsed.error().message));
  const auto* object = parsed->if_object();
  if (object == nullptr) return fail(broken("not an object"));
  Record record;
  TRY_VOID(take_place(record, *object));
  for (const auto& member : *object) {
    const std::string_view name = member.key();
    if (name == "v" || name == "seq" || name == "batch" || name == "prev") continue;
    if (name == "fields" && member.value().is_object()) {
      record.fields = canonical_json(member.value());
      continue;
    }
    const auto known = std::find_if(kMembers.begin(), kMembers.end(),
                                    [&](const Member& m) { return m.name == name; });
    if (known == kMembers.end()) return fail(broken("unknown member " + printable(name)));
    TRY_VOID(take_member(record, *known, member.value()));
  }
  if (record.time.empty() || record.kind.empty()) return fail(broken("time or kind is missing"));
  // Order, spelling and bounds are checked at once by printing the record again.
  if (record_line(record.sequence, record.batch, record.previous, record_body(record)) != line) {
    return fail(broken("not in canonical form"));
  }
  return record;
}

std::string event_fields(const json::object& fields) {
  std::string text = canonical_json(printable_value(fields, 4));
  return text.size() <= kMaxFields ? text : R"({"truncated":true})";
}

std::string argument_digest(std::string_view key, const json::object& arguments) {
  const std::string text = canonical_json(without_secrets(arguments));
  return hex(crypto::view(crypto::hmac_sha256(key, text)));
}

}  // namespace kubiya::audit
