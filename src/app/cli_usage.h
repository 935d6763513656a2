// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a command line, in one line. Names of flags and commands are shown, other
// words never: a secret behind a mistyped flag must not reach a log.
#pragma once

#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace kubiya::app::cli {

std::string usage_error(const CLI::App& root, const CLI::ParseError& error);

}  // namespace kubiya::app::cli
