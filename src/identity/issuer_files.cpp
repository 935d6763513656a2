// SPDX-License-Identifier: Apache-2.0
#include "identity/issuer_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/ids.h"
#include "base/json.h"
#include "identity/discovery.h"
#include "identity/open_file.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kCacheBytesMax = 1024 * 1024;

Error file_error(std::string_view what, const std::string& path) {
  const Code code = errno == ENOENT ? Code::not_found : Code::unavailable;
  return {code, fmt::format("cannot {} {}: {}", what, path, errno_text()), {}};
}

Result<std::string> read_open_file(const OpenFile& file, const std::string& path,
                                   std::size_t bytes_max) {
  std::string out;
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail(file_error("read", path));
    if (size == 0) return out;
    out.append(buffer.data(), static_cast<std::size_t>(size));
    if (out.size() > bytes_max) {
      return fail(Code::too_large, fmt::format("{} is larger than {} bytes", path, bytes_max));
    }
  }
}

Result<struct stat> regular(const OpenFile& file, const std::string& path) {
  struct stat info{};
  if (!file.is_open() || ::fstat(file.get(), &info) != 0) return fail(file_error("open", path));
  if (!S_ISREG(info.st_mode)) {
    return fail(Code::invalid, fmt::format("{} is not a regular file", path));
  }
  return info;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(fd, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

}  // namespace

Result<std::string> read_text_file(const std::string& path, std::size_t bytes_max) {
  // O_NONBLOCK: a pipe at this path must not hold us up before it is refused.
  const OpenFile file(path, O_RDONLY | O_NONBLOCK);
  TRY_VOID(regular(file, path));
  return read_open_file(file, path, bytes_max);
}

Result<Documents> load_documents(const std::string& path, const std::string& issuer, Wall now,
                                 std::chrono::seconds age_max) {
  const OpenFile file(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  const struct stat info = TRY(regular(file, path));
  // Its keys will be believed: nobody else may have written them.
  if (info.st_uid != ::geteuid() || (info.st_mode & 022) != 0) {
    return fail(Code::invalid, fmt::format("{} can be written by others", path));
  }
  const auto parsed = parse_json(TRY(read_open_file(file, path, kCacheBytesMax)));
  if (!parsed || !parsed->is_object()) {
    return fail(Code::corrupt, fmt::format("{} is not a JSON object", path));
  }
  const json::object& object = parsed->get_object();
  const auto saved = find_int(object, "saved_ms");
  const auto key_set = find_string(object, "jwks");
  const auto metadata = find_string(object, "metadata");
  if (!saved || !key_set || !metadata || find_string(object, "issuer") != issuer) {
    return fail(Code::corrupt, fmt::format("{} is not the cache of this issuer", path));
  }
  Documents out{from_unix_ms(*saved), std::string(*metadata), {}, {}, std::string(*key_set)};
  if (out.saved > now || now - out.saved >= age_max) {
    return fail(Code::invalid, fmt::format("{} is too old or from the future", path));
  }
  if (!out.metadata.empty()) {
    Metadata found = TRY(read_metadata(out.metadata, issuer));
    out.jwks_uri = std::move(found.jwks_uri);
    out.token_endpoint = std::move(found.token_endpoint);
  }
  return out;
}

Result<> save_documents(const std::string& path, const std::string& issuer,
                        const Documents& documents) {
  json::object object;
  object["issuer"] = issuer;
  object["saved_ms"] = unix_ms(documents.saved);
  object["metadata"] = documents.metadata;
  object["jwks"] = documents.key_set;
  const std::string temporary = fmt::format("{}.{}", path, random_id());
  bool good = false;
  {
    const OpenFile file(temporary, O_WRONLY | O_CREAT | O_EXCL);
    good = file.is_open() && write_all(file.get(), to_json(object));
  }
  if (good && ::rename(temporary.c_str(), path.c_str()) == 0) return {};
  const Error error = file_error("write", path);
  ::unlink(temporary.c_str());
  return fail(error);
}

}  // namespace kubiya::identity
