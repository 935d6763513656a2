// SPDX-License-Identifier: Apache-2.0
#include "app/config_secret.h"

#include <cstdlib>

#include "app/config_files.h"
#include "base/log.h"

namespace kubiya::app {
namespace {

constexpr std::size_t kSecretFileMax = 8 * 1024;  // a private key of RSA 8192
constexpr std::string_view kFile = "${file:";
constexpr std::string_view kCredential = "${credential:";

// The service manager closes the directory of credentials itself, with access lists that a file's
// mode shows as readable by a group.
Result<std::string> credential_file(std::string_view name) {
  if (name.empty() || name.find('/') != name.npos || name.starts_with('.')) {
    return fail(Code::invalid, "a credential's name is that of a file, without a directory");
  }
  const auto path = credential_path(name);
  if (!path) {
    return fail(Code::invalid,
                "there are no credentials: CREDENTIALS_DIRECTORY is not set; give the service "
                "LoadCredential=");
  }
  return *path;
}

}  // namespace

bool is_file_reference(std::string_view value) {
  return (value.starts_with(kFile) || value.starts_with(kCredential)) && value.ends_with('}');
}

std::optional<std::string> credential_path(std::string_view name) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') return std::nullopt;
  return std::string(directory) + "/" + std::string(name);
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
  const bool credential = value.starts_with(kCredential);
  const std::size_t prefix = (credential ? kCredential : kFile).size();
  std::string path = value.substr(prefix, value.size() - prefix - 1);
  if (credential) {
    path = TRY(credential_file(path));
  } else {
    TRY_VOID(check_private(path, allow_readable));
  }
  const std::string content = TRY(read_file(path, kSecretFileMax));
  const std::size_t end = content.find_last_not_of("\r\n");
  if (end == content.npos) return fail(Code::invalid, path + ": holds no value");
  return content.substr(0, end + 1);
}

}  // namespace kubiya::app
