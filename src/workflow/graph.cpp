// SPDX-License-Identifier: Apache-2.0
#include "workflow/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/encoding.h"
#include "workflow/names.h"

namespace kubiya::workflow {
namespace {

class Resolver {
 public:
  Resolver(Reader& reader, std::vector<ReadStep>& steps) : reader_(reader), steps_(steps) {}

  void run(Definition::Type type) {
    index_names();
    index_ids();
    if (type == Definition::Type::chain) chain();
    edges_.resize(steps_.size());
    for (std::size_t i = 0; i < steps_.size(); ++i) resolve(i);
    find_cycle();
  }

 private:
  void index_names() {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const std::string& name = steps_[i].step.name;
      if (name.empty()) continue;
      if (!names_.emplace(name, i).second) {
        reader_.problem(steps_[i].field,
                        fmt::format("a step named {} exists already", printable(name)));
      }
    }
  }

  void index_ids() {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const std::string& id = steps_[i].step.id;
      if (id.empty()) continue;
      const auto same_name = names_.find(id);
      const bool clash = same_name != names_.end() && same_name->second != i;
      if (clash || !ids_.emplace(id, i).second) {
        reader_.problem(steps_[i].id_field,
                        fmt::format("{} is another step's name or id", printable(id)));
      }
    }
  }

  void chain() {
    for (std::size_t i = 1; i < steps_.size(); ++i) {
      if (!steps_[i].depends_field && !steps_[i - 1].step.name.empty()) {
        steps_[i].step.depends = {steps_[i - 1].step.name};
      }
    }
  }

  std::optional<std::size_t> find_step(const std::string& name_or_id) const {
    if (const auto found = names_.find(name_or_id); found != names_.end()) return found->second;
    if (const auto found = ids_.find(name_or_id); found != ids_.end()) return found->second;
    return std::nullopt;
  }

  const Field& depends_field(std::size_t i) const {
    return steps_[i].depends_field ? *steps_[i].depends_field : steps_[i].field;
  }

  void resolve(std::size_t i) {
    std::vector<std::string> resolved;
    for (const std::string& wanted : steps_[i].step.depends) {
      const auto found = find_step(wanted);
      if (!found) {
        reader_.problem(depends_field(i), fmt::format("no step named {}", printable(wanted)));
      } else if (*found == i) {
        reader_.problem(depends_field(i), "a step cannot depend on itself");
      } else if (std::ranges::find(edges_[i], *found) == edges_[i].end()) {
        edges_[i].push_back(*found);
        resolved.push_back(steps_[*found].step.name);
      }
    }
    steps_[i].step.depends = std::move(resolved);
  }

  // Depth first along dependencies with an explicit stack: an edge back into the current path
  // closes a cycle. The first one found is enough to act on.
  void find_cycle() {
    enum class Mark : char { fresh, on_path, done };
    std::vector<Mark> marks(steps_.size(), Mark::fresh);
    for (std::size_t start = 0; start < steps_.size(); ++start) {
      if (marks[start] != Mark::fresh) continue;
      std::vector<std::pair<std::size_t, std::size_t>> path{{start, 0}};  // step, next edge
      marks[start] = Mark::on_path;
      while (!path.empty()) {
        auto& [step, edge] = path.back();
        if (edge == edges_[step].size()) {
          marks[step] = Mark::done;
          path.pop_back();
          continue;
        }
        const std::size_t next = edges_[step][edge++];
        if (marks[next] == Mark::on_path) return report_cycle(path, next);
        if (marks[next] == Mark::done) continue;
        marks[next] = Mark::on_path;
        path.emplace_back(next, 0);
      }
    }
  }

  void report_cycle(const std::vector<std::pair<std::size_t, std::size_t>>& path,
                    std::size_t closing) {
    const auto first = std::ranges::find(path, closing, [](const auto& p) { return p.first; });
    constexpr std::ptrdiff_t shown = 20;
    std::string cycle;
    for (auto at = first; at != path.end() && at - first < shown; ++at) {
      cycle += printable(steps_[at->first].step.name) + " -> ";
    }
    if (path.end() - first > shown) cycle += "… -> ";
    cycle += printable(steps_[closing].step.name);
    reader_.problem(depends_field(closing), "the dependencies form a cycle: " + cycle);
  }

  Reader& reader_;
  std::vector<ReadStep>& steps_;
  std::map<std::string, std::size_t, std::less<>> names_, ids_;
  std::vector<std::vector<std::size_t>> edges_;
};

}  // namespace

void resolve_steps(Reader& reader, std::vector<ReadStep>& steps, Definition::Type type) {
  Resolver(reader, steps).run(type);
}

}  // namespace kubiya::workflow
