// SPDX-License-Identifier: Apache-2.0
#include "mcp/session.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mcp/test_support.h"

namespace kubiya::mcp {
namespace {

using namespace std::chrono_literals;

const PrincipalPtr ada = somebody("ada");
const PrincipalPtr bob = somebody("bob");

Session session_of(std::string_view version = "2025-11-25", PrincipalPtr principal = ada) {
  return Session("0123456789", version, {}, std::move(principal));
}

TEST(SessionStream, AReaderThatComesBackHearsOnlyWhatItMissed) {
  SessionStream stream("7", true);
  const auto first = std::make_shared<Peer>();
  stream.attach(http::EventStream(first));
  EXPECT_EQ(first->said, "id: 7-0\ndata: \n\n") << "an id before anything is said";
  stream.event("1");
  first->left = true;
  stream.event("2");
  stream.finish("3");
  const auto second = std::make_shared<Peer>();
  stream.attach(http::EventStream(second), 1);
  EXPECT_EQ(second->said, "id: 7-2\ndata: 2\n\nid: 7-3\ndata: 3\n\n");
  EXPECT_TRUE(second->closed) << "nothing follows the answer";
  EXPECT_EQ(first->said.find("data: 2"), std::string::npos);
}

TEST(SessionStream, OneReaderAtATime) {
  SessionStream stream("7", true);
  const auto first = std::make_shared<Peer>(), second = std::make_shared<Peer>();
  stream.attach(http::EventStream(first));
  stream.attach(http::EventStream(second), 0);
  EXPECT_TRUE(first->closed);
  stream.event("1");
  EXPECT_EQ(first->said.find("data: 1"), std::string::npos);
  EXPECT_NE(second->said.find("data: 1"), std::string::npos);
}

TEST(SessionStream, KeepsNoMoreThanItsBound) {
  SessionStream stream("7", true);
  const std::string large(SessionStream::kKeptBytes / 4, 'x');
  for (int i = 0; i < 10; ++i) stream.event(large);
  const auto late = std::make_shared<Peer>();
  stream.attach(http::EventStream(late), 0);
  EXPECT_LE(late->said.size(), SessionStream::kKeptBytes + 1'000);
  EXPECT_EQ(late->said.find("id: 7-1\n"), std::string::npos) << "the oldest went first";
  EXPECT_NE(late->said.find("id: 7-10\n"), std::string::npos);
}

TEST(SessionStream, WithoutIdsNothingIsKeptAndNoEventIsEmpty) {
  SessionStream stream("7", false);
  const auto peer = std::make_shared<Peer>();
  stream.attach(http::EventStream(peer));
  stream.event("1");
  EXPECT_EQ(peer->said, "data: 1\n\n");
}

TEST(Session, ASecondListenerReplacesTheFirstAndNoEventIdIsGivenTwice) {
  Session session = session_of();
  const auto first = std::make_shared<Peer>(), second = std::make_shared<Peer>();
  session.listen(http::EventStream(first), Wall::max());
  session.tell("1");
  session.listen(http::EventStream(second), Wall::max());
  session.tell("2");
  EXPECT_TRUE(first->closed);
  EXPECT_EQ(first->said, "id: 0-0\ndata: \n\nid: 0-1\ndata: 1\n\n");
  EXPECT_EQ(second->said, "id: 0-1\ndata: \n\nid: 0-2\ndata: 2\n\n");
}

TEST(Session, ListensNoLongerThanTheCredentialCounts) {
  TestClock clock;
  Session session = session_of();
  const auto peer = std::make_shared<Peer>();
  session.listen(http::EventStream(peer), clock.wall() + 10s);
  session.tick(clock.mono(), clock.wall() + 9s);
  EXPECT_FALSE(peer->closed);
  session.tick(clock.mono(), clock.wall() + 10s);
  EXPECT_TRUE(peer->closed);
  session.tell("1");
  const auto back = std::make_shared<Peer>();
  EXPECT_TRUE(session.resume("0-0", http::EventStream(back), clock.wall() + 60s));
  EXPECT_EQ(back->said, "id: 0-1\ndata: 1\n\n") << "what it missed, with a credential that counts";
  session.tick(clock.mono(), clock.wall() + 11s);
  EXPECT_FALSE(back->closed);
}

TEST(Session, ResumesOnlyStreamsThatAreThere) {
  Session session = session_of();
  const auto peer = std::make_shared<Peer>();
  session.open_stream(http::EventStream(peer));
  for (const auto* id : {"", "1", "-", "1-", "-1", "1-x", "x-1", "1-0x", "0-0", "2-0", "1-0-0",
                         "99999999999999999999-0", " 1-0"}) {
    EXPECT_FALSE(session.resume(id, http::EventStream(std::make_shared<Peer>()), Wall::max()))
        << id;
  }
  EXPECT_FALSE(peer->closed);
  EXPECT_TRUE(session.resume("1-0", http::EventStream(std::make_shared<Peer>()), Wall::max()));
}

TEST(Session, KeepsABoundedNumberOfStreamsAndGivesUpOnlyEndedOnes) {
  Session session = session_of();
  const auto resumes = [&](int number) {
    return session.resume(fmt::format("{}-0", number), http::EventStream(std::make_shared<Peer>()),
                          Wall::max());
  };
  const auto first = session.open_stream(http::EventStream(std::make_shared<Peer>()));
  for (int i = 2; i <= 32; ++i) session.open_stream(http::EventStream(std::make_shared<Peer>()));
  const auto peer = std::make_shared<Peer>();
  session.open_stream(http::EventStream(peer))->finish("answered");
  EXPECT_NE(peer->said.find("answered"), std::string::npos) << "served, though not kept";
  EXPECT_FALSE(resumes(33));
  EXPECT_TRUE(resumes(1));
  first->finish("done");
  session.open_stream(http::EventStream(std::make_shared<Peer>()));
  EXPECT_FALSE(resumes(1)) << "the ended one made way";
  EXPECT_TRUE(resumes(34));
}

TEST(Session, BelongsToWhoOpenedIt) {
  Session session = session_of();
  EXPECT_TRUE(session.admits(somebody("ada")));
  EXPECT_FALSE(session.admits(bob));
  EXPECT_FALSE(session.admits(somebody("ada", "other")));
  EXPECT_FALSE(session.admits(nullptr));
}

TEST(Session, OpenedWithoutCredentialItBelongsToTheFirstWhoShowsOne) {
  Session session = session_of("2025-11-25", nullptr);
  EXPECT_TRUE(session.admits(nullptr));
  EXPECT_TRUE(session.admits(ada));
  EXPECT_FALSE(session.admits(bob));
  EXPECT_TRUE(session.admits(nullptr));
}

TEST(Session, AsksABoundedNumberOfThingsAndEachIsAnsweredOnce) {
  TestClock clock;
  Session session = session_of();
  int answers = 0, failures = 0;
  const auto answered = [&](const Result<json::value>& result) { ++(result ? answers : failures); };
  for (int i = 0; i < 64; ++i) session.ask("roots/list", {}, clock.mono() + 10s, answered);
  EXPECT_EQ(failures, 0);
  session.ask("roots/list", {}, clock.mono() + 10s, answered);
  EXPECT_EQ(failures, 1) << "one too many";
  EXPECT_TRUE(session.answer(R"("01234567-1")", json::value(1)));
  EXPECT_FALSE(session.answer(R"("01234567-1")", json::value(1)));
  EXPECT_FALSE(session.answer(R"("other")", json::value(1)));
  EXPECT_EQ(answers, 1);
  session.tick(clock.mono() + 9s, clock.wall());
  EXPECT_EQ(failures, 1);
  session.tick(clock.mono() + 10s, clock.wall());
  EXPECT_EQ(failures, 64);
}

TEST(Session, ItsEndAnswersWhatIsOpenAndClosesItsStreams) {
  TestClock clock;
  Session session = session_of();
  const auto general = std::make_shared<Peer>(), answer = std::make_shared<Peer>();
  session.listen(http::EventStream(general), Wall::max());
  session.open_stream(http::EventStream(answer));
  int failures = 0;
  session.ask("roots/list", {}, clock.mono() + 10s,
              [&](const auto& result) { failures += !result; });
  session.close();
  EXPECT_TRUE(general->closed && answer->closed);
  EXPECT_EQ(failures, 1);
  const auto late = std::make_shared<Peer>();
  session.listen(http::EventStream(late), Wall::max());
  EXPECT_TRUE(late->closed);
  EXPECT_FALSE(session.watch("run://1", nullptr));
}

// Its end brings news, as that of a run may that changes in the same moment.
struct Talkative final : tools::Watch {
  explicit Talkative(Session& session) : session_(session) {}
  ~Talkative() override { session_.tell("last words"); }
  Session& session_;
};

TEST(Session, WatchesABoundedNumberAndTheSameAgainTakesNoPlace) {
  Session session = session_of();
  for (int i = 0; i < 256; ++i) {
    EXPECT_TRUE(session.watch(fmt::format("run://{}", i), std::make_unique<Talkative>(session)));
  }
  EXPECT_FALSE(session.watch("run://more", std::make_unique<Talkative>(session)));
  EXPECT_TRUE(session.watch("run://0", std::make_unique<Talkative>(session)));
  session.unwatch("run://0");
  EXPECT_TRUE(session.watch("run://more", std::make_unique<Talkative>(session)));
  session.close();
}

TEST(Sessions, ThePrincipalWithTooManyGivesUpTheLongestUnused) {
  TestClock clock;
  Sessions sessions({.sessions = 10, .per_principal = 2, .idle = 60s}, clock);
  const auto open = [&](const PrincipalPtr& who) {
    clock.mono_now += 1s;
    return (*sessions.open("2025-11-25", {}, who))->id();
  };
  const std::string others = open(bob), first = open(ada), second = open(ada);
  clock.mono_now += 1s;
  EXPECT_TRUE(sessions.find(first, ada));
  open(ada);
  EXPECT_TRUE(sessions.find(first, ada));
  EXPECT_FALSE(sessions.find(second, ada));
  EXPECT_TRUE(sessions.find(others, bob));
  EXPECT_EQ(sessions.size(), 3U);
}

TEST(Sessions, AFullServerRefuses) {
  TestClock clock;
  Sessions sessions({.sessions = 2, .per_principal = 2, .idle = 60s}, clock);
  const std::string kept = (*sessions.open("2025-11-25", {}, ada))->id();
  ASSERT_TRUE(sessions.open("2025-11-25", {}, bob));
  const auto refused = sessions.open("2025-11-25", {}, somebody("eve"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::busy);
  EXPECT_TRUE(sessions.find(kept, ada)) << "nobody else's makes way";
}

TEST(Sessions, IdleOnesEndAndWhoIsRefusedKeepsNoneAlive) {
  TestClock clock;
  Sessions sessions({.sessions = 10, .per_principal = 10, .idle = 60s}, clock);
  const auto used = *sessions.open("2025-11-25", {}, ada),
             idle = *sessions.open("2025-11-25", {}, ada);
  const auto peer = std::make_shared<Peer>();
  idle->listen(http::EventStream(peer), Wall::max());
  clock.mono_now += 40s;
  EXPECT_TRUE(sessions.find(used->id(), ada));
  EXPECT_FALSE(sessions.find(idle->id(), bob));
  EXPECT_FALSE(sessions.find(idle->id(), nullptr));
  clock.mono_now += 21s;
  sessions.tick(clock.mono());
  EXPECT_TRUE(sessions.find(used->id(), ada));
  EXPECT_FALSE(sessions.find(idle->id(), ada));
  EXPECT_TRUE(peer->closed);
}

TEST(Sessions, IdsAreNotGuessable) {
  TestClock clock;
  Sessions sessions({}, clock);
  const std::string one = (*sessions.open("2025-11-25", {}, ada))->id();
  const std::string two = (*sessions.open("2025-11-25", {}, ada))->id();
  EXPECT_GE(one.size(), 22U) << "128 bits";
  EXPECT_NE(one.substr(0, 8), two.substr(0, 8));
}

}  // namespace
}  // namespace kubiya::mcp
