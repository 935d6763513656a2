// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"

#include <string.h>

#include <cstring>
#include <utility>

namespace kubiya {

void wipe_memory(void* data, std::size_t size) noexcept {
  if (size != 0) explicit_bzero(data, size);
}

Secret::Secret(std::string_view value) : size_(value.size()) {
  if (size_ == 0) return;
  data_ = std::make_unique<char[]>(size_);
  std::memcpy(data_.get(), value.data(), size_);
}

Secret::Secret(const Secret& other) : Secret(other.reveal()) {}

Secret& Secret::operator=(const Secret& other) {
  if (this != &other) *this = Secret(other.reveal());
  return *this;
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Secret::~Secret() { wipe(); }

Secret Secret::take(std::string&& value) {
  Secret secret(value);
  wipe_memory(value.data(), value.size());
  value.clear();
  return secret;
}

void Secret::wipe() noexcept {
  if (data_) wipe_memory(data_.get(), size_);
  data_.reset();
  size_ = 0;
}

}  // namespace kubiya
