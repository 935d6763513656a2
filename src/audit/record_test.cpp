// SPDX-License-Identifier: Apache-2.0
#include "audit/record.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace kubiya::audit {
namespace {

Record base_record() {
  Record record;
  record.time = "2026-11-22T22:51:00.123Z";
  record.kind = "intent";
  record.tenant = "acme";
  record.subject = "ada";
  return record;
}

std::string line_of(const Record& record) { return record_line(7, 5, Hash{}, record_body(record)); }

TEST(Record, IsOneObjectInTheOrderOfTheFormat) {
  EXPECT_EQ(
      line_of(base_record()),
      R"({"v":1,"seq":7,"batch":5,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",)"
      R"("time":"2026-11-22T22:51:00.123Z","kind":"intent","tenant":"acme","subject":"ada"})");
}

TEST(Record, ReadsBackWhatItWrites) {
  Record record = base_record();
  record.status = 403;
  record.latency_us = 0;
  record.count = 18446744073709551615ull;
  record.fields = event_fields({{"b", 1}, {"a", {1, "x", nullptr}}});
  const std::string line = line_of(record);
  const auto parsed = parse_record(line);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->sequence, 7u);
  EXPECT_EQ(parsed->batch, 5u);
  EXPECT_EQ(parsed->subject, "ada");
  EXPECT_EQ(parsed->status, 403u);
  EXPECT_EQ(parsed->latency_us, 0u);
  EXPECT_EQ(parsed->count, 18446744073709551615ull);
  EXPECT_EQ(parsed->fields, R"({"a":[1,"x",null],"b":1})");
}

TEST(Record, KeepsOneLineAndBoundsWhateverAClientSends) {
  struct Row {
    const char* name;
    std::string text;
  };
  for (const Row& row :
       {Row{"newline", "a\nb"}, Row{"carriage return", "a\r\nb"},
        Row{"line separator",
            "a\xE2\x80\xA8"
            "b"},
        Row{"nul", std::string("a\0b", 3)}, Row{"escape", "\x1b[31mred"}, Row{"delete", "\x7f"},
        Row{"bidi",
            "\xE2\x80\xAE"
            "evil"},
        Row{"invalid UTF-8", "\xff\xc0\x80"}, Row{"lone surrogate", "\xED\xA0\x80"},
        Row{"quote", "\"\\"}, Row{"1 MiB", std::string(1 << 20, 'x')},
        Row{"1 MiB of quotes", std::string(1 << 20, '"')},
        Row{"1 MiB of bad bytes", std::string(1 << 20, '\xff')}}) {
    SCOPED_TRACE(row.name);
    Record record = base_record();
    for (auto member :
         {&Record::request_id, &Record::era, &Record::peer, &Record::tenant, &Record::issuer,
          &Record::subject, &Record::client, &Record::claimed_issuer, &Record::claimed_subject,
          &Record::operation, &Record::target, &Record::reason, &Record::detail, &Record::run_id}) {
      record.*member = row.text;
    }
    record.fields = event_fields({{row.text, row.text}});
    const std::string line = line_of(record);
    EXPECT_LE(line.size(), kMaxLine);
    EXPECT_TRUE(is_utf8(line));
    for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
    EXPECT_EQ(line.find("\xE2\x80\xA8"), std::string::npos);
    const auto parsed = parse_record(line);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(line_of(*parsed), line);
  }
}

TEST(Record, RefusesEveryOtherSpelling) {
  const std::string good = line_of(base_record());
  ASSERT_TRUE(parse_record(good));
  auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  struct Row {
    const char* name;
    std::string line;
  };
  for (const Row& row :
       {Row{"empty", ""}, Row{"not JSON", "x"}, Row{"array", "[]"}, Row{"space", " " + good},
        Row{"trailing newline", good + "\n"}, Row{"space inside", with(":7", ": 7")},
        Row{"escaped letter", with("ada", "\\u0061da")},
        Row{"other version", with("\"v\":1", "\"v\":2")},
        Row{"other order", with("\"seq\":7,\"batch\":5", "\"batch\":5,\"seq\":7")},
        Row{"unknown member", with("\"tenant\"", "\"tenent\"")},
        Row{"duplicate member", with("\"tenant\"", "\"subject\"")},
        Row{"number for text", with("\"acme\"", "1")}, Row{"negative", with(":7", ":-7")},
        Row{"fraction", with(":7", ":7.0")}, Row{"leading zero", with(":7", ":07")},
        Row{"short prev", with("AAAA", "")}, Row{"empty text", with("\"acme\"", "\"\"")},
        Row{"no time", with("\"time\":\"2026-11-22T22:51:00.123Z\",", "")},
        Row{"too long", good + std::string(kMaxLine, ' ')}}) {
    EXPECT_FALSE(parse_record(row.line)) << row.name;
  }
}

TEST(ArgumentDigest, IgnoresOrderAndSecretsAndNothingElse) {
  const auto digest = [](std::string_view text) {
    return argument_digest("key", parse_json(text)->get_object());
  };
  const std::string one = digest(R"({"name":"deploy","params":{"a":1,"b":2}})");
  EXPECT_EQ(one.size(), 64u);
  EXPECT_EQ(one, digest(R"({"params":{"b":2,"a":1},"name":"deploy"})"));
  EXPECT_NE(one, digest(R"({"name":"deploy","params":{"a":1,"b":3}})"));
  EXPECT_NE(one,
            argument_digest(
                "other", parse_json(R"({"name":"deploy","params":{"a":1,"b":2}})")->get_object()));
  // A low-entropy password cannot be guessed from the digest even with its key.
  EXPECT_EQ(digest(R"({"x":[{"Password":"1234"}]})"), digest(R"({"x":[{"Password":"5678"}]})"));
  EXPECT_EQ(digest(R"({"api_key":"kb-1"})"), digest(R"({"api_key":{"kb":2}})"));
}

TEST(EventFields, AreCutWhenTooLarge) {
  json::object many;
  for (int i = 0; i < 1000; ++i) many[std::to_string(i)] = "value";
  EXPECT_EQ(event_fields(many), R"({"truncated":true})");
}

}  // namespace
}  // namespace kubiya::audit
