// SPDX-License-Identifier: Apache-2.0
#include "tools/run_page.h"

#include <memory>
#include <string_view>

namespace kubiya::tools {
namespace {

constexpr std::string_view kUri = "ui://kubiya/run";
constexpr std::string_view kMime = "text/html;profile=mcp-app";
constexpr std::string_view kPage =
#include "tools/run_page.inc"
    ;

class RunPage final : public ResourceFamily {
 public:
  const policy::Operation& operation() const override { return operation_; }
  bool serves(std::string_view uri) const override { return uri == kUri; }
  // Hosts find it by the tools that name it; in a list for people it would be noise.
  Result<Page> list(const PrincipalPtr&, const std::string&, int) override { return Page{}; }

  void read(const Call&, const audit::Ticket&, Done done) override {
    ToolResult result;
    // No permission and no origin is asked for: the host's own policy, which allows nothing from
    // elsewhere, fits.
    result.content = to_json(json::value(
        json::array{json::object{{"uri", kUri},
                                 {"mimeType", kMime},
                                 {"text", kPage},
                                 {"_meta", {{"ui", json::object{{"prefersBorder", true}}}}}}}));
    result.target = std::string(kUri);
    done(std::move(result));
  }

  Result<std::unique_ptr<Watch>> watch(const PrincipalPtr&, std::string_view,
                                       std::function<void()>) override {
    return nullptr;
  }

 private:
  const policy::Operation operation_{"get_run_page", {"read"}, policy::Effect::reads, false};
};

}  // namespace

json::object shown_on_run_page() { return {{"ui", json::object{{"resourceUri", kUri}}}}; }

void add_run_page(Catalogue& catalogue) { catalogue.add(std::make_unique<RunPage>()); }

}  // namespace kubiya::tools
