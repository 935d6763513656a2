// SPDX-License-Identifier: Apache-2.0
#include "app/cli_usage.h"

#include <algorithm>
#include <vector>

#include <CLI/CLI.hpp>

#include "app/cli.h"
#include "app/config_value.h"
#include "base/encoding.h"

namespace kubiya::app::cli {
namespace {

using Words = std::vector<std::string>;

// The command that was reached, and how it is called.
struct Reached {
  const CLI::App* command;
  std::string name;
};

Reached reached_by(const CLI::App& root) {
  Reached at{&root, root.get_name()};
  while (!at.command->get_subcommands().empty()) {
    at.command = at.command->get_subcommands().back();
    at.name += " " + at.command->get_name();
  }
  return at;
}

Words flags_of(const CLI::App& command) {
  Words flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

Words commands_of(const CLI::App& command) {
  Words names;
  for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(below->get_name());
  }
  return names;
}

// "--token=x" and "-tx" carry a value.
std::string flag_name(std::string_view word) {
  return printable(word.substr(0, word.starts_with("--") ? word.find('=') : 2), 40);
}

std::string meant(const std::string& close) {
  return close.empty() ? std::string() : "; did you mean " + close + "?";
}

std::string unknown_flags(const Words& words, const Reached& at) {
  Words names;
  for (const std::string& word : words) names.push_back(flag_name(word));
  return (names.size() == 1 ? "unknown flag " : "unknown flags ") + join(names, ", ") +
         meant(closest("--" + words.front().substr(words.front().find_first_not_of('-')),
                       flags_of(*at.command)));
}

// A word in the place of a command is shown when it looks like one.
std::string unknown_command(const std::string& word, const Reached& at) {
  const bool plain = word.size() <= 20 && std::all_of(word.begin(), word.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || c == '-';
                     });
  const Words names = commands_of(*at.command);
  const std::string close = closest(word, names);
  return "unknown command" + (plain ? " " + word : "") +
         (close.empty() ? "; there are " + join(names, ", ") : meant(close));
}

std::string problem(const CLI::App& root, const CLI::ParseError& error, const Reached& at) {
  const Words left = root.remaining(true);
  Words flags;
  std::copy_if(left.begin(), left.end(), std::back_inserter(flags), [](const std::string& word) {
    return word.size() > 1 && word.starts_with('-') && word != "--";
  });
  if (!flags.empty()) return unknown_flags(flags, at);
  const Words commands = commands_of(*at.command);
  if (!commands.empty() && left.empty()) return "a command is missing: " + join(commands, ", ");
  if (!commands.empty()) return unknown_command(left.front(), at);
  if (!left.empty()) return "a word too many";
  return printable(error.what(), 400);
}

}  // namespace

std::string usage_error(const CLI::App& root, const CLI::ParseError& error) {
  const Reached at = reached_by(root);
  return at.name + ": " + without_keys(problem(root, error, at)) + " (see " + at.name + " --help)";
}

}  // namespace kubiya::app::cli
