// The expressions of a template: one function for each level of precedence, as jinja2 has them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "chat/ast.h"
#include "chat/lexer.h"

namespace trireme::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::string_view source, Tree& tree);

 protected:
  /// Ends of a tuple beside the ends of tags: the word that follows it.
  using EndWord = std::string_view;

  [[noreturn]] void fail(const std::string& reason) const;
  [[noreturn]] void fail_at(int line, const std::string& reason) const;

  const Lexeme& now() const { return lexemes_[at_]; }
  const Lexeme& ahead() const { return lexemes_[std::min(at_ + 1, lexemes_.size() - 1)]; }
  const Lexeme& take();
  bool is_sign(std::string_view sign) const { return now().type == Token::sign && now().text == sign; }
  bool is_word(std::string_view word) const { return now().type == Token::name && now().text == word; }
  bool take_sign(std::string_view sign);
  bool take_word(std::string_view word);
  void expect(Token type, std::string_view what);
  void expect_sign(std::string_view sign);
  void expect_word(std::string_view word);
  std::string_view expect_name();

  /// A tuple where commas follow, else one expression. `conditions`: whether `a if b else c` may stand in it.
  Expr* parse_tuple(bool conditions, EndWord end = {}, bool parentheses = false);
  Expr* parse_expression(bool conditions = true);
  /// `| filter | filter`, or with `inline_first` `filter | filter`; the innermost argument is `input`, which may be
  /// null for the text that a block collects.
  Expr* parse_filters(Expr* input, bool inline_first);
  Target parse_target(bool with_attributes, EndWord end = {});

  Expr* node(Op op, int line, std::vector<Expr*> args = {});

  Tree& tree_;
  /// Inside of a condition, unknown filters and tests are errors only where they are used; others are gathered here.
  bool conditional_ = false;
  std::vector<const Expr*> unknown_;

 private:
  class Level;

  bool at_tuple_end(EndWord end) const;
  Expr* parse_condition();
  Expr* parse_or();
  Expr* parse_and();
  Expr* parse_not();
  Expr* parse_compare();
  bool take_comparison(Op& op);
  Expr* parse_sum();
  Expr* parse_concat();
  Expr* parse_product();
  Expr* parse_power();
  Expr* parse_unary(bool with_filters);
  Expr* parse_primary();
  Expr* parse_list();
  Expr* parse_dict();
  Expr* parse_postfix(Expr* expr);
  Expr* parse_filters_and_tests(Expr* expr);
  Expr* parse_subscript(Expr* expr);
  Expr* parse_subscript_part();
  Expr* parse_test(Expr* expr);
  void parse_arguments(Expr& call);
  Target parse_one_target(bool with_attributes);
  std::string_view dotted_name();

  std::vector<Lexeme> lexemes_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace trireme::jinja
