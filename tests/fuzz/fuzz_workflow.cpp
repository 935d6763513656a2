// SPDX-License-Identifier: Apache-2.0
//
// A definition from anybody: parse it, run its plan with outcomes taken from
// the same bytes, and prepare its commands for a shell.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "workflow/expand.h"
#include "workflow/plan.h"

namespace {

using namespace kubiya::workflow;

constexpr std::string_view kValue = "\x01value\x02";

// Deals out the input's bytes, over and over.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}
  unsigned next() {
    if (bytes_.empty()) return 0;
    return static_cast<unsigned char>(bytes_[at_++ % bytes_.size()]);
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

std::size_t take(std::set<std::size_t>& from, unsigned byte) {
  auto at = from.begin();
  std::advance(at, byte % from.size());
  const std::size_t step = *at;
  from.erase(at);
  return step;
}

void drive(const Definition& definition, Bytes bytes) {
  Plan plan(definition);
  std::set<std::size_t> running, waiting;
  // Every step may run 1001 times; enough is enough.
  for (int events = 0; !plan.complete() && events < 20'000; ++events) {
    for (const auto& launch : plan.next()) {
      ASSERT(running.insert(launch.step).second, "a step runs once at a time");
    }
    if (plan.complete()) break;
    ASSERT(!running.empty() || !waiting.empty(), "an unfinished plan waits for something");
    const unsigned choice = bytes.next();
    if (choice == 250) plan.cancel("canceled");
    if (choice == 251) plan.time_out();
    if (running.empty() || (!waiting.empty() && choice % 2 == 0)) {
      plan.retry_due(take(waiting, bytes.next()));
      continue;
    }
    const std::size_t step = take(running, bytes.next());
    const auto kind = static_cast<AttemptResult::Kind>(bytes.next() % 7);
    const int code = static_cast<int>(bytes.next() % 4);
    if (plan.ended(step, {kind, code, "a line\nanother\n"})) waiting.insert(step);
  }
}

void prepare(std::string_view text) {
  const auto lookup = [](std::string_view) { return std::optional(std::string(kValue)); };
  const auto shell = prepare_shell(text, lookup);
  if (!shell) return;
  const bool own = text.find(kValue) != std::string_view::npos;
  ASSERT(own || shell->text.find(kValue) == std::string::npos, "no value in the shell's text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  prepare(text);
  const Parsed parsed = parse(text);
  ASSERT(parsed.definition.has_value() == parsed.problems.empty(), "a definition or problems");
  if (!parsed.definition) {
    ASSERT(!describe(parsed.problems).empty(), "a problem has words");
    return 0;
  }
  for (const Step& step : parsed.definition->steps) {
    prepare(step.command);
    prepare(step.script);
  }
  params_schema(*parsed.definition);
  drive(*parsed.definition, Bytes(text));
  return 0;
}
