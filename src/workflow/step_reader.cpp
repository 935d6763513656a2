// SPDX-License-Identifier: Apache-2.0
#include "workflow/step_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/encoding.h"
#include "workflow/approval_reader.h"
#include "workflow/names.h"
#include "workflow/pattern.h"

namespace kubiya::workflow {
namespace {

constexpr std::array<std::string_view, 21> kReadable = {
    "name",       "id",         "description", "command",       "script",
    "shell",      "dir",        "env",         "depends",       "depends_on",
    "output",     "continueOn", "retryPolicy", "preconditions", "precondition",
    "timeoutSec", "timeout",    "executor",    "type",          "approval",
    "token"};
constexpr std::array<std::string_view, 13> kUnsupported = {
    "run",          "params",      "parallel", "stdout", "stderr",        "repeatPolicy", "retries",
    "signalOnStop", "mailOnError", "secrets",  "tags",   "shellPackages", "secret_name"};

constexpr int kMostRetries = 1000;
constexpr int kLongestInterval = 24 * 3600;
constexpr double kLargestBackoff = 100;

void read_outcomes(Reader& reader, const Field& field, ContinueOn& to) {
  for (const Field& one : reader.one_or_many(field)) {
    const std::string word = reader.text(one);
    if (word == "failed" || word == "failure") {
      to.failure = true;
    } else if (word == "skipped") {
      to.skipped = true;
    } else if (!word.empty()) {
      reader.problem(one, "must be \"failed\" or \"skipped\"");
    }
  }
}

ContinueOn read_continue_on(Reader& reader, const Field& field) {
  ContinueOn result;
  const json::object* object = field.value->if_object();
  if (object == nullptr) {
    read_outcomes(reader, field, result);
    return result;
  }
  static constexpr std::array<std::string_view, 7> readable = {
      "failure", "skipped", "markSuccess", "exitCode", "exitCodes", "output", "outputs"};
  for (const auto& member : *object) {
    const std::string_view key = member.key();
    const Field value = reader.member(field, key, member.value());
    if (key == "failure")
      result.failure = reader.flag(value);
    else if (key == "skipped")
      result.skipped = reader.flag(value);
    else if (key == "markSuccess")
      result.mark_success = reader.flag(value);
    else if (key == "exitCode" || key == "exitCodes")
      result.exit_codes = reader.exit_codes(value);
    else if (key == "output" || key == "outputs")
      result.outputs = reader.texts(value);
    else
      refuse_member(reader, value, key, "continueOn", readable, {});
  }
  for (const std::string& output : result.outputs) {
    if (output.empty() || !is_valid_expectation(output)) {
      reader.problem(field, "output must be text to look for, or a valid pattern after \"re:\"");
    }
  }
  return result;
}

double read_backoff(Reader& reader, const Field& field) {
  if (const bool* flag = field.value->if_bool()) return *flag ? 2.0 : 1.0;
  double factor = 0;
  if (const double* number = field.value->if_double()) factor = *number;
  if (const std::int64_t* number = field.value->if_int64()) factor = static_cast<double>(*number);
  if (factor >= 1.0 && factor <= kLargestBackoff) return factor;
  reader.problem(field, fmt::format("must be true, or a factor from 1 to {}", kLargestBackoff));
  return 1.0;
}

RetryPolicy read_retry_policy(Reader& reader, const Field& field) {
  static constexpr std::array<std::string_view, 6> readable = {
      "limit", "intervalSec", "backoff", "maxIntervalSec", "exitCode", "exitCodes"};
  static constexpr std::array<std::string_view, 2> unsupported = {"retryOn", "exponentialBase"};
  RetryPolicy retry;
  const json::object* object = reader.object(field);
  if (object == nullptr) return retry;
  for (const auto& member : *object) {
    const std::string_view key = member.key();
    const Field value = reader.member(field, key, member.value());
    const auto interval = [&] {
      return std::chrono::seconds(reader.integer(value, 0, kLongestInterval));
    };
    if (key == "limit")
      retry.limit = reader.integer(value, 0, kMostRetries);
    else if (key == "intervalSec")
      retry.interval = interval();
    else if (key == "maxIntervalSec")
      retry.max_interval = interval();
    else if (key == "backoff")
      retry.backoff = read_backoff(reader, value);
    else if (key == "exitCode" || key == "exitCodes")
      retry.exit_codes = reader.exit_codes(value);
    else
      refuse_member(reader, value, key, "retryPolicy", readable, unsupported);
  }
  return retry;
}

constexpr std::size_t kMostScopes = 50;
constexpr std::size_t kAudienceBytes = 512;

TokenRequest read_token(Reader& reader, const Field& field) {
  static constexpr std::array<std::string_view, 3> readable = {"audience", "scopes", "env"};
  TokenRequest token;
  const json::object* object = reader.object(field);
  if (object == nullptr) return token;
  for (const auto& member : *object) {
    const std::string_view key = member.key();
    const Field value = reader.member(field, key, member.value());
    if (key == "audience") {
      token.audience = reader.text(value);
    } else if (key == "scopes") {
      token.scopes = reader.texts(value);
      if (token.scopes.size() > kMostScopes || !std::ranges::all_of(token.scopes, is_scope_name)) {
        reader.problem(value, fmt::format("must be at most {} names of scopes", kMostScopes));
      }
    } else if (key == "env") {
      token.env = reader.text(value);
      if (const auto fault = environment_name_fault(token.env, NameUse::output)) {
        reader.problem(value, *fault);
      }
    } else {
      refuse_member(reader, value, key, "token", readable, {});
    }
  }
  if (token.audience.empty()) reader.problem(field, "names no audience");
  if (printable(token.audience, kAudienceBytes) != token.audience) {
    reader.problem(field, fmt::format("audience must be text of at most {} bytes", kAudienceBytes));
  }
  return token;
}

Precondition read_precondition(Reader& reader, const Field& field) {
  static constexpr std::array<std::string_view, 3> readable = {"condition", "command", "expected"};
  Precondition precondition;
  const json::object* object = field.value->if_object();
  if (object == nullptr) {
    precondition.condition = reader.text(field);
    if (field.value->is_string() && precondition.condition.empty()) {
      reader.problem(field, "is empty");
    }
    return precondition;
  }
  for (const auto& member : *object) {
    const std::string_view key = member.key();
    const Field value = reader.member(field, key, member.value());
    if (key == "condition" || key == "command")
      precondition.condition = reader.text(value);
    else if (key == "expected")
      precondition.expected = reader.scalar_text(value);
    else
      refuse_member(reader, value, key, "a precondition", readable, {});
  }
  if (precondition.condition.empty()) reader.problem(field, "has no condition");
  if (precondition.expected && !is_valid_expectation(*precondition.expected)) {
    reader.problem(field, "expected is not a valid pattern");
  }
  return precondition;
}

std::string taken_by_handler(std::string_view name) {
  return fmt::format("{} is what the handler of that event is called", name);
}

// One step while it is read.
class StepReader {
 public:
  StepReader(Reader& reader, const Field& field, StepPlace place, std::string name)
      : reader_(reader), place_(place) {
    read_.field = read_.id_field = field;
    read_.step.name = std::move(name);
    read_.step.shell = "sh";
  }

  ReadStep run() {
    const json::object* object = reader_.object(read_.field);
    if (object == nullptr) return std::move(read_);
    for (const auto& member : *object) {
      this->member(member.key(), reader_.member(read_.field, member.key(), member.value()));
    }
    finish(*object);
    return std::move(read_);
  }

 private:
  void member(std::string_view key, const Field& field) {
    Step& step = read_.step;
    if (key == "name")
      name(field);
    else if (key == "id")
      id(field);
    else if (key == "description")
      step.description = reader_.text(field);
    else if (key == "command")
      command(field);
    else if (key == "script")
      step.script = reader_.text(field);
    else if (key == "shell")
      shell(field);
    else if (key == "dir")
      step.dir = reader_.text(field);
    else if (key == "env")
      step.env = reader_.environment(field);
    else if (key == "depends" || key == "depends_on")
      depends(field);
    else if (key == "output")
      output(field);
    else if (key == "continueOn")
      step.continue_on = read_continue_on(reader_, field);
    else if (key == "retryPolicy")
      step.retry = read_retry_policy(reader_, field);
    else if (key == "preconditions" || key == "precondition")
      preconditions(field);
    else if (key == "timeoutSec" || key == "timeout")
      timeout(field);
    else if (key == "executor")
      executor(field);
    else if (key == "type")
      type(field);
    else if (key == "token")
      step.token = read_token(reader_, field);
    else if (key == "approval")
      step.approval = read_approval(reader_, field);
    else
      other(key, field);
  }

  void name(const Field& field) {
    const std::string name = reader_.text(field);
    if (place_ == StepPlace::map && name != read_.step.name) {
      reader_.problem(field, "differs from the step's name in the map");
    }
    if (const auto fault = step_name_fault(name)) reader_.problem(field, *fault);
    if (place_ == StepPlace::handler) return;  // called by its event, as in Dagu
    if (is_handler_name(name)) reader_.problem(field, taken_by_handler(name));
    read_.step.name = name;
  }

  void id(const Field& field) {
    read_.id_field = field;
    read_.step.id = reader_.text(field);
    if (const auto fault = step_id_fault(read_.step.id)) reader_.problem(field, *fault);
  }

  void command(const Field& field) {
    if (const json::array* array = field.value->if_array()) {
      for (const Field& item : reader_.one_or_many(field)) {
        read_.step.argv.push_back(reader_.scalar_text(item));
      }
      if (array->empty() || read_.step.argv[0].empty()) reader_.problem(field, "names no program");
      return;
    }
    read_.step.command = reader_.text(field);
  }

  void shell(const Field& field) {
    const std::string shell = reader_.text(field);
    const bool plain = !shell.empty() && shell[0] != '-' &&
                       shell.find_first_not_of(
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789_./+-") == std::string::npos;
    if (!plain) reader_.problem(field, "must be one program, without arguments");
    read_.step.shell = shell;
  }

  void depends(const Field& field) {
    if (given_twice(reader_, field, seen_, "depends")) return;
    if (place_ == StepPlace::handler) {
      reader_.problem(field, "a handler depends on nothing");
      return;
    }
    read_.depends_field = field;
    if (!field.value->is_null()) read_.step.depends = reader_.texts(field);
  }

  void output(const Field& field) {
    std::string name = reader_.text(field);
    if (name.starts_with('$')) name.erase(0, 1);
    if (const auto fault = environment_name_fault(name, NameUse::output)) {
      reader_.problem(field, *fault);
    }
    read_.step.output = std::move(name);
  }

  void preconditions(const Field& field) {
    if (given_twice(reader_, field, seen_, "preconditions")) return;
    read_.step.preconditions = read_preconditions(reader_, field);
  }

  void timeout(const Field& field) {
    if (given_twice(reader_, field, seen_, "timeoutSec")) return;
    read_.step.timeout = reader_.seconds(field);
  }

  // The default executor may be named; others act in ways of their own.
  void executor(const Field& field) {
    Field type = field;
    if (const json::object* object = field.value->if_object()) {
      const json::value* named = find(*object, "type");
      if (named == nullptr) return reader_.problem(field, "has no type");
      type = reader_.member(field, "type", *named);
      const json::object* config = find_object(*object, "config");
      if (const auto word = find_string(*object, "type"); word && *word != "command") {
        return other_executor(type);
      }
      if (object->size() > (config != nullptr ? 2U : 1U) ||
          (config != nullptr && !config->empty())) {
        acts_otherwise_ = true;
        return reader_.unsupported(field);
      }
    }
    const std::string name = reader_.text(type);
    if (!name.empty() && name != "command") other_executor(type);
  }

  void type(const Field& field) {
    acts_otherwise_ = true;
    asks_ = reader_.text(field) == "approval";
    if (!asks_) reader_.unsupported(field);
  }

  void other_executor(const Field& type) {
    acts_otherwise_ = true;
    reader_.problem(type, fmt::format("executor {} is not supported yet by the embedded engine, "
                                      "which runs a command or script on the server's own machine",
                                      printable(reader_.text(type))));
  }

  void other(std::string_view key, const Field& field) {
    acts_otherwise_ |= key == "run";
    refuse_member(reader_, field, key, "a step", kReadable, kUnsupported);
  }

  void finish(const json::object& object) {
    const Step& step = read_.step;
    if (!object.contains("name")) {
      const auto fault = step_name_fault(step.name);
      if (fault) reader_.problem(read_.field, *fault);
      if (place_ == StepPlace::map && is_handler_name(step.name)) {
        reader_.problem(read_.field, taken_by_handler(step.name));
      }
    }
    if (asks_) return check_approval_step(reader_, read_, object, place_);
    if (step.approval) reader_.problem(read_.field, "approval needs type: approval");
    if (!step.argv.empty() && !step.script.empty()) {
      reader_.problem(read_.field, "with script, command is one interpreter, not a list");
    }
    const bool acts = object.contains("command") || object.contains("script") || acts_otherwise_;
    const bool blank = step.command.find_first_not_of(" \t\r\n") == std::string::npos &&
                       step.script.empty() && step.argv.empty();
    if (!acts)
      reader_.problem(read_.field, "needs command or script");
    else if (blank && !acts_otherwise_)
      reader_.problem(read_.field, "command is empty");
  }

  Reader& reader_;
  StepPlace place_;
  ReadStep read_;
  bool acts_otherwise_ = false;
  bool asks_ = false;
  std::vector<std::string_view> seen_;
};

}  // namespace

ReadStep read_step(Reader& reader, const Field& field, StepPlace place, std::string name) {
  return StepReader(reader, field, place, std::move(name)).run();
}

std::vector<Precondition> read_preconditions(Reader& reader, const Field& field) {
  std::vector<Precondition> preconditions;
  if (field.value->is_null()) return preconditions;
  for (const Field& one : reader.one_or_many(field)) {
    preconditions.push_back(read_precondition(reader, one));
  }
  return preconditions;
}

void refuse_member(Reader& reader, const Field& field, std::string_view name,
                   std::string_view owner, std::span<const std::string_view> readable,
                   std::span<const std::string_view> unsupported) {
  if (contains(unsupported, name)) return reader.unsupported(field);
  const auto near = nearest(name, readable);
  reader.problem(field, fmt::format("{} is not a field of {}{}", printable(name), owner,
                                    near ? fmt::format("; did you mean {}?", *near) : ""));
}

bool given_twice(Reader& reader, const Field& field, std::vector<std::string_view>& seen,
                 std::string_view meaning) {
  const bool twice = contains(seen, meaning);
  if (twice) reader.problem(field, fmt::format("{} is given twice", meaning));
  seen.push_back(meaning);
  return twice;
}

}  // namespace kubiya::workflow
