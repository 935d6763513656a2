// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzz target over every file below the directories given as arguments, with
// any compiler. The corpus thereby guards each ordinary build against old findings.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_below(const fs::path& root) {
  std::vector<fs::path> files;
  std::error_code status;
  for (fs::recursive_directory_iterator at(root, status), end; at != end; at.increment(status)) {
    if (at->is_regular_file()) files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool replay(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) return false;
  // Copied to a block of the exact size, so that a sanitizer sees the first byte too far.
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& path : files_below(argv[i])) {
      // Named before it runs: a crash leaves the name as the last line.
      std::printf("%s\n", path.c_str());
      std::fflush(stdout);
      if (!replay(path)) {
        std::fprintf(stderr, "cannot read %s\n", path.c_str());
        return 2;
      }
      ++count;
    }
  }
  if (count == 0) {
    std::fprintf(stderr, "usage: %s DIRECTORY…; no file found\n", argv[0]);
    return 2;
  }
  std::printf("%zu inputs replayed\n", count);
  return 0;
}
