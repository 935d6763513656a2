// SPDX-License-Identifier: Apache-2.0
#include "tools/catalogue.h"

#include <algorithm>

#include <fmt/format.h>

namespace kubiya::tools {
namespace {

std::string prompt_listing(const PromptSpec& spec) {
  json::array arguments;
  for (const auto& argument : spec.arguments) {
    json::object entry{{"name", argument.name},
                       {"description", argument.description},
                       {"required", argument.required}};
    if (!argument.title.empty()) entry["title"] = argument.title;
    arguments.push_back(std::move(entry));
  }
  json::object listing{{"name", spec.name}, {"description", spec.description}};
  if (!spec.title.empty()) listing["title"] = spec.title;
  if (!arguments.empty()) listing["arguments"] = std::move(arguments);
  return to_json(listing);
}

}  // namespace

std::string_view to_string(TaskStatus status) {
  switch (status) {
    case TaskStatus::working:
      return "working";
    case TaskStatus::input_required:
      return "input_required";
    case TaskStatus::completed:
      return "completed";
    case TaskStatus::failed:
      return "failed";
    case TaskStatus::cancelled:
      return "cancelled";
  }
  return "working";
}

void Changes::listen(Listener listener) {
  const std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

void Changes::forget() {
  const std::lock_guard lock(mutex_);
  listener_ = nullptr;
}

void Changes::changed(List list, const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  if (listener_) listener_(list, tenant);
}

class Changes::UriWatch final : public Watch {
 public:
  UriWatch(std::shared_ptr<Watched> watched, const std::string& tenant, const std::string& uri,
           std::function<void()> told)
      : watched_(std::move(watched)) {
    const std::lock_guard lock(watched_->mutex);
    place_ = watched_->by_uri.emplace(std::pair(tenant, uri), std::move(told));
  }
  ~UriWatch() override {
    const std::lock_guard lock(watched_->mutex);
    watched_->by_uri.erase(place_);
  }

 private:
  const std::shared_ptr<Watched> watched_;
  decltype(Watched::by_uri)::iterator place_;
};

std::unique_ptr<Watch> Changes::watch(const std::string& tenant, const std::string& uri,
                                      std::function<void()> told) {
  return std::make_unique<UriWatch>(watched_, tenant, uri, std::move(told));
}

// Outside the lock, as whoever is told may give up its watch.
void Changes::updated(const std::string& tenant, const std::string& uri) {
  std::vector<std::function<void()>> told;
  {
    const std::lock_guard lock(watched_->mutex);
    const auto [begin, end] = watched_->by_uri.equal_range({tenant, uri});
    for (auto at = begin; at != end; ++at) told.push_back(at->second);
  }
  for (const auto& tell : told) tell();
}

Result<> Catalogue::add(Prompt prompt) {
  if (find_prompt(prompt.spec.name) != nullptr) {
    return fail(Code::conflict,
                fmt::format("there is a prompt named {} already", prompt.spec.name));
  }
  prompt.listing = prompt_listing(prompt.spec);
  prompts_.push_back(std::make_unique<Prompt>(std::move(prompt)));
  return {};
}

void Catalogue::add(std::unique_ptr<ResourceFamily> family) {
  families_.push_back(std::move(family));
}

const Prompt* Catalogue::find_prompt(std::string_view name) const {
  const auto at = std::find_if(prompts_.begin(), prompts_.end(),
                               [name](const auto& prompt) { return prompt->spec.name == name; });
  return at == prompts_.end() ? nullptr : at->get();
}

ResourceFamily* Catalogue::family_of(std::string_view uri) const {
  const auto at = std::find_if(families_.begin(), families_.end(),
                               [uri](const auto& family) { return family->serves(uri); });
  return at == families_.end() ? nullptr : at->get();
}

}  // namespace kubiya::tools
