// SPDX-License-Identifier: Apache-2.0
#include "app/config_files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace kubiya::app {
namespace {

tl::unexpected<Error> file_failure(const std::string& path, int error) {
  const Code code = error == ENOENT ? Code::not_found : Code::unavailable;
  return fail(code, path + ": " + std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<mode_t> mode_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return file_failure(path, errno);
  return status.st_mode;
}

int write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t count = ::write(fd, content.data(), content.size());
    if (count < 0 && errno != EINTR) return errno;
    if (count > 0) content.remove_prefix(static_cast<std::size_t>(count));
  }
  return ::fsync(fd) == 0 ? 0 : errno;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return file_failure(path, errno);
  std::string content(bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t count = ::read(file.get(), content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_failure(path, errno);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size > bytes_max) {
    return fail(Code::too_large, path + ": larger than " + std::to_string(bytes_max) + " bytes");
  }
  content.resize(size);
  return content;
}

Result<> write_private_file(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());
  {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.get() < 0) return file_failure(temporary, errno);
    if (const int error = write_all(file.get(), content)) return file_failure(temporary, error);
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return file_failure(path, errno);
  return {};
}

Result<> make_private_directory(const std::string& path) {
  const std::filesystem::path directory(path);
  std::error_code error;
  if (std::filesystem::is_directory(directory, error)) return {};
  if (directory.has_parent_path() && directory.parent_path() != directory) {
    TRY_VOID(make_private_directory(directory.parent_path().string()));
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return file_failure(path, errno);
  return {};
}

Result<bool> open_to_others(const std::string& path) { return (TRY(mode_of(path)) & 077) != 0; }

Result<bool> writable_by_all(const std::string& path) { return (TRY(mode_of(path)) & 002) != 0; }

}  // namespace kubiya::app
