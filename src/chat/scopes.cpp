#include "chat/scopes.h"

#include <map>
#include <set>

namespace trireme::jinja {
namespace {

enum class Source { elsewhere, hidden };

/// What one scope knows of names: an order of reads and writes, as jinja2's idtracking walks it.
class Scope {
 public:
  explicit Scope(const Scope* parent) : parent_(parent) {}
  /// A branch of a condition in the same scope: it sees what `base` knows and keeps what is new to itself.
  static Scope branch_of(const Scope& base) {
    Scope out(base.parent_);
    out.base_ = &base;
    return out;
  }

  void declare(int name) {
    stores_.insert(name);
    names_[name] = Source::elsewhere;
  }

  void declare(const Target& target) {
    if (target.parts.empty()) declare(target.name);
    for (const Target& part : target.parts) declare(part);
  }

  void read(int name) {
    if (!knows(name)) names_[name] = Source::elsewhere;
  }

  /// Without recursion: chains of operators may be long.
  void read(const Expr* root) {
    std::vector<const Expr*> open = {root};
    while (!open.empty()) {
      const Expr* expr = open.back();
      open.pop_back();
      if (expr == nullptr) continue;
      if (expr->op == Op::name) read(expr->name);
      open.insert(open.end(), expr->args.begin(), expr->args.end());
      for (const KeywordArg& arg : expr->named) open.push_back(arg.value);
      open.push_back(expr->star);
      open.push_back(expr->star_star);
    }
  }

  void visit(const Body& body) {
    for (const Stmt* stmt : body) visit(*stmt);
  }

  std::vector<int> hidden() const {
    std::vector<int> out;
    for (const auto& [name, source] : names_) {
      if (source == Source::hidden) out.push_back(name);
    }
    return out;
  }

 private:
  bool has(int name) const { return names_.count(name) > 0 || (base_ != nullptr && base_->has(name)); }
  bool stored(int name) const { return stores_.count(name) > 0 || (base_ != nullptr && base_->stored(name)); }
  bool outside(int name) const { return parent_ != nullptr && parent_->knows(name); }
  bool knows(int name) const { return has(name) || outside(name); }

  void write(int name) {
    stores_.insert(name);
    if (!has(name)) names_[name] = outside(name) ? Source::elsewhere : Source::hidden;
  }

  void write(const Target& target) {
    if (!target.attribute.empty())
      read(target.name);
    else if (target.parts.empty())
      write(target.name);
    for (const Target& part : target.parts) write(part);
  }

  /// A statement as far as it belongs to this scope: scopes inside of it are left out.
  void visit(const Stmt& stmt) {
    switch (stmt.act) {
      case Do::branch: visit_branches(stmt); break;
      case Do::capture: write(stmt.target); break;
      case Do::macro: write(stmt.name); break;
      case Do::assign:
        read(stmt.expr);
        write(stmt.target);
        break;
      case Do::loop:
      case Do::call:
      case Do::filter: read(stmt.expr); break;
      default:
        for (const Expr* expr : stmt.exprs) read(expr);
    }
  }

  /// Branches are walked side by side; what only they write may come from elsewhere.
  void visit_branches(const Stmt& stmt) {
    read(stmt.branches[0].test);
    Scope first = branch_of(*this), middle = branch_of(*this), last = branch_of(*this);
    first.visit(stmt.branches[0].body);
    for (size_t i = 1; i < stmt.branches.size(); ++i) {
      const Branch& branch = stmt.branches[i];
      if (branch.test == nullptr) {
        last.visit(branch.body);
      } else {
        middle.read(branch.test);
        Scope body = branch_of(middle);
        body.visit(branch.body);
        middle.merge(body);
      }
    }
    merge(first);
    merge(middle);
    merge(last);
  }

  void merge(const Scope& branch) {
    for (const auto& [name, source] : branch.names_) {
      const bool fresh = branch.stores_.count(name) > 0 && !stored(name);
      if (fresh)
        names_[name] = Source::elsewhere;
      else
        names_.emplace(name, source);
    }
    stores_.insert(branch.stores_.begin(), branch.stores_.end());
  }

  const Scope* parent_;
  const Scope* base_ = nullptr;
  std::map<int, Source> names_;
  std::set<int> stores_;
};

void find_in(Body& body, const Scope& around);

void find_in(Stmt& stmt, const Scope& around) {
  for (Branch& branch : stmt.branches) find_in(branch.body, around);
  if (stmt.act == Do::branch) return;
  Scope inner(&around);
  if (stmt.act == Do::loop) inner.declare(stmt.target);
  for (const Target& target : stmt.targets) inner.declare(target);
  for (const Param& param : stmt.params) {
    inner.declare(param.name);
    if (param.fallback != nullptr) inner.read(param.fallback);
  }
  inner.visit(stmt.body);
  stmt.hidden = inner.hidden();
  find_in(stmt.body, inner);
  Scope otherwise(&around);
  otherwise.visit(stmt.otherwise);
  stmt.otherwise_hidden = otherwise.hidden();
  find_in(stmt.otherwise, otherwise);
}

void find_in(Body& body, const Scope& around) {
  for (Stmt* stmt : body) find_in(*stmt, around);
}

}  // namespace

void find_hidden_names(Tree& tree) {
  Scope top(nullptr);
  top.visit(tree.body);
  tree.hidden = top.hidden();
  find_in(tree.body, top);
}

}  // namespace trireme::jinja
