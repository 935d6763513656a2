// SPDX-License-Identifier: Apache-2.0
#include "app/config_secret.h"

#include "app/config_files.h"
#include "base/log.h"

namespace kubiya::app {
namespace {

constexpr std::size_t kSecretFileMax = 8 * 1024;  // a private key of RSA 8192

}  // namespace

bool is_file_reference(std::string_view value) {
  return value.starts_with("${file:") && value.ends_with('}');
}

Result<> check_private(const std::string& path, bool allow) {
  if (!TRY(open_to_others(path))) return {};
  if (!allow) {
    return fail(Code::invalid, path +
                                   ": it holds a secret and others can read it; run chmod 600, or "
                                   "set allow_readable_files");
  }
  log::warn("a file with a secret can be read by others", {{"path", path}});
  return {};
}

Result<std::string> resolve_secret(const std::string& value, bool allow_readable) {
  if (!is_file_reference(value)) return value;
  const std::string path = value.substr(7, value.size() - 8);
  TRY_VOID(check_private(path, allow_readable));
  const std::string content = TRY(read_file(path, kSecretFileMax));
  const std::size_t end = content.find_last_not_of("\r\n");
  if (end == content.npos) return fail(Code::invalid, path + ": holds no value");
  return content.substr(0, end + 1);
}

}  // namespace kubiya::app
