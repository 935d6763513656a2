// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "base/encoding.h"
#include "store/schema.h"
#include "store/testing.h"

namespace kubiya::store {
namespace {

constexpr const char* kHostile = "'; DROP TABLE runs; --\"`%_\\\n\t$(id) ?1 :a @b NUL[";

std::string hostile(std::string_view field) {
  return std::string(field) + kHostile + std::string(1, '\0') + "] ünïcode \xF0\x9F\x98\x80";
}

RunRow sample_run(const std::string& id, const std::string& owner = "owner-a",
                  const std::string& tenant = "acme") {
  RunRow run;
  run.id = id;
  run.tenant = tenant;
  run.owner = owner;
  run.workflow = "deploy";
  run.definition = "steps: []";
  run.params = "{}";
  run.created_ms = 1000;
  return run;
}

StepRow sample_step(int position, const std::string& name) {
  StepRow step;
  step.position = position;
  step.name = name;
  return step;
}

class StoreTest : public testing::Test {
 protected:
  Result<Runs::Created> create(RunRow run, std::vector<StepRow> steps = {}) {
    std::promise<Result<Runs::Created>> promise;
    runs.create(std::move(run), std::move(steps), [&](auto result) { promise.set_value(result); });
    return promise.get_future().get();
  }

  Result<> set_run(const std::string& id, const std::string& status, std::int64_t finished = 0,
                   const std::string& outputs = "") {
    std::promise<Result<>> promise;
    runs.set_run(id, status, "because", 5, finished, outputs,
                 [&](auto result) { promise.set_value(result); });
    return promise.get_future().get();
  }

  Result<> set_step(StepRow step) {
    std::promise<Result<>> promise;
    runs.set_step(std::move(step), [&](auto result) { promise.set_value(result); });
    return promise.get_future().get();
  }

  std::vector<std::string> ids(const RunFilter& filter) {
    std::vector<std::string> found;
    const auto listed = runs.list(filter);
    for (const RunRow& run : listed->rows) found.push_back(run.id);
    return found;
  }

  TemporaryDirectory directory;
  std::unique_ptr<Database> db = *Database::open(directory.file("state.db"));
  Workflows workflows{*db};
  Runs runs{*db};
  Keys keys{*db};
  Meta meta{*db};
};

using Ids = std::vector<std::string>;

TEST_F(StoreTest, KeepsAWorkflowByteForByte) {
  const WorkflowRow row{hostile("tenant"),
                        hostile("name"),
                        hostile("description"),
                        hostile("text"),
                        hostile("digest"),
                        hostile("by"),
                        11,
                        12,
                        1};
  ASSERT_TRUE(workflows.create(row));
  const auto got = workflows.get(row.tenant, row.name);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->tenant, row.tenant);
  EXPECT_EQ(got->name, row.name);
  EXPECT_EQ(got->description, row.description);
  EXPECT_EQ(got->text, row.text);
  EXPECT_EQ(got->digest, row.digest);
  EXPECT_EQ(got->created_by, row.created_by);
  EXPECT_EQ(got->created_ms, 11);
  EXPECT_EQ(got->updated_ms, 12);
  EXPECT_EQ(got->version, 1);
}

TEST_F(StoreTest, RefusesASecondWorkflowOfTheSameNameInOneTenantOnly) {
  WorkflowRow row;
  row.tenant = "acme";
  row.name = "deploy";
  ASSERT_TRUE(workflows.create(row));
  EXPECT_EQ(workflows.create(row).error().code, Code::conflict);
  row.tenant = "globex";
  EXPECT_TRUE(workflows.create(row));
}

TEST_F(StoreTest, UpdatesOnlyTheVersionTheCallerSaw) {
  WorkflowRow row;
  row.tenant = "acme";
  row.name = "deploy";
  row.text = "old";
  ASSERT_TRUE(workflows.create(row));
  row.text = "new";
  const auto updated = workflows.update(row, 1);
  ASSERT_TRUE(updated);
  EXPECT_EQ(updated->version, 2);
  EXPECT_EQ(updated->text, "new");
  EXPECT_EQ(workflows.update(row, 1).error().code, Code::conflict);
  EXPECT_EQ(workflows.update(row, 0)->version, 3);
  row.tenant = "globex";
  EXPECT_EQ(workflows.update(row, 0).error().code, Code::not_found);
}

TEST_F(StoreTest, RemovesAWorkflowOfItsTenantOnly) {
  WorkflowRow row;
  row.tenant = "acme";
  row.name = "deploy";
  ASSERT_TRUE(workflows.create(row));
  EXPECT_EQ(workflows.remove("globex", "deploy").error().code, Code::not_found);
  EXPECT_TRUE(workflows.remove("acme", "deploy"));
  EXPECT_EQ(workflows.get("acme", "deploy").error().code, Code::not_found);
}

TEST_F(StoreTest, ListsWorkflowsByNameInPages) {
  WorkflowRow row;
  for (const char* name : {"c", "a", "b"}) {
    row.tenant = "acme";
    row.name = name;
    ASSERT_TRUE(workflows.create(row));
  }
  row.tenant = "globex";
  ASSERT_TRUE(workflows.create(row));
  const auto first = workflows.list("acme", "", {2});
  ASSERT_EQ(first->rows.size(), 2u);
  EXPECT_EQ(first->rows[1].name, "b");
  EXPECT_TRUE(first->more);
  const auto second = workflows.list("acme", "b", {2});
  ASSERT_EQ(second->rows.size(), 1u);
  EXPECT_EQ(second->rows[0].name, "c");
  EXPECT_FALSE(second->more);
}

TEST_F(StoreTest, EndsAPageOfWorkflowsByBytes) {
  WorkflowRow row;
  row.tenant = "acme";
  row.text = std::string(100'000, 't');
  row.description = std::string(3'000, 'd');
  for (const char* name : {"a", "b", "c", "d"}) {
    row.name = name;
    ASSERT_TRUE(workflows.create(row));
  }
  const auto first = *workflows.list("acme", "", {100, 8'000});
  ASSERT_EQ(first.rows.size(), 2u);
  EXPECT_TRUE(first.more);
  EXPECT_EQ(first.rows[0].text, "") << "a list does not carry the definitions";
  const auto one = *workflows.list("acme", "c", {100, 10});
  EXPECT_EQ(one.rows.size(), 1u) << "a row that is longer than the page is given alone";
  EXPECT_FALSE(one.more);
}

TEST_F(StoreTest, KeepsARunByteForByte) {
  RunRow run;
  for (auto [field, name] : std::initializer_list<std::pair<std::string*, const char*>>{
           {&run.id, "id"},
           {&run.tenant, "tenant"},
           {&run.owner, "owner"},
           {&run.issuer, "issuer"},
           {&run.subject, "subject"},
           {&run.display_name, "display"},
           {&run.client, "client"},
           {&run.key_fingerprint, "fingerprint"},
           {&run.workflow, "workflow"},
           {&run.digest, "digest"},
           {&run.definition, "definition"},
           {&run.params, "params"},
           {&run.request_id, "request"},
           {&run.idempotency_digest, "idempotency"}}) {
    *field = hostile(name);
  }
  run.idempotency_key = hostile("key");
  run.created_ms = 7;
  ASSERT_TRUE(create(run));
  const auto got = runs.get(run.id);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->tenant, run.tenant);
  EXPECT_EQ(got->owner, run.owner);
  EXPECT_EQ(got->issuer, run.issuer);
  EXPECT_EQ(got->subject, run.subject);
  EXPECT_EQ(got->display_name, run.display_name);
  EXPECT_EQ(got->client, run.client);
  EXPECT_EQ(got->key_fingerprint, run.key_fingerprint);
  EXPECT_EQ(got->workflow, run.workflow);
  EXPECT_EQ(got->digest, run.digest);
  EXPECT_EQ(got->definition, run.definition);
  EXPECT_EQ(got->params, run.params);
  EXPECT_EQ(got->request_id, run.request_id);
  EXPECT_EQ(got->idempotency_key, run.idempotency_key);
  EXPECT_EQ(got->idempotency_digest, run.idempotency_digest);
  EXPECT_EQ(got->created_ms, 7);
  EXPECT_EQ(got->status, "queued");
}

TEST_F(StoreTest, KeepsAStepByteForByte) {
  ASSERT_TRUE(create(sample_run("r"), {sample_step(0, hostile("step"))}));
  EXPECT_EQ(runs.steps("r")->at(0).status, "not_started");
  EXPECT_EQ(runs.steps("r")->at(0).exit_code, std::nullopt);
  StepRow step{"r", 0, "", "failed", 3, 137, hostile("reason"), 21, 22, hostile("output"), 4242};
  ASSERT_TRUE(set_step(step));
  const auto got = runs.steps("r")->at(0);
  EXPECT_EQ(got.name, hostile("step"));
  EXPECT_EQ(got.status, "failed");
  EXPECT_EQ(got.attempt, 3);
  EXPECT_EQ(got.exit_code, 137);
  EXPECT_EQ(got.reason, step.reason);
  EXPECT_EQ(got.started_ms, 21);
  EXPECT_EQ(got.finished_ms, 22);
  EXPECT_EQ(got.output, step.output);
  EXPECT_EQ(got.pid, 4242);
  step.position = 1;
  EXPECT_EQ(set_step(step).error().code, Code::not_found);
}

TEST_F(StoreTest, AnswersARepeatedCallWithTheSameRun) {
  RunRow run = sample_run("first");
  run.idempotency_key = "k";
  run.idempotency_digest = "d";
  EXPECT_FALSE(create(run, {sample_step(0, "a")})->existed);
  run.id = "second";
  const auto again = create(run, {sample_step(0, "a")});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->existed);
  EXPECT_EQ(again->id, "first");
  EXPECT_EQ(runs.get("second").error().code, Code::not_found);

  run.idempotency_digest = "other";
  EXPECT_EQ(create(run).error().code, Code::conflict);

  EXPECT_EQ(*runs.started_before(run.tenant, run.owner, "k", "d"), "first");
  EXPECT_EQ(*runs.started_before(run.tenant, run.owner, "new", "d"), std::nullopt);
  EXPECT_EQ(*runs.started_before(run.tenant, "bob", "k", "d"), std::nullopt);
  EXPECT_EQ(runs.started_before(run.tenant, run.owner, "k", "other").error().code, Code::conflict);
}

TEST_F(StoreTest, KeepsIdempotencyKeysOfOwnersAndTenantsApart) {
  RunRow run = sample_run("1", "owner-a", "acme");
  run.idempotency_key = "k";
  run.idempotency_digest = "d";
  ASSERT_TRUE(create(run));
  for (auto [id, owner, tenant] :
       {std::tuple{"2", "owner-b", "acme"}, {"3", "owner-a", "globex"}}) {
    run.id = id;
    run.owner = owner;
    run.tenant = tenant;
    const auto created = create(run);
    ASSERT_TRUE(created) << id;
    EXPECT_FALSE(created->existed) << id;
  }
  ASSERT_TRUE(create(sample_run("4")));
  ASSERT_TRUE(create(sample_run("5"))) << "without a key nothing is compared";
}

TEST_F(StoreTest, GivesOneRunToConcurrentCallsUnderOneKey) {
  constexpr int kCalls = 50;
  std::atomic<int> fresh = 0;
  std::promise<void> all;
  std::atomic<int> left = kCalls;
  for (int i = 0; i < kCalls; ++i) {
    RunRow run = sample_run("run-" + std::to_string(i));
    run.idempotency_key = "same";
    runs.create(run, {}, [&](Result<Runs::Created> created) {
      if (created && !created->existed) ++fresh;
      if (--left == 0) all.set_value();
    });
  }
  all.get_future().wait();
  EXPECT_EQ(fresh, 1);
  EXPECT_EQ(runs.unfinished()->size(), 1u);
}

TEST_F(StoreTest, ShowsARunToItsOwnerAndItsTenantsAdmins) {
  ASSERT_TRUE(create(sample_run("r", "owner-a", "acme")));
  struct Row {
    const char* name;
    const char* tenant;
    std::optional<std::string> owner;
    bool visible;
  };
  for (const Row& row : {Row{"owner", "acme", "owner-a", true},
                         Row{"admin of the tenant", "acme", std::nullopt, true},
                         Row{"another person", "acme", "owner-b", false},
                         Row{"admin of another tenant", "globex", std::nullopt, false},
                         Row{"same owner text in another tenant", "globex", "owner-a", false},
                         Row{"empty owner", "acme", "", false}}) {
    const auto got = runs.get_visible("r", row.tenant, row.owner);
    EXPECT_EQ(got.has_value(), row.visible) << row.name;
    if (!got) {
      EXPECT_EQ(got.error().code, Code::not_found) << row.name;
    }
    RunFilter filter;
    filter.tenant = row.tenant;
    filter.owner = row.owner;
    EXPECT_EQ(runs.list(filter)->rows.size(), row.visible ? 1u : 0u) << row.name;
  }
}

TEST_F(StoreTest, PagesRunsNewestFirstWithoutLosingEqualTimes) {
  for (const char* id : {"a", "b", "c", "d"}) {
    RunRow run = sample_run(id);
    run.created_ms = *id == 'd' ? 2000 : 1000;
    ASSERT_TRUE(create(run));
  }
  RunFilter filter;
  filter.tenant = "acme";
  filter.limit.rows = 2;
  EXPECT_EQ(ids(filter), (Ids{"d", "c"}));
  EXPECT_TRUE(runs.list(filter)->more);
  filter.before_ms = 1000;
  filter.before_id = "c";
  EXPECT_EQ(ids(filter), (Ids{"b", "a"}));
  EXPECT_FALSE(runs.list(filter)->more);
}

TEST_F(StoreTest, EndsAPageOfRunsByBytes) {
  for (const char* id : {"a", "b", "c"}) {
    RunRow run = sample_run(id);
    ASSERT_TRUE(create(run));
    ASSERT_TRUE(set_run(id, "finished", 9, R"({"A":")" + std::string(9'000, 'o') + "\"}"));
  }
  RunFilter filter;
  filter.tenant = "acme";
  filter.limit = {50, 1'500};
  EXPECT_EQ(ids(filter), (Ids{"c", "b"}));
  EXPECT_TRUE(runs.list(filter)->more);
  EXPECT_EQ(runs.list(filter)->rows[0].outputs, "") << "a list does not carry the outputs";
}

TEST_F(StoreTest, FiltersRunsByWorkflowAndStatus) {
  ASSERT_TRUE(create(sample_run("1")));
  RunRow other = sample_run("2");
  other.workflow = "backup";
  ASSERT_TRUE(create(other));
  ASSERT_TRUE(set_run("2", "running"));
  RunFilter filter;
  filter.tenant = "acme";
  filter.workflow = "backup";
  EXPECT_EQ(ids(filter), (Ids{"2"}));
  filter.status = "queued";
  EXPECT_EQ(ids(filter), Ids{});
  filter.workflow.reset();
  EXPECT_EQ(ids(filter), (Ids{"1"}));
}

TEST_F(StoreTest, NeverChangesAFinalRun) {
  ASSERT_TRUE(create(sample_run("r")));
  ASSERT_TRUE(set_run("r", "running"));
  ASSERT_TRUE(set_run("r", "finished", 9, R"({"A":"1"})"));
  EXPECT_EQ(set_run("r", "failed", 10).error().code, Code::conflict);
  EXPECT_EQ(runs.interrupt("r", 10, "crash").error().code, Code::conflict);
  const auto run = *runs.get("r");
  EXPECT_EQ(run.status, "finished");
  EXPECT_EQ(run.started_ms, 5);
  EXPECT_EQ(run.finished_ms, 9);
  EXPECT_EQ(run.outputs, R"({"A":"1"})");
  EXPECT_EQ(set_run("unknown", "running").error().code, Code::conflict);
}

TEST_F(StoreTest, ReadsLogsByStepAfterACursor) {
  ASSERT_TRUE(create(sample_run("r")));
  for (int i = 0; i < 6; ++i) {
    runs.append_log("r", {0, i % 2 == 0 ? "even" : "odd", 1, "stdout", i, hostile("x")});
  }
  ASSERT_TRUE(set_run("r", "running"));  // commits after them
  const auto all = *runs.logs("r", std::nullopt, {}, {100});
  ASSERT_EQ(all.rows.size(), 6u);
  EXPECT_EQ(all.rows[0].text, hostile("x"));
  EXPECT_FALSE(all.more);
  const auto rest = *runs.logs("r", "odd", {all.rows[1].id}, {100});
  ASSERT_EQ(rest.rows.size(), 2u);
  EXPECT_EQ(rest.rows[0].time_ms, 3);
  const auto two = *runs.logs("r", std::nullopt, {}, {2});
  EXPECT_EQ(two.rows.size(), 2u);
  EXPECT_TRUE(two.more);
  EXPECT_EQ(two.next.id, two.rows[1].id);
  EXPECT_TRUE(runs.logs("other", std::nullopt, {}, {2})->rows.empty());
}

TEST_F(StoreTest, CutsALogThatIsLongerThanAPageAtCharacters) {
  ASSERT_TRUE(create(sample_run("r")));
  std::string text;
  for (int i = 0; i < 1'500; ++i) text += i % 2 == 0 ? "\u20ac" : "xy";
  for (const std::string& part : {std::string("first"), text, std::string("last")}) {
    runs.append_log("r", {0, "s", 1, "stdout", 1, part});
  }
  ASSERT_TRUE(set_run("r", "running"));
  std::string joined;
  LogPage page;
  for (int pages = 1; page.more || pages == 1; ++pages) {
    ASSERT_LT(pages, 20);
    page = *runs.logs("r", std::nullopt, page.next, {100, 1'200});
    std::size_t bytes = 0;
    for (const LogRow& row : page.rows) {
      EXPECT_TRUE(is_utf8(row.text));
      joined += row.text;
      bytes += row.text.size();
    }
    EXPECT_LE(bytes, 1'200u);
  }
  EXPECT_EQ(joined, "first" + text + "last");
}

TEST_F(StoreTest, MarksWhatACrashLeft) {
  ASSERT_TRUE(create(sample_run("r"),
                     {sample_step(0, "done"), sample_step(1, "ran"), sample_step(2, "waited")}));
  ASSERT_TRUE(set_run("r", "running"));
  ASSERT_TRUE(set_step({"r", 0, "", "finished", 1, 0, "", 1, 2, "", 0}));
  ASSERT_TRUE(set_step({"r", 1, "", "running", 1, std::nullopt, "", 1, 0, "", 0}));
  ASSERT_EQ(runs.unfinished()->size(), 1u);
  EXPECT_EQ(runs.unfinished()->at(0).definition, "steps: []");
  ASSERT_TRUE(runs.interrupt("r", 99, "The server stopped."));
  EXPECT_TRUE(runs.unfinished()->empty());
  EXPECT_EQ(runs.get("r")->status, "interrupted");
  EXPECT_EQ(runs.get("r")->finished_ms, 99);
  const auto steps = *runs.steps("r");
  EXPECT_EQ(steps[0].status, "finished");
  EXPECT_EQ(steps[1].status, "interrupted");
  EXPECT_EQ(steps[2].status, "canceled");
}

TEST_F(StoreTest, KeepsKeysAndTheirRevocation) {
  KeyRow key;
  key.id = "id1";
  key.digest = "digest";
  key.tenant = "acme";
  key.owner = "ada";
  key.name = hostile("name");
  key.scopes = "read execute";
  key.hint = "abcd";
  key.created_ms = 1;
  key.expires_ms = 2;
  key.labels = hostile("labels");
  key.made_by = hostile("by");
  ASSERT_TRUE(keys.create(key));
  EXPECT_EQ(keys.create(key).error().code, Code::conflict);
  key.id = "id2";
  key.owner = "bob";
  ASSERT_TRUE(keys.create(key));
  key.id = "id3";
  key.tenant = "globex";
  ASSERT_TRUE(keys.create(key));
  EXPECT_EQ(keys.all()->size(), 3u);
  ASSERT_TRUE(keys.revoke("id1", 60));
  ASSERT_TRUE(keys.revoke("id1", 70));
  const auto got = *keys.get("id1");
  EXPECT_EQ(got.name, hostile("name"));
  EXPECT_EQ(got.labels, hostile("labels"));
  EXPECT_EQ(got.made_by, hostile("by"));
  EXPECT_EQ(got.issuer, kKeyIssuer);
  EXPECT_EQ(got.revoked_ms, 60);
  EXPECT_EQ(keys.revoke("nope", 1).error().code, Code::not_found);
  EXPECT_EQ(keys.get("nope").error().code, Code::not_found);
}

TEST_F(StoreTest, KeepsKeysOfNamesakesAtTwoIssuersApart) {
  for (const char* id : {"a", "b", "c", "d"}) {
    KeyRow key;
    key.id = id;
    key.tenant = *id == 'd' ? "globex" : "acme";
    key.issuer = *id == 'b' ? "https://b.example" : "https://a.example";
    key.owner = *id == 'c' ? "bob" : "ada";
    ASSERT_TRUE(keys.create(key));
  }
  const auto ids_of = [&](const KeyFilter& filter) {
    Ids ids;
    const auto listed = keys.list(filter);
    for (const KeyRow& key : *listed) ids.push_back(key.id);
    return ids;
  };
  EXPECT_EQ(ids_of({"acme"}), (Ids{"a", "b", "c"}));
  EXPECT_EQ(ids_of({"acme", "https://a.example"}), (Ids{"a", "c"}));
  EXPECT_EQ(ids_of({"acme", "https://a.example", "ada"}), (Ids{"a"}));
  EXPECT_EQ(ids_of({"acme", std::nullopt, "ada"}), (Ids{"a", "b"}));
  EXPECT_EQ(ids_of({"acme", "https://A.example", "ada"}), Ids{});
}

KeyRow key_of(const std::string& id, const std::string& owner = "ada",
              const std::string& replaces = "") {
  KeyRow key;
  key.id = id;
  key.tenant = "acme";
  key.owner = owner;
  key.created_ms = 1'000;
  key.replaces = replaces;
  return key;
}

TEST_F(StoreTest, AKeyHasOneSuccessorAtATime) {
  ASSERT_TRUE(keys.create(key_of("old")));
  EXPECT_EQ(keys.stage(key_of("n0", "ada", "nothing")).error().code, Code::not_found);
  EXPECT_FALSE(*keys.successor("old"));
  ASSERT_TRUE(keys.stage(key_of("n1", "ada", "old")));
  EXPECT_EQ(keys.stage(key_of("n2", "ada", "old")).error().code, Code::conflict);
  EXPECT_EQ((*keys.successor("old"))->id, "n1");
  ASSERT_TRUE(keys.revoke("n1", 5));
  ASSERT_TRUE(keys.stage(key_of("n3", "ada", "old"))) << "a revoked successor is none";
  ASSERT_TRUE(keys.promote("n3", 10, 20));
  EXPECT_EQ(keys.get("n3")->promoted_ms, 10);
  EXPECT_EQ(keys.get("old")->retires_ms, 20);
  EXPECT_EQ(keys.promote("n3", 11, 21).error().code, Code::conflict);
  EXPECT_EQ(keys.promote("old", 11, 21).error().code, Code::conflict) << "it replaces nothing";
  EXPECT_EQ(keys.promote("nothing", 11, 21).error().code, Code::not_found);
  ASSERT_TRUE(keys.retire("old", 15));
  EXPECT_EQ(keys.get("old")->retires_ms, 15);
  EXPECT_EQ(keys.stage(key_of("n4", "ada", "old")).error().code, Code::conflict) << "it ends";
  EXPECT_EQ(keys.retire("nothing", 15).error().code, Code::not_found);
}

TEST_F(StoreTest, ChangesOfKeysWaitForTheJournal) {
  ASSERT_TRUE(keys.create(key_of("old")));
  ASSERT_TRUE(keys.stage(key_of("new", "ada", "old")));
  ASSERT_TRUE(keys.promote("new", 10, 20, hostile("by")));
  ASSERT_TRUE(keys.set_labels("new", R"({"team":"x"})", "bob"));
  EXPECT_EQ(keys.set_labels("nothing", "{}").error().code, Code::not_found);
  EXPECT_EQ(keys.get("new")->labels, R"({"team":"x"})");
  const auto changes = keys.changes();
  ASSERT_EQ(changes->size(), 2u);
  EXPECT_EQ((*changes)[0].name, "key_promoted");
  EXPECT_NE((*changes)[0].fields.find(R"("replaces":"old")"), std::string::npos);
  EXPECT_EQ((*changes)[1].name, "key_labelled");
  EXPECT_NE((*changes)[1].fields.find(R"("by":"bob")"), std::string::npos);
  keys.forget_change((*changes)[0].id);
  ASSERT_TRUE(meta.set("a", "later write"));
  EXPECT_EQ(keys.changes()->size(), 1u);
}

TEST_F(StoreTest, CountsTheUseOfKeysByDayAndClient) {
  for (const char* id : {"a", "b"})
    ASSERT_TRUE(keys.create(key_of(id, *id == 'a' ? "ada" : "bob")));
  keys.count({{"a", "", 7, 3, 50}, {"a", "agent", 7, 1, 40}, {"gone", "", 7, 1, 1}});
  keys.count({{"a", "", 7, 2, 45}, {"a", "", 8, 1, 60}, {"b", "", 8, 9, 70}});
  ASSERT_TRUE(meta.set("a", "later write"));
  const auto uses = keys.usage({"acme", std::nullopt, "ada"}, std::nullopt, 0);
  ASSERT_EQ(uses->size(), 3u);
  EXPECT_EQ((*uses)[0].day, 8);
  EXPECT_EQ((*uses)[1].calls, 5);
  EXPECT_EQ((*uses)[1].last_ms, 50);
  EXPECT_EQ((*uses)[2].client, "agent");
  EXPECT_EQ(keys.usage({"acme"}, "a", 8)->size(), 1u);
  EXPECT_EQ(keys.usage({"globex"}, "a", 0)->size(), 0u);
  EXPECT_EQ(keys.get("a")->last_used_ms, 60);
}

TEST_F(StoreTest, AnothersKeyIsNotThere) {
  ASSERT_TRUE(keys.create(key_of("a")));
  const std::string issuer(kKeyIssuer);
  EXPECT_TRUE(keys.find("a", {"acme", issuer, "ada"}));
  EXPECT_TRUE(keys.find("a", {"acme"}));
  for (const KeyFilter& other : {KeyFilter{"globex"}, KeyFilter{"acme", issuer, "bob"},
                                 KeyFilter{"acme", "https://a.example", "ada"}}) {
    EXPECT_EQ(keys.find("a", other).error().code, Code::not_found);
  }
}

TEST(Migrations, KeysAndRunsOfBeforeStay) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("state.db");
  std::ofstream(path).close();
  {
    Connection old;
    ASSERT_TRUE(old.open(path, false));
    ASSERT_TRUE(migrate(old, 2));
    ASSERT_TRUE(old.execute(R"sql(
INSERT INTO runs VALUES ('r', 'acme', 'ada', 'i', 'ada', '', '', '', 'w', '', '', '{}', 'failed',
  'why', 'q', NULL, '', 5, 6, 7, '{}', 1);
INSERT INTO steps VALUES ('r', 0, 'a', 'failed', 1, 3, 'exit', 6, 7, '', 0);
INSERT INTO keys VALUES ('k', 'd', 'acme', 'ada', 'n', 'read', 'abcd', 1, 2, 0, 3, 1);)sql"));
  }
  const auto db = Database::open(path);
  ASSERT_TRUE(db) << db.error().message;
  const auto key = Keys(**db).get("k");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->owner, "ada");
  EXPECT_EQ(key->issuer, kKeyIssuer);
  EXPECT_EQ(key->labels, "{}");
  EXPECT_EQ(key->retires_ms, 0);
  EXPECT_EQ(key->recorded, KeyRow::Recorded::made);
  Runs runs(**db);
  EXPECT_EQ(runs.get("r")->status, "failed");
  EXPECT_EQ(runs.get("r")->reason, "why");
  EXPECT_EQ(runs.steps("r")->at(0).status, "failed");
}

TEST_F(StoreTest, KeepsSettings) {
  EXPECT_EQ(*meta.get("id"), std::nullopt);
  ASSERT_TRUE(meta.set("id", "one"));
  ASSERT_TRUE(meta.set("id", hostile("two")));
  EXPECT_EQ(**meta.get("id"), hostile("two"));
}

}  // namespace
}  // namespace kubiya::store
