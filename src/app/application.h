// SPDX-License-Identifier: Apache-2.0
//
// The composition root: builds every object once, in order, hands references down,
// and takes them apart in reverse.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "app/config.h"
#include "base/result.h"
#include "base/timers.h"
#include "base/worker_pool.h"
#include "store/store.h"
#include "tools/catalogue.h"
#include "tools/families.h"

namespace kubiya::app {

struct ServeHooks {
  std::function<void(std::uint16_t port)> ready;        // listening
  std::function<Result<>(tools::Registry&)> add_tools;  // tools of an embedding application
  // Fills the catalogue in the place of the server's own tools, prompts and resources.
  std::function<Result<>(tools::Catalogue&, Timers&, WorkerPool&, const Clock&)> fill_catalogue =
      {};
  bool owns_process = false;  // no other code of this process has children
};

class Application {
 public:
  // Everything but listening sockets in use: opens the data directory (one server at a time),
  // the database, the journal, recovers what a crash left.
  static Result<std::unique_ptr<Application>> open(const Config& config,
                                                   const ServeHooks& hooks = {});
  virtual ~Application() = default;

  virtual void start() = 0;  // returns at once
  virtual std::uint16_t port() const = 0;
  virtual Result<> reload() = 0;  // TLS files
  // Drains runs and then connections within one grace, syncs the journal. Once.
  virtual void stop() = 0;
};

// Serves until SIGTERM or SIGINT, of which a second one ends the process at once; SIGHUP reloads
// the TLS files. Returns the exit status.
int serve(const Config& config, const ServeHooks& hooks = {});

// Stores the definitions of a directory (*.yaml, *.yml, *.json) whose names are not taken yet.
Result<std::size_t> import_workflows(const std::string& directory, const std::string& tenant,
                                     store::Workflows& workflows, const workflow::Limits& limits,
                                     const Clock& clock);

// The key material that keys the digests of API keys. Created with the first key; when the database
// knows keys and the file is gone or another, that is an error.
Result<Secret> open_key_pepper(const std::string& data_dir, store::Meta& meta);

// Takes the advisory lock of a data directory; nothing when another process holds it.
// What this installation is called, made when its database is. Code::corrupt when that is new and
// the journal is not: who began anew there would have forgotten who was cut off and which keys were
// revoked.
Result<std::string> installation_id(store::Meta& meta, const std::string& data_dir,
                                    const std::string& journal_directory);

class DataLock {
 public:
  static Result<DataLock> take(const std::string& data_dir);
  DataLock(DataLock&& other) noexcept;
  DataLock& operator=(DataLock&& other) noexcept;
  ~DataLock();

 private:
  explicit DataLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace kubiya::app
