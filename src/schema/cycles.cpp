// SPDX-License-Identifier: Apache-2.0
#include "schema/cycles.h"

namespace kubiya::schema {
namespace {

// The nodes that judge the same instance value as `node` does.
std::vector<NodeId> in_place(const Node& node) {
  std::vector<NodeId> out;
  for (const Rule& rule : node.rules) {
    if (const auto* ref = std::get_if<RefRule>(&rule)) out.push_back(ref->node);
    if (const auto* negated = std::get_if<NotRule>(&rule)) out.push_back(negated->node);
    if (const auto* combined = std::get_if<CombineRule>(&rule)) {
      out.insert(out.end(), combined->nodes.begin(), combined->nodes.end());
    }
    if (const auto* choice = std::get_if<IfRule>(&rule)) {
      for (const NodeId id : {choice->condition, choice->then_node, choice->else_node}) {
        if (id != kNoNode) out.push_back(id);
      }
    }
  }
  return out;
}

enum class Mark { fresh, open, done };

struct Frame {
  NodeId node;
  std::vector<NodeId> edges;
};

// Depth first with its own stack: a chain may be as long as the schema is large.
bool ends(const Graph& graph, NodeId root, std::vector<Mark>& marks) {
  std::vector<Frame> stack;
  const auto enter = [&](NodeId id) {
    marks[id] = Mark::open;
    stack.push_back({id, in_place(graph.nodes[id])});
  };
  enter(root);
  while (!stack.empty()) {
    Frame& top = stack.back();
    if (top.edges.empty()) {
      marks[top.node] = Mark::done;
      stack.pop_back();
      continue;
    }
    const NodeId next = top.edges.back();
    top.edges.pop_back();
    if (marks[next] == Mark::open) return false;
    if (marks[next] == Mark::fresh) enter(next);
  }
  return true;
}

}  // namespace

Result<> refuse_endless_references(const Graph& graph) {
  std::vector<Mark> marks(graph.nodes.size(), Mark::fresh);
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    if (marks[id] == Mark::fresh && !ends(graph, id, marks)) {
      return fail(Code::invalid, "a $ref of the schema leads back to itself and would never end");
    }
  }
  return {};
}

}  // namespace kubiya::schema
