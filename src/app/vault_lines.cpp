// SPDX-License-Identifier: Apache-2.0
#include "app/vault_lines.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/json.h"
#include "identity/key_vault.h"

namespace kubiya::app {
namespace {

constexpr std::size_t kNameBytes = 256;
constexpr std::size_t kIssuerBytes = 1024;
constexpr std::size_t kLinesMax = 1'000'000;

using Fields = std::vector<std::string>;

tl::unexpected<Error> bad(std::size_t line, std::string_view why) {
  return fail(Code::invalid, fmt::format("line {}: {}", line, why));
}

// One value of the line under its name.
Result<> put(VaultLine& line, std::string_view name, std::string value) {
  if (name == "key") {
    line.key = Secret::take(std::move(value));
  } else if (name == "issuer") {
    line.row.issuer = std::move(value);
  } else if (name == "tenant") {
    line.row.tenant = std::move(value);
  } else if (name == store::kVaultSubject || name == store::kVaultReference) {
    if (value.empty()) return {};  // of a table that has both columns
    if (!line.row.name.empty()) return fail(Code::invalid, "it has a subject and a reference");
    line.row.kind = name;
    line.row.name = std::move(value);
  } else {
    return fail(Code::invalid,
                printable(name) + " is unknown; known are issuer, subject, reference, tenant, key");
  }
  return {};
}

Result<> check_line(const VaultLine& line) {
  TRY_VOID(check_vault_row(line.row));
  if (identity::is_key_text(line.key.reveal())) return {};
  return fail(Code::invalid, "key must be 1 to 1024 visible ASCII characters");
}

Result<VaultLine> read_json(std::string_view text, const store::VaultRow& standard) {
  const auto value = parse_json(text);
  if (!value || !value->is_object()) return fail(Code::invalid, "it is not one JSON object");
  VaultLine line{standard, {}};
  for (const auto& [name, member] : value->get_object()) {
    if (!member.is_string()) return fail(Code::invalid, printable(name) + " must be a string");
    TRY_VOID(put(line, name, std::string(view(member.get_string()))));
  }
  return line;
}

// The fields of one line; a field with a comma or a quote in it is quoted, quotes in it doubled.
std::optional<Fields> split_csv(std::string_view text) {
  Fields fields(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      fields.emplace_back();
    } else if (text[i] == '"' && fields.back().empty()) {
      for (++i;; ++i) {
        if (i == text.size()) return std::nullopt;
        if (text[i] != '"') {
          fields.back() += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '"') {
          fields.back() += text[i++];
        } else {
          break;
        }
      }
      if (i + 1 < text.size() && text[i + 1] != ',') return std::nullopt;
    } else if (text[i] == '"') {
      return std::nullopt;
    } else {
      fields.back() += text[i];
    }
  }
  return fields;
}

Result<VaultLine> read_csv(std::string_view text, const Fields& header,
                           const store::VaultRow& standard) {
  auto fields = split_csv(text);
  if (!fields) return fail(Code::invalid, "a quote does not end, or stands inside a field");
  if (fields->size() != header.size()) {
    return fail(Code::invalid,
                fmt::format("it has {} fields, the header {}", fields->size(), header.size()));
  }
  VaultLine line{standard, {}};
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool standard_serves = header[i] == "issuer" || header[i] == "tenant";
    if (standard_serves && (*fields)[i].empty()) continue;
    TRY_VOID(put(line, header[i], std::move((*fields)[i])));
  }
  return line;
}

}  // namespace

Result<> check_vault_row(const store::VaultRow& row) {
  const auto plain = [](std::string_view text, std::size_t max) {
    return !text.empty() && text.size() <= max && printable(text, max + 1) == text;
  };
  if (!plain(row.issuer, kIssuerBytes)) {
    return fail(Code::invalid, "issuer is missing: give it as in the tokens' iss");
  }
  if (!plain(row.name, kNameBytes)) return fail(Code::invalid, "subject or reference is missing");
  if (!plain(row.tenant, kNameBytes)) return fail(Code::invalid, "tenant must not be empty");
  return {};
}

Result<std::vector<VaultLine>> read_vault_lines(std::string_view text,
                                                const store::VaultRow& standard) {
  std::vector<VaultLine> lines;
  std::optional<Fields> header;
  std::set<std::pair<std::string, std::string>> known;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.ends_with('\r')) one.remove_suffix(1);
    if (trim(one).empty()) continue;
    const bool object = trim(one).front() == '{';
    if (!header && !object && lines.empty()) {
      header = split_csv(one);
      if (!header) return bad(number, "the header cannot be read");
      continue;
    }
    auto line = header ? read_csv(one, *header, standard) : read_json(one, standard);
    if (!line) return bad(number, line.error().message);
    if (const auto checked = check_line(*line); !checked)
      return bad(number, checked.error().message);
    const store::VaultRow& row = line->row;
    const std::string place = fmt::format("{}:{}{}", row.issuer.size(), row.issuer, row.tenant);
    if (!known.emplace(place, row.kind + row.name).second) {
      return bad(number, "somebody above has the same name: one of the two keys would be lost");
    }
    if (lines.size() == kLinesMax) return bad(number, "import at most a million lines at a time");
    lines.push_back(std::move(*line));
  }
  return lines;
}

}  // namespace kubiya::app
