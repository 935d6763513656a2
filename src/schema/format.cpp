// SPDX-License-Identifier: Apache-2.0
#include "schema/format.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "schema/regex.h"
#include "schema/uri.h"

namespace kubiya::schema {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// Takes the text apart from the left.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool take(std::string_view any_of) {
    if (done() || any_of.find(rest_.front()) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Exactly `width` digits with a value in [low, high].
  std::optional<int> number(std::size_t width, int low, int high) {
    if (rest_.size() < width) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      if (!is_digit(rest_[i])) return std::nullopt;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(width);
    return value >= low && value <= high ? std::optional(value) : std::nullopt;
  }
  std::size_t digits() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_digit);
    const auto count = static_cast<std::size_t>(end - rest_.begin());
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
};

// RFC 3339 §5.6 full-date.
bool read_date(Reader& in) {
  const auto year = in.number(4, 0, 9999);
  const auto month = year && in.take("-") ? in.number(2, 1, 12) : std::nullopt;
  const auto day = month && in.take("-") ? in.number(2, 1, 31) : std::nullopt;
  if (!day) return false;
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = *year % 4 == 0 && (*year % 100 != 0 || *year % 400 == 0);
  return *day <= kDays[static_cast<std::size_t>(*month - 1)] + (leap && *month == 2 ? 1 : 0);
}

// Minutes to add to local time for UTC.
std::optional<int> read_offset(Reader& in) {
  if (in.take("zZ")) return 0;
  const bool ahead = in.take("+");
  if (!ahead && !in.take("-")) return std::nullopt;
  const auto hours = in.number(2, 0, 23);
  const auto minutes = hours && in.take(":") ? in.number(2, 0, 59) : std::nullopt;
  if (!minutes) return std::nullopt;
  return (ahead ? -1 : 1) * (*hours * 60 + *minutes);
}

// RFC 3339 §5.6 full-time; a leap second only where one can be, at 23:59:60 UTC.
bool read_time(Reader& in) {
  const auto hour = in.number(2, 0, 23);
  const auto minute = hour && in.take(":") ? in.number(2, 0, 59) : std::nullopt;
  const auto second = minute && in.take(":") ? in.number(2, 0, 60) : std::nullopt;
  if (!second || (in.take(".") && in.digits() == 0)) return false;
  const auto offset = read_offset(in);
  if (!offset) return false;
  constexpr int kDay = 24 * 60;
  return *second < 60 || (*hour * 60 + *minute + *offset + 2 * kDay) % kDay == kDay - 1;
}

bool is_date(std::string_view text) {
  Reader in(text);
  return read_date(in) && in.done();
}

bool is_time(std::string_view text) {
  Reader in(text);
  return read_time(in) && in.done();
}

bool is_date_time(std::string_view text) {
  Reader in(text);
  return read_date(in) && in.take("tT") && read_time(in) && in.done();
}

// RFC 3339 appendix A: units in order, none skipped within the date or time part,
// weeks alone.
bool read_units(Reader& in, std::string_view units) {
  std::size_t next = 0;
  bool any = false;
  while (in.digits() > 0) {
    std::size_t unit = next;
    while (unit < units.size() && !in.take(units.substr(unit, 1))) ++unit;
    if (unit == units.size() || (any && unit != next)) return false;
    next = unit + 1;
    any = true;
  }
  return any;
}

bool is_duration(std::string_view text) {
  if (text.size() < 3 || text.front() != 'P') return false;
  text.remove_prefix(1);
  const auto mark = text.find('T');
  Reader date(text.substr(0, mark));
  if (mark == std::string_view::npos && text.back() == 'W')
    return read_units(date, "W") && date.done();
  if (mark != 0 && (!read_units(date, "YMD") || !date.done())) return false;
  if (mark == std::string_view::npos) return true;
  Reader time(text.substr(mark + 1));
  return read_units(time, "HMS") && time.done();
}

bool is_ipv4(std::string_view text) {
  Reader in(text);
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && !in.take(".")) return false;
    Reader ahead = in;
    const std::size_t width = ahead.digits();
    if (width == 0 || width > 3) return false;
    const auto part = in.number(width, 0, 255);
    if (!part || (width > 1 && *part < (width == 2 ? 10 : 100))) return false;
  }
  return in.done();
}

// RFC 4291 §2.2: the number of 16-bit groups in a run without "::", or nothing.
std::optional<int> ipv6_groups(std::string_view text, bool may_end_in_ipv4) {
  if (text.empty()) return 0;
  int groups = 0;
  while (true) {
    const auto end = text.find(':');
    const std::string_view group = text.substr(0, end);
    if (end == std::string_view::npos && may_end_in_ipv4 && is_ipv4(group)) return groups + 2;
    if (group.empty() || group.size() > 4 || !std::all_of(group.begin(), group.end(), is_hex)) {
      return std::nullopt;
    }
    ++groups;
    if (end == std::string_view::npos) return groups;
    text.remove_prefix(end + 1);
  }
}

bool is_ipv6(std::string_view text) {
  const auto gap = text.find("::");
  if (gap == std::string_view::npos) return ipv6_groups(text, true) == 8;
  const auto left = ipv6_groups(text.substr(0, gap), false);
  const auto right = ipv6_groups(text.substr(gap + 2), true);
  return left && right && *left + *right <= 7;
}

// RFC 1123 §2.1 labels within the lengths of RFC 1035.
bool is_hostname(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const auto dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') {
      return false;
    }
    const bool plain = std::all_of(label.begin(), label.end(),
                                   [](char c) { return is_alpha(c) || is_digit(c) || c == '-'; });
    if (!plain) return false;
    const bool ace = label.size() >= 4 && label.substr(2, 2) == "--";
    if (ace && ((label[0] | 0x20) != 'x' || (label[1] | 0x20) != 'n' || label.size() == 4)) {
      return false;  // RFC 5891 §4.2.3.1 reserves the other forms
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

// RFC 5321 §4.1.2 Local-part.
bool is_mail_local_part(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
      if (text[i] == '\\' && ++i + 1 >= text.size()) return false;
      if (text[i] < 0x20 || text[i] > 0x7e || (text[i] == '"' && text[i - 1] != '\\')) return false;
    }
    return true;
  }
  constexpr std::string_view kSpecials = "!#$%&'*+-/=?^_`{|}~";
  char before = '.';
  for (const char c : text) {
    const bool atom = is_alpha(c) || is_digit(c) || kSpecials.find(c) != std::string_view::npos;
    if (!atom && (c != '.' || before == '.')) return false;
    before = c;
  }
  return before != '.';
}

bool is_email(std::string_view text) {
  const auto at = text.rfind('@');
  if (at == std::string_view::npos || !is_mail_local_part(text.substr(0, at))) return false;
  std::string_view domain = text.substr(at + 1);
  if (!domain.starts_with('[') || !domain.ends_with(']')) return is_hostname(domain);
  domain = domain.substr(1, domain.size() - 2);
  return domain.starts_with("IPv6:") ? is_ipv6(domain.substr(5)) : is_ipv4(domain);
}

// RFC 3986: unreserved, sub-delims, percent escapes, and what `also` adds.
bool is_uri_text(std::string_view text, std::string_view also) {
  constexpr std::string_view kMarks = "-._~!$&'()*+,;=";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
      i += 2;
    } else if (!is_alpha(c) && !is_digit(c) && kMarks.find(c) == std::string_view::npos &&
               also.find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

bool is_ip_literal(std::string_view text) {
  if (is_ipv6(text)) return true;
  const auto dot = text.find('.');
  return text.starts_with('v') && dot != std::string_view::npos && dot > 1 &&
         std::all_of(text.begin() + 1, text.begin() + static_cast<long>(dot), is_hex) &&
         dot + 1 < text.size() && is_uri_text(text.substr(dot + 1), ":") &&
         text.find('%') == std::string_view::npos;
}

bool is_authority(std::string_view text) {
  if (const auto at = text.find('@'); at != std::string_view::npos) {
    if (!is_uri_text(text.substr(0, at), ":")) return false;
    text.remove_prefix(at + 1);
  }
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || !is_ip_literal(text.substr(1, close - 1))) return false;
    port = text.substr(close + 1);
    if (!port.empty() && port.front() != ':') return false;
  } else {
    const auto colon = text.find(':');
    if (!is_uri_text(text.substr(0, colon), "")) return false;
    port = colon == std::string_view::npos ? std::string_view{} : text.substr(colon);
  }
  if (!port.empty()) port.remove_prefix(1);
  return std::all_of(port.begin(), port.end(), is_digit);
}

bool is_uri_reference(std::string_view text) {
  const UriParts parts = split_uri(text);
  if (parts.authority && !is_authority(*parts.authority)) return false;
  if (!is_uri_text(parts.path, ":@/") || !is_uri_text(parts.query.value_or(""), ":@/?") ||
      !is_uri_text(parts.fragment.value_or(""), ":@/?")) {
    return false;
  }
  if (parts.scheme || parts.authority) return true;
  return parts.path.substr(0, parts.path.find('/')).find(':') == std::string_view::npos;
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_hex(text[i])) return false;
  }
  return true;
}

// RFC 6901 §3.
bool is_json_pointer(std::string_view text) {
  if (!text.empty() && text.front() != '/') return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '~';
    if (escape && (i + 1 >= text.size() || (text[i + 1] != '0' && text[i + 1] != '1')))
      return false;
  }
  return true;
}

bool is_relative_json_pointer(std::string_view text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  const auto width = static_cast<std::size_t>(end - text.begin());
  if (width == 0 || (width > 1 && text.front() == '0')) return false;
  const std::string_view rest = text.substr(width);
  return rest == "#" || is_json_pointer(rest);
}

constexpr std::array<std::pair<std::string_view, Format>, 14> kFormats = {{
    {"date-time", Format::date_time},
    {"date", Format::date},
    {"time", Format::time},
    {"duration", Format::duration},
    {"email", Format::email},
    {"hostname", Format::hostname},
    {"ipv4", Format::ipv4},
    {"ipv6", Format::ipv6},
    {"uri", Format::uri},
    {"uri-reference", Format::uri_reference},
    {"uuid", Format::uuid},
    {"regex", Format::regex},
    {"json-pointer", Format::json_pointer},
    {"relative-json-pointer", Format::relative_json_pointer},
}};

}  // namespace

std::optional<Format> find_format(std::string_view name) {
  for (const auto& [known, format] : kFormats) {
    if (name == known) return format;
  }
  return std::nullopt;
}

bool has_format(std::string_view text, Format format) {
  switch (format) {
    case Format::date_time:
      return is_date_time(text);
    case Format::date:
      return is_date(text);
    case Format::time:
      return is_time(text);
    case Format::duration:
      return is_duration(text);
    case Format::email:
      return is_email(text);
    case Format::hostname:
      return is_hostname(text);
    case Format::ipv4:
      return is_ipv4(text);
    case Format::ipv6:
      return is_ipv6(text);
    case Format::uri:
      return split_uri(text).scheme && is_uri_reference(text);
    case Format::uri_reference:
      return is_uri_reference(text);
    case Format::uuid:
      return is_uuid(text);
    case Format::regex:
      return Regex::compile(text).has_value();
    case Format::json_pointer:
      return is_json_pointer(text);
    case Format::relative_json_pointer:
      return is_relative_json_pointer(text);
  }
  return false;
}

}  // namespace kubiya::schema
