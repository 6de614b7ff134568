// Filters that make numbers.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/strings.h"
#include "chat/call.h"
#include "chat/operations.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

constexpr int64_t kMaxPrecision = 300;

/// The digits of a number as Python takes them: without white space around and single underscores between digits.
std::optional<std::string> plain_digits(std::string_view text) {
  text = strip(text, nullptr, Side::both);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto alnum = [&](size_t k) {
      return k < text.size() && std::isalnum(static_cast<unsigned char>(text[k])) != 0;
    };
    if (text[i] == '_' && (i == 0 || !alnum(i - 1) || !alnum(i + 1))) return std::nullopt;
    if (text[i] != '_') out += text[i];
  }
  return out;
}

/// int(text, base).
std::optional<int64_t> parse_int(Run& run, std::string_view text, int64_t base) {
  std::optional<std::string> plain = plain_digits(text);
  if (!plain) return std::nullopt;
  std::string_view digits = *plain;
  const bool negative = starts_with(digits, "-");
  if (negative || starts_with(digits, "+")) digits.remove_prefix(1);
  const auto has_prefix = [&](char letter) {
    return digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == letter;
  };
  if (base == 0) base = has_prefix('x') ? 16 : has_prefix('o') ? 8 : has_prefix('b') ? 2 : 10;
  if ((base == 16 && has_prefix('x')) || (base == 8 && has_prefix('o')) || (base == 2 && has_prefix('b'))) {
    digits.remove_prefix(2);
  }
  if (digits.empty() || base < 2 || base > 36) return std::nullopt;
  int64_t value = 0;
  for (const char c : digits) {
    const int64_t digit = digit_value(c);
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) {
      run.fail("an integer does not fit into 64 bits");
    }
  }
  return negative ? -value : value;
}

/// float(text).
std::optional<double> parse_float(std::string_view text) {
  std::optional<std::string> plain = plain_digits(text);
  if (!plain || plain->empty()) return std::nullopt;
  std::string_view digits = *plain;
  const bool negative = digits[0] == '-';
  if (negative || digits[0] == '+') digits.remove_prefix(1);
  std::string word;
  for (const char c : digits.substr(0, 9)) word += static_cast<char>(c | 0x20);
  double value = 0;
  if (word == "inf" || word == "infinity")
    value = HUGE_VAL;
  else if (word == "nan")
    value = std::nan("");
  else if (digits.empty() || digits.find_first_not_of("0123456789.eE+-") != std::string_view::npos)
    return std::nullopt;
  else if (digits[0] == '-' || digits[0] == '+')
    return std::nullopt;
  else {
    const std::string copy(digits);
    char* end = nullptr;
    value = std::strtod(copy.c_str(), &end);
    if (end != copy.c_str() + copy.size()) return std::nullopt;
  }
  return negative ? -value : value;
}

Value truncated(Run& run, double value) {
  if (!(std::abs(value) < 0x1p63)) run.fail("cannot convert the float to an integer");
  return static_cast<int64_t>(value);
}

Value to_int(Run& run, const Value& self, const Call& call) {
  const Value fallback = call[0] != nullptr ? *call[0] : Value(int64_t{0});
  require_defined(run, self);
  if (self.is_integral()) return self.as_int();
  if (self.is(Kind::real)) return std::isnan(self.real) ? fallback : truncated(run, self.real);
  if (!self.is(Kind::string)) return fallback;
  if (const auto value = parse_int(run, self.text, int_arg(run, call, 1, 10))) return *value;
  const auto value = parse_float(self.text);
  return value && std::isfinite(*value) ? truncated(run, *value) : fallback;
}

Value to_float(Run& run, const Value& self, const Call& call) {
  require_defined(run, self);
  if (self.is_number()) return self.as_real();
  if (self.is(Kind::string)) {
    if (const auto value = parse_float(self.text)) return *value;
  }
  return call[0] != nullptr ? *call[0] : Value(0.0);
}

Value absolute(Run& run, const Value& self, const Call&) {
  if (self.is(Kind::real)) return std::abs(self.real);
  if (self.is_integral()) return self.as_int() < 0 ? negate(run, self) : Value(self.as_int());
  require_defined(run, self);
  run.fail(cat("bad operand type for abs(): '", type_name(self), "'"));
}

/// round(): half to even, exact in decimal, which is what printf does.
double round_decimal(double value, int64_t precision) {
  if (!std::isfinite(value)) return value;
  if (precision < 0) {
    const double power = std::pow(10.0, static_cast<double>(-precision));
    return std::isfinite(power) ? std::nearbyint(value / power) * power : std::copysign(0.0, value);
  }
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
  return std::strtod(buffer, nullptr);
}

Value round(Run& run, const Value& self, const Call& call) {
  const int64_t precision = int_arg(run, call, 0, 0);
  const std::string_view method = text_arg(run, call, 1, "common");
  if (precision < -kMaxPrecision || precision > kMaxPrecision) run.fail("round: a precision beyond 300 digits");
  require_defined(run, self);
  if (!self.is_number()) run.fail(cat("round needs a number, not ", type_name(self)));
  if (method == "common") {
    if (self.is(Kind::real)) return round_decimal(self.real, precision);
    if (precision >= 0) return self.as_int();
    return truncated(run, round_decimal(self.as_real(), precision));
  }
  if (method != "ceil" && method != "floor") run.fail("round: method must be common, ceil or floor");
  const double power = std::pow(10.0, static_cast<double>(precision));
  const double scaled = self.as_real() * power;
  if (!std::isfinite(scaled)) run.fail("round: the number is too large");
  return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / power;
}

constexpr Builtin kTable[] = {
    {"int", "default? base?", to_int},      {"float", "default?", to_float}, {"abs", "", absolute},
    {"round", "precision? method?", round}, {"filesizeformat", "", nullptr},
};

}  // namespace

std::span<const Builtin> number_filters() { return kTable; }

}  // namespace trireme::jinja
