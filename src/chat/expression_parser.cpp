#include "chat/expression_parser.h"

#include <algorithm>

#include "base/error.h"
#include "chat/call.h"
#include "chat/run.h"

namespace trireme::jinja {
namespace {

constexpr int kMaxDepth = 150;  // of brackets and the like

std::string describe(const Lexeme& lexeme) {
  switch (lexeme.type) {
    case Token::data: return "text";
    case Token::variable_begin: return "'{{'";
    case Token::variable_end: return "'}}'";
    case Token::block_begin: return "'{%'";
    case Token::block_end: return "'%}'";
    case Token::text: return "a string";
    case Token::integer:
    case Token::real: return "a number";
    case Token::end: return "the end of the template";
    default: return cat("'", lexeme.text, "'");
  }
}

bool is_constant_name(std::string_view name) {
  return name == "true" || name == "false" || name == "True" || name == "False" || name == "none" || name == "None";
}

}  // namespace

/// One level of nesting in the source; brackets without end must not use up the stack.
class ExpressionParser::Level {
 public:
  explicit Level(ExpressionParser& parser) : parser_(parser) {
    if (++parser_.depth_ > kMaxDepth) parser_.fail(cat("nested deeper than ", kMaxDepth, " levels"));
  }
  ~Level() { --parser_.depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  ExpressionParser& parser_;
};

ExpressionParser::ExpressionParser(std::string_view source, Tree& tree)
    : tree_(tree), lexemes_(tokenize(source, tree)) {}

void ExpressionParser::fail(const std::string& reason) const { fail_at(now().line, reason); }
void ExpressionParser::fail_at(int line, const std::string& reason) const { throw TemplateError{line, reason}; }

const Lexeme& ExpressionParser::take() {
  const Lexeme& lexeme = now();
  if (lexeme.type != Token::end) ++at_;
  return lexeme;
}

bool ExpressionParser::take_sign(std::string_view sign) {
  const bool found = is_sign(sign);
  if (found) ++at_;
  return found;
}

bool ExpressionParser::take_word(std::string_view word) {
  const bool found = is_word(word);
  if (found) ++at_;
  return found;
}

void ExpressionParser::expect(Token type, std::string_view what) {
  if (now().type != type) fail(cat("expected ", what, ", found ", describe(now())));
  take();
}

void ExpressionParser::expect_sign(std::string_view sign) {
  if (!take_sign(sign)) fail(cat("expected '", sign, "', found ", describe(now())));
}

void ExpressionParser::expect_word(std::string_view word) {
  if (!take_word(word)) fail(cat("expected '", word, "', found ", describe(now())));
}

std::string_view ExpressionParser::expect_name() {
  const std::string_view name = now().text;
  expect(Token::name, "a name");
  return name;
}

Expr* ExpressionParser::node(Op op, int line, std::vector<Expr*> args) {
  Expr& expr = tree_.exprs.emplace_back();
  expr.op = op;
  expr.line = line;
  expr.args = std::move(args);
  return &expr;
}

bool ExpressionParser::at_tuple_end(EndWord end) const {
  return now().type == Token::variable_end || now().type == Token::block_end || is_sign(")") ||
         (!end.empty() && is_word(end));
}

Expr* ExpressionParser::parse_tuple(bool conditions, EndWord end, bool parentheses) {
  const Level level(*this);
  int line = now().line;
  std::vector<Expr*> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_sign(",");
    if (at_tuple_end(end)) break;
    items.push_back(parse_expression(conditions));
    if (!is_sign(",")) break;
    is_tuple = true;
    line = now().line;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (!is_tuple && !parentheses) fail(cat("expected an expression, found ", describe(now())));
  return node(Op::tuple, line, std::move(items));
}

Expr* ExpressionParser::parse_expression(bool conditions) {
  const Level level(*this);
  return conditions ? parse_condition() : parse_or();
}

Expr* ExpressionParser::parse_condition() {
  int line = now().line;
  const size_t before = unknown_.size();
  Expr* value = parse_or();
  while (take_word("if")) {
    Expr* test = parse_or();
    Expr* other = nullptr;
    if (take_word("else")) {
      const Level level(*this);
      other = parse_condition();
    }
    value = node(Op::condition, line, {test, value, other});
    line = now().line;
    unknown_.resize(before);
  }
  return value;
}

Expr* ExpressionParser::parse_or() {
  Expr* left = parse_and();
  while (is_word("or")) {
    const int line = take().line;
    left = node(Op::either, line, {left, parse_and()});
  }
  return left;
}

Expr* ExpressionParser::parse_and() {
  Expr* left = parse_not();
  while (is_word("and")) {
    const int line = take().line;
    left = node(Op::both, line, {left, parse_not()});
  }
  return left;
}

Expr* ExpressionParser::parse_not() {
  if (!is_word("not")) return parse_compare();
  const Level level(*this);
  const int line = take().line;
  return node(Op::invert, line, {parse_not()});
}

bool ExpressionParser::take_comparison(Op& op) {
  struct Comparison {
    std::string_view sign;
    Op op;
  };
  constexpr Comparison kComparisons[] = {{"==", Op::equal},      {"!=", Op::unequal}, {"<", Op::less},
                                         {"<=", Op::less_equal}, {">", Op::greater},  {">=", Op::greater_equal}};
  for (const Comparison& comparison : kComparisons) {
    if (!take_sign(comparison.sign)) continue;
    op = comparison.op;
    return true;
  }
  op = Op::in;
  if (take_word("in")) return true;
  op = Op::not_in;
  if (!is_word("not") || ahead().type != Token::name || ahead().text != "in") return false;
  take();
  take();
  return true;
}

Expr* ExpressionParser::parse_compare() {
  const int line = now().line;
  Expr* first = parse_sum();
  std::vector<Expr*> operands = {first};
  std::vector<Op> compares;
  for (Op op; take_comparison(op);) {
    compares.push_back(op);
    operands.push_back(parse_sum());
  }
  if (compares.empty()) return first;
  Expr* expr = node(Op::compare, line, std::move(operands));
  expr->compares = std::move(compares);
  return expr;
}

Expr* ExpressionParser::parse_sum() {
  Expr* left = parse_concat();
  while (is_sign("+") || is_sign("-")) {
    const Lexeme& sign = take();
    left = node(sign.text == "+" ? Op::add : Op::subtract, sign.line, {left, parse_concat()});
  }
  return left;
}

Expr* ExpressionParser::parse_concat() {
  const int line = now().line;
  std::vector<Expr*> parts = {parse_product()};
  while (take_sign("~")) parts.push_back(parse_product());
  return parts.size() == 1 ? parts[0] : node(Op::concat, line, std::move(parts));
}

Expr* ExpressionParser::parse_product() {
  Expr* left = parse_power();
  while (is_sign("*") || is_sign("/") || is_sign("//") || is_sign("%")) {
    const Lexeme& sign = take();
    const Op op = sign.text == "*"   ? Op::multiply
                  : sign.text == "/" ? Op::divide
                  : sign.text == "%" ? Op::modulo
                                     : Op::floor_divide;
    left = node(op, sign.line, {left, parse_power()});
  }
  return left;
}

Expr* ExpressionParser::parse_power() {
  Expr* left = parse_unary(true);
  while (is_sign("**")) {
    const int line = take().line;
    left = node(Op::power, line, {left, parse_unary(true)});
  }
  return left;
}

Expr* ExpressionParser::parse_unary(bool with_filters) {
  const Level level(*this);
  const int line = now().line;
  Expr* expr = nullptr;
  if (take_sign("-")) {
    expr = node(Op::negative, line, {parse_unary(false)});
  } else if (take_sign("+")) {
    expr = node(Op::positive, line, {parse_unary(false)});
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(expr);
  return with_filters ? parse_filters_and_tests(expr) : expr;
}

Expr* ExpressionParser::parse_primary() {
  const int line = now().line;
  if (is_sign("[")) return parse_list();
  if (is_sign("{")) return parse_dict();
  if (take_sign("(")) {
    Expr* expr = parse_tuple(true, {}, true);
    expect_sign(")");
    return expr;
  }
  const Lexeme lexeme = now();
  if (lexeme.type == Token::name) {
    take();
    if (!is_constant_name(lexeme.text)) {
      Expr* expr = node(Op::name, line);
      expr->name = tree_.intern(lexeme.text);
      return expr;
    }
    Expr* expr = node(Op::constant, line);
    const bool none = lexeme.text == "none" || lexeme.text == "None";
    expr->value = none ? Value::none() : Value(lexeme.text == "true" || lexeme.text == "True");
    return expr;
  }
  if (lexeme.type == Token::integer || lexeme.type == Token::real) {
    take();
    Expr* expr = node(Op::constant, line);
    expr->value = lexeme.value;
    return expr;
  }
  if (lexeme.type != Token::text) fail(cat("unexpected ", describe(lexeme)));
  std::string text;  // neighbours are one string
  while (now().type == Token::text) text += take().text;
  Expr* expr = node(Op::constant, line);
  expr->value = tree_.keep(std::move(text));
  return expr;
}

Expr* ExpressionParser::parse_list() {
  const int line = take().line;
  std::vector<Expr*> items;
  while (!is_sign("]")) {
    if (!items.empty()) expect_sign(",");
    if (is_sign("]")) break;
    items.push_back(parse_expression());
  }
  expect_sign("]");
  return node(Op::list, line, std::move(items));
}

Expr* ExpressionParser::parse_dict() {
  const int line = take().line;
  std::vector<Expr*> items;
  while (!is_sign("}")) {
    if (!items.empty()) expect_sign(",");
    if (is_sign("}")) break;
    items.push_back(parse_expression());
    expect_sign(":");
    items.push_back(parse_expression());
  }
  expect_sign("}");
  return node(Op::dict, line, std::move(items));
}

Expr* ExpressionParser::parse_postfix(Expr* expr) {
  while (true) {
    if (is_sign(".") || is_sign("[")) {
      expr = parse_subscript(expr);
    } else if (is_sign("(")) {
      expr = node(Op::call, now().line, {expr});
      parse_arguments(*expr);
    } else {
      return expr;
    }
  }
}

Expr* ExpressionParser::parse_filters_and_tests(Expr* expr) {
  while (true) {
    if (is_sign("|")) {
      expr = parse_filters(expr, false);
    } else if (is_word("is")) {
      expr = parse_test(expr);
    } else if (is_sign("(")) {  // the result of a filter may be called
      expr = node(Op::call, now().line, {expr});
      parse_arguments(*expr);
    } else {
      return expr;
    }
  }
}

Expr* ExpressionParser::parse_subscript(Expr* expr) {
  const Lexeme& open = take();
  const int line = open.line;
  if (open.text == ".") {
    const Lexeme& member = take();
    if (member.type == Token::name) {
      Expr* out = node(Op::attribute, line, {expr});
      out->text = member.text;
      return out;
    }
    if (member.type != Token::integer) fail_at(member.line, "expected a name or number after '.'");
    Expr* index = node(Op::constant, line);
    index->value = member.value;
    return node(Op::item, line, {expr, index});
  }
  std::vector<Expr*> parts;
  while (!is_sign("]")) {
    if (!parts.empty()) expect_sign(",");
    parts.push_back(parse_subscript_part());
  }
  expect_sign("]");
  Expr* key = parts.size() == 1 ? parts[0] : node(Op::tuple, line, parts);
  if (parts.size() != 1 && std::any_of(parts.begin(), parts.end(), [](Expr* e) { return e->op == Op::slice; })) {
    fail_at(line, "a slice among several subscripts is not supported");
  }
  return node(Op::item, line, {expr, key});
}

Expr* ExpressionParser::parse_subscript_part() {
  const int line = now().line;
  Expr* start = nullptr;
  if (!is_sign(":")) {
    start = parse_expression();
    if (!is_sign(":")) return start;
  }
  take();
  const auto bound = [&]() -> Expr* {
    return is_sign(":") || is_sign("]") || is_sign(",") ? nullptr : parse_expression();
  };
  Expr* stop = bound();
  Expr* step = take_sign(":") ? bound() : nullptr;
  return node(Op::slice, line, {start, stop, step});
}

std::string_view ExpressionParser::dotted_name() {
  std::string_view name = expect_name();
  while (take_sign(".")) name = tree_.keep(cat(name, ".", expect_name()));
  return name;
}

Expr* ExpressionParser::parse_filters(Expr* input, bool inline_first) {
  while (is_sign("|") || inline_first) {
    if (!inline_first) take();
    inline_first = false;
    Expr* expr = node(Op::filter, now().line, {input});
    expr->text = dotted_name();
    expr->builtin = find_filter(expr->text);
    if (expr->builtin == nullptr && !conditional_) unknown_.push_back(expr);
    if (is_sign("(")) parse_arguments(*expr);
    input = expr;
  }
  return input;
}

Expr* ExpressionParser::parse_test(Expr* expr) {
  const int line = take().line;
  const bool negated = take_word("not");
  Expr* test = node(Op::test, line, {expr});
  test->text = dotted_name();
  test->builtin = find_test(test->text);
  if (test->builtin == nullptr && !conditional_) unknown_.push_back(test);
  const Token type = now().type;
  const bool value = type == Token::name || type == Token::text || type == Token::integer || type == Token::real;
  if (is_sign("(")) {
    parse_arguments(*test);
  } else if ((value || is_sign("[") || is_sign("{")) && !is_word("else") && !is_word("or") && !is_word("and")) {
    if (is_word("is")) fail("tests with `is` cannot be chained");
    test->args.push_back(parse_postfix(parse_primary()));
  }
  return negated ? node(Op::invert, line, {test}) : test;
}

void ExpressionParser::parse_arguments(Expr& call) {
  const int line = now().line;
  const auto ensure = [&](bool good) {
    if (!good) fail_at(line, "arguments in an order that a call cannot have");
  };
  expect_sign("(");
  for (bool more = false; !is_sign(")"); more = true) {
    if (more) expect_sign(",");
    if (more && is_sign(")")) break;
    if (take_sign("*")) {
      ensure(call.star == nullptr && call.star_star == nullptr);
      call.star = parse_expression();
    } else if (take_sign("**")) {
      ensure(call.star_star == nullptr);
      call.star_star = parse_expression();
    } else if (now().type == Token::name && ahead().type == Token::sign && ahead().text == "=") {
      ensure(call.star_star == nullptr);
      const std::string_view name = take().text;
      take();
      call.named.push_back({name, parse_expression()});
    } else {
      ensure(call.star == nullptr && call.star_star == nullptr && call.named.empty());
      call.args.push_back(parse_expression());
    }
  }
  expect_sign(")");
}

Target ExpressionParser::parse_one_target(bool with_attributes) {
  const Level level(*this);
  if (take_sign("(")) {
    Target target = parse_target(with_attributes);
    expect_sign(")");
    return target;
  }
  const Lexeme& lexeme = now();
  if (lexeme.type != Token::name) fail(cat("cannot assign to ", describe(lexeme)));
  take();
  if (is_constant_name(lexeme.text)) fail_at(lexeme.line, cat("cannot assign to ", lexeme.text));
  Target target;
  target.name = tree_.intern(lexeme.text);
  if (with_attributes && take_sign(".")) target.attribute = expect_name();
  return target;
}

Target ExpressionParser::parse_target(bool with_attributes, EndWord end) {
  Target tuple;
  bool is_tuple = false;
  while (true) {
    if (!tuple.parts.empty()) expect_sign(",");
    if (at_tuple_end(end)) break;
    tuple.parts.push_back(parse_one_target(with_attributes));
    if (!is_sign(",")) break;
    is_tuple = true;
  }
  if (tuple.parts.empty()) fail(cat("expected a name to assign to, found ", describe(now())));
  if (is_tuple) return tuple;
  Target single = std::move(tuple.parts[0]);
  return single;
}

}  // namespace trireme::jinja
