#include "chat/parser.h"

#include <utility>

#include "base/error.h"
#include "chat/expression_parser.h"
#include "chat/run.h"
#include "chat/scopes.h"

namespace trireme::jinja {
namespace {

constexpr int kMaxBlocks = 100;  // inside of one another

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  void run() {
    tree_.body = parse_body({});
    if (!unknown_.empty()) {
      const Expr& expr = *unknown_.front();
      fail_at(expr.line, cat("there is no ", expr.op == Op::filter ? "filter" : "test", " named '", expr.text, "'"));
    }
  }

 private:
  using Ends = std::vector<std::string_view>;

  Stmt* make(Do act, int line) {
    Stmt& stmt = tree_.stmts.emplace_back();
    stmt.act = act;
    stmt.line = line;
    return &stmt;
  }

  /// Statements up to one of the tags `ends`, whose name is then the next token; up to the end where it is empty.
  Body parse_body(const Ends& ends) {
    if (++blocks_ > kMaxBlocks) fail(cat("more than ", kMaxBlocks, " tags inside of one another"));
    Body body;
    while (now().type != Token::end) {
      const Lexeme& lexeme = take();
      if (lexeme.type == Token::data) {
        Stmt* text = make(Do::text, lexeme.line);
        text->text = lexeme.text;
        body.push_back(text);
      } else if (lexeme.type == Token::variable_begin) {
        Stmt* output = make(Do::output, lexeme.line);
        output->exprs.push_back(parse_tuple(true));
        expect(Token::variable_end, "'}}'");
        body.push_back(output);
      } else {
        for (const std::string_view end : ends) {
          if (is_word(end)) return --blocks_, body;
        }
        body.push_back(parse_statement());
        expect(Token::block_end, "'%}'");
      }
    }
    if (!ends.empty()) fail(cat("the template ends before {% ", ends.back(), " %}"));
    --blocks_;
    return body;
  }

  /// The body of a tag that has just been read, and its end tag. A colon before the %} is allowed as in Python.
  Body parse_block(std::string_view end) {
    Body body = parse_until({end});
    take();
    return body;
  }
  Body parse_until(const Ends& ends) {
    take_sign(":");
    expect(Token::block_end, "'%}'");
    return parse_body(ends);
  }

  Stmt* parse_statement() {
    struct Tag {
      std::string_view name;
      Stmt* (Parser::*parse)(int);
    };
    constexpr Tag kTags[] = {
        {"if", &Parser::parse_if},       {"for", &Parser::parse_for},     {"set", &Parser::parse_set},
        {"macro", &Parser::parse_macro}, {"call", &Parser::parse_call},   {"filter", &Parser::parse_filter_block},
        {"with", &Parser::parse_with},   {"block", &Parser::parse_named}, {"generation", &Parser::parse_generation},
        {"print", &Parser::parse_print}, {"break", &Parser::parse_break}, {"continue", &Parser::parse_continue},
    };
    if (now().type != Token::name) fail("expected the name of a tag after '{%'");
    const std::string_view name = now().text;
    for (const Tag& tag : kTags) {
      if (tag.name == name) return (this->*tag.parse)(take().line);
    }
    for (const char* other : {"include", "import", "from", "extends"}) {
      if (name == other) fail(cat("{% ", name, " %}: a chat template cannot load another template"));
    }
    fail(cat("unknown tag '", name, "'"));
  }

  Stmt* parse_if(int line) {
    Stmt* stmt = make(Do::branch, line);
    const bool outer = std::exchange(conditional_, true);
    while (true) {
      Expr* test = parse_tuple(false);
      stmt->branches.push_back({test, parse_until({"elif", "else", "endif"})});
      const std::string_view end = take().text;
      if (end == "elif") continue;
      if (end == "else") stmt->branches.push_back({nullptr, parse_block("endif")});
      break;
    }
    conditional_ = outer;
    return stmt;
  }

  Stmt* parse_for(int line) {
    Stmt* stmt = make(Do::loop, line);
    stmt->target = parse_target(false, "in");
    expect_word("in");
    stmt->expr = parse_tuple(false, "recursive");
    const bool outer = std::exchange(conditional_, false);
    if (take_word("if")) stmt->test = parse_expression();
    stmt->recursive = take_word("recursive");
    ++loops_;
    stmt->body = parse_until({"endfor", "else"});
    --loops_;
    if (take().text == "else") stmt->otherwise = parse_block("endfor");
    conditional_ = outer;
    return stmt;
  }

  Stmt* parse_set(int line) {
    Target target = parse_target(true);
    if (take_sign("=")) {
      Stmt* stmt = make(Do::assign, line);
      stmt->target = std::move(target);
      stmt->expr = parse_tuple(true);
      return stmt;
    }
    Stmt* stmt = make(Do::capture, line);
    stmt->target = std::move(target);
    stmt->expr = parse_filters(nullptr, false);
    stmt->body = parse_scope("endset");
    return stmt;
  }

  /// A body that is a scope of its own; loops and conditions around it do not reach in.
  Body parse_scope(std::string_view end) {
    const bool outer = std::exchange(conditional_, false);
    Body body = parse_block(end);
    conditional_ = outer;
    return body;
  }

  /// A body that is a function: break and continue do not reach out of it.
  void parse_function(Stmt& stmt, std::string_view end) {
    const int outer = std::exchange(loops_, 0);
    const size_t first = tree_.exprs.size();
    stmt.body = parse_scope(end);
    loops_ = outer;
    const auto uses = [&](std::string_view name) {
      const int number = tree_.intern(name);
      const auto is_param = [&](const Param& p) { return p.name == number; };
      const auto is_use = [&](const Expr& e) { return e.op == Op::name && e.name == number; };
      return std::none_of(stmt.params.begin(), stmt.params.end(), is_param) &&
             std::any_of(tree_.exprs.begin() + static_cast<std::ptrdiff_t>(first), tree_.exprs.end(), is_use);
    };
    stmt.takes_caller = uses("caller");
    stmt.takes_named = uses("kwargs");
    stmt.takes_rest = uses("varargs");
  }

  void parse_signature(Stmt& stmt) {
    expect_sign("(");
    while (!is_sign(")")) {
      if (!stmt.params.empty()) expect_sign(",");
      const std::string_view name = expect_name();
      Expr* fallback = nullptr;
      if (take_sign("=")) {
        fallback = parse_expression();
      } else if (!stmt.params.empty() && stmt.params.back().fallback != nullptr) {
        fail("a parameter without default after one with a default");
      }
      stmt.params.push_back({tree_.intern(name), name, fallback});
    }
    expect_sign(")");
  }

  Stmt* parse_macro(int line) {
    Stmt* stmt = make(Do::macro, line);
    stmt->text = expect_name();
    stmt->name = tree_.intern(stmt->text);
    parse_signature(*stmt);
    parse_function(*stmt, "endmacro");
    return stmt;
  }

  Stmt* parse_call(int line) {
    Stmt* stmt = make(Do::call, line);
    if (is_sign("(")) parse_signature(*stmt);
    stmt->expr = parse_expression();
    if (stmt->expr->op != Op::call) fail_at(line, "{% call %} needs a call");
    parse_function(*stmt, "endcall");
    return stmt;
  }

  Stmt* parse_filter_block(int line) {
    Stmt* stmt = make(Do::filter, line);
    stmt->expr = parse_filters(nullptr, true);
    stmt->body = parse_scope("endfilter");
    return stmt;
  }

  Stmt* parse_with(int line) {
    Stmt* stmt = make(Do::with, line);
    while (now().type != Token::block_end) {
      if (!stmt->targets.empty()) expect_sign(",");
      stmt->targets.push_back(parse_target(false));
      expect_sign("=");
      stmt->exprs.push_back(parse_expression());
    }
    stmt->body = parse_scope("endwith");
    return stmt;
  }

  Stmt* parse_named(int line) {
    Stmt* stmt = make(Do::block, line);
    stmt->text = expect_name();
    take_word("scoped");
    take_word("required");
    const int outer = std::exchange(loops_, 0);
    stmt->body = parse_scope("endblock");
    loops_ = outer;
    take_word(stmt->text);
    return stmt;
  }

  Stmt* parse_generation(int line) {
    Stmt* stmt = make(Do::generation, line);
    parse_function(*stmt, "endgeneration");
    return stmt;
  }

  Stmt* parse_print(int line) {
    Stmt* stmt = make(Do::output, line);
    while (now().type != Token::block_end) {
      if (!stmt->exprs.empty()) expect_sign(",");
      stmt->exprs.push_back(parse_expression());
    }
    return stmt;
  }

  Stmt* parse_break(int line) { return parse_jump(Do::stop, line); }
  Stmt* parse_continue(int line) { return parse_jump(Do::next, line); }
  Stmt* parse_jump(Do act, int line) {
    if (loops_ == 0) fail_at(line, "break or continue outside of a loop");
    return make(act, line);
  }

  int blocks_ = 0, loops_ = 0;
};

}  // namespace

void parse_template(std::string_view source, Tree& tree) {
  Parser(source, tree).run();
  find_hidden_names(tree);
}

}  // namespace trireme::jinja
