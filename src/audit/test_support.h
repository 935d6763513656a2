// SPDX-License-Identifier: Apache-2.0
//
// Fakes for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "audit/files.h"
#include "audit/journal.h"
#include "base/ids.h"
#include "identity/minter.h"
#include "policy/policy.h"

namespace kubiya::audit {

class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_((std::filesystem::temp_directory_path() / ("audit-test-" + random_id())).string()) {}
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_all(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

class FakeClock final : public Clock {
 public:
  Wall wall() const override { return from_unix_ms(milliseconds_.load()); }
  Mono mono() const override { return Mono(std::chrono::milliseconds(mono_.load())); }
  void advance(std::int64_t ms) {
    milliseconds_ += ms;
    if (ms > 0) mono_ += ms;
  }

 private:
  std::atomic<std::int64_t> milliseconds_{1'790'000'000'000};
  std::atomic<std::int64_t> mono_{1'000'000};
};

inline PrincipalPtr caller(const std::string& subject = "ada") {
  PrincipalFacts facts;
  facts.tenant = "acme";
  facts.issuer = "https://id.example";
  facts.subject = subject;
  facts.client = "agent-1";
  facts.scopes = {"read", "write", "execute"};
  facts.api_key = Secret("kb-CANARY-secret-key");
  facts.key_fingerprint = "0123abcd";
  return identity::Minter::mint(std::move(facts));
}

inline const policy::Operation kRun{"execute_workflow", {"execute"}, policy::Effect::mutates, true};
inline const policy::Operation kList{"list_workflows", {"read"}, policy::Effect::reads, false};

inline policy::Permit permit(const policy::Operation& operation, PrincipalPtr who = caller()) {
  return *policy::Policy({}).decide(std::move(who), operation);
}

inline Result<DurableTicket> begin_and_wait(Journal& journal, const std::string& request_id,
                                            const std::string& target = "deploy") {
  auto promise = std::make_shared<std::promise<Result<DurableTicket>>>();
  auto future = promise->get_future();
  Intent intent;
  intent.request_id = request_id;
  intent.era = "2026-07-28";
  intent.peer = "127.0.0.1";
  intent.target = target;
  journal.begin(permit(kRun), intent,
                [promise](Result<DurableTicket> r) { promise->set_value(std::move(r)); });
  return future.get();
}

// Writes through to the real disk and fails as told. Thread-safe.
class FaultyFiles : public Files {
 public:
  std::atomic<int> syncs{0};
  std::atomic<int> writes{0};
  std::atomic<std::size_t> longest_read{0};
  std::atomic<bool> full{false};           // appends fail after writing half
  std::atomic<bool> sync_fails{false};     // once
  std::atomic<int> operations_left{-1};    // the machine stops at this operation
  std::atomic<bool> lose_unsynced{false};  // and what was not synced is gone
  std::atomic<bool> replace_fails{false};  // checkpoints cannot be published
  std::atomic<bool> hang{false};           // appends block while set
  std::function<void(int)> before_append;  // with its number, from 1; set before any

  bool crashed() const { return crashed_; }
  // True when the operation may happen. The one that crashes is done half.
  bool step() {
    if (crashed_) return false;
    if (operations_left >= 0 && operations_left-- == 0) {
      crashed_ = true;
      return false;
    }
    return true;
  }
  static tl::unexpected<Error> error(Code code) { return fail(code, "injected", "injected"); }

  Result<> make_directory(const std::string& path) override {
    return step() ? real_files().make_directory(path) : Result<>(error(Code::unavailable));
  }
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override {
    return real_files().lock(path);
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return real_files().list(directory);
  }
  Result<std::string> read(const std::string& path, std::uint64_t offset) override {
    auto text = real_files().read(path, offset);
    if (text) longest_read = std::max(longest_read.load(), text->size());
    return text;
  }
  Result<std::uint64_t> size(const std::string& path) override { return real_files().size(path); }
  Result<std::unique_ptr<AppendFile>> open_append(const std::string& path) override;
  Result<> replace(const std::string& path, std::string_view bytes, Durability durability,
                   Privacy privacy) override {
    if (!step()) {
      if (crashed_) write_all(path + ".new", std::string(bytes.substr(0, bytes.size() / 2)));
      return error(Code::unavailable);
    }
    if (full || replace_fails) return error(Code::unavailable);
    return real_files().replace(path, bytes, durability, privacy);
  }

 private:
  std::atomic<bool> crashed_{false};
};

class FaultyAppendFile final : public AppendFile {
 public:
  FaultyAppendFile(FaultyFiles& files, std::unique_ptr<AppendFile> file)
      : files_(files), file_(std::move(file)), synced_(file_->size()) {}

  Result<> append(std::string_view bytes) override {
    const int number = ++files_.writes;
    if (files_.before_append) files_.before_append(number);
    while (files_.hang) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const bool was_crashed = files_.crashed();
    if (!files_.step()) {
      if (!was_crashed) (void)file_->append(bytes.substr(0, bytes.size() / 2));
      if (!was_crashed && files_.lose_unsynced) (void)file_->truncate(synced_);
      return FaultyFiles::error(Code::unavailable);
    }
    if (files_.full) {
      (void)file_->append(bytes.substr(0, bytes.size() / 2));
      return FaultyFiles::error(Code::unavailable);
    }
    return file_->append(bytes);
  }
  Result<> truncate(std::uint64_t size) override {
    if (!files_.step()) return FaultyFiles::error(Code::corrupt);
    return file_->truncate(size);
  }
  Result<> sync() override {
    ++files_.syncs;
    const bool was_crashed = files_.crashed();
    if (!files_.step()) {
      if (!was_crashed && files_.lose_unsynced) (void)file_->truncate(synced_);
      return FaultyFiles::error(Code::corrupt);
    }
    if (files_.sync_fails.exchange(false)) return FaultyFiles::error(Code::corrupt);
    TRY_VOID(file_->sync());
    synced_ = file_->size();
    return {};
  }
  std::uint64_t size() const override { return file_->size(); }

 private:
  FaultyFiles& files_;
  std::unique_ptr<AppendFile> file_;
  std::uint64_t synced_;
};

inline Result<std::unique_ptr<AppendFile>> FaultyFiles::open_append(const std::string& path) {
  if (!step()) return error(Code::unavailable);
  auto file = TRY(real_files().open_append(path));
  return std::make_unique<FaultyAppendFile>(*this, std::move(file));
}

}  // namespace kubiya::audit
