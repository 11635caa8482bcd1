#include "models/jinja/interpreter.h"

#include <stdexcept>

#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor::jinja {
namespace {

class Interpreter {
 public:
  Interpreter(const Map& variables, const Limits& limits) : limits_(limits), scopes_{variables} {}

  std::string run(const Body& body) {
    try {
      execute(body);
    } catch (const std::invalid_argument& error) {
      fail("line {}: {}", line_, error.what());
    }
    return std::move(output_);
  }

 private:
  // ---- what may be spent ----
  void spend(int64_t work) {
    work_ += work;
    check(work_ <= limits_.work, "the template does not end within {} steps", limits_.work);
  }
  void spend_on(const Value& value) {
    if (value.text() != nullptr) spend(static_cast<int64_t>(value.text()->size() / 16));
    if (value.list() == nullptr) return;
    spend(static_cast<int64_t>(value.list()->size()));
    for (const Value& item : *value.list())
      if (item.text() != nullptr) spend(static_cast<int64_t>(item.text()->size() / 16));
  }
  void print(std::string_view text) {
    check(output_.size() + text.size() <= limits_.output_bytes, "the template makes more than {} bytes",
          limits_.output_bytes);
    output_ += text;
  }

  // ---- statements ----
  void execute(const Body& body) {
    for (const Statement& statement : body) {
      spend(1);
      line_ = statement.line;
      switch (statement.kind) {
        case StatementKind::text:
          print(statement.text);
          break;
        case StatementKind::print:
          print(printed(evaluate(*statement.expression)));
          break;
        case StatementKind::assign:
          assign(statement);
          break;
        case StatementKind::loop:
          loop(statement);
          break;
        case StatementKind::choice:
          for (const Branch& branch : statement.branches) {
            if (branch.condition != nullptr && !evaluate(*branch.condition).truth()) continue;
            execute(branch.body);
            break;
          }
          break;
      }
    }
  }

  void assign(const Statement& statement) {
    Value value = evaluate(*statement.expression);
    if (statement.attribute.empty()) return set(scopes_.back(), statement.text, std::move(value));
    const Value target = variable(statement.text);
    line_ = statement.line;
    if (target.space() == nullptr)
      fail("only a namespace has attributes to set; {} is {}", statement.text, target.kind());
    if (value.space() != nullptr) fail("a namespace in a namespace is not supported");
    set(*target.space()->attributes, statement.attribute, std::move(value));
  }

  // Variables that the body sets end with the round, as in Jinja.
  void loop(const Statement& statement) {
    const Value whole = evaluate(*statement.expression);
    line_ = statement.line;
    if (whole.list() == nullptr && !whole.is_undefined()) fail("a loop over {} is not supported", whole.kind());
    const List items = whole.is_undefined() ? List() : *whole.list();
    spend_on(whole);
    if (items.empty() && statement.branches.size() > 1) return execute(statement.branches[1].body);
    const auto n = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < n; ++i) {
      Map about = {{"index", i + 1},  {"index0", i},        {"revindex", n - i}, {"revindex0", n - i - 1},
                   {"first", i == 0}, {"last", i == n - 1}, {"length", n}};
      about.emplace_back("previtem", i > 0 ? items[static_cast<size_t>(i - 1)] : Value(Undefined{"loop.previtem"}));
      about.emplace_back("nextitem", i + 1 < n ? items[static_cast<size_t>(i + 1)] : Value(Undefined{"loop.nextitem"}));
      scopes_.push_back({{statement.text, items[static_cast<size_t>(i)]}, {"loop", std::move(about)}});
      execute(statement.branches[0].body);
      scopes_.pop_back();
    }
  }

  static void set(Map& scope, const std::string& name, Value value) {
    for (auto& [known, held] : scope) {
      if (known != name) continue;
      held = std::move(value);
      return;
    }
    scope.emplace_back(name, std::move(value));
  }

  Value variable(const std::string& name) {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      spend(static_cast<int64_t>(scope->size()) / 8);  // what is looked through
      if (const Value* found = find(*scope, name)) return *found;
    }
    return Undefined{name};
  }

  // ---- expressions ----
  Value evaluate(const Expression& e) {
    spend(1);
    Value value = value_of(e);
    if (value.text() != nullptr) spend(static_cast<int64_t>(value.text()->size() / 16));
    return value;
  }
  // The i-th operand, where an operation that e stands for reads it; e's line is where it may fail.
  Value operand(const Expression& e, size_t i) {
    Value value = evaluate(*e.operands[i]);
    line_ = e.line;
    return value;
  }

  Value value_of(const Expression& e) {
    switch (e.kind) {
      case ExpressionKind::literal_string:
        return e.text;
      case ExpressionKind::literal_integer:
        return e.number;
      case ExpressionKind::literal_boolean:
        return e.number != 0;
      case ExpressionKind::literal_none:
        return None{};
      case ExpressionKind::list:
        return list(e);
      case ExpressionKind::dictionary:
        return dictionary(e);
      case ExpressionKind::name:
        return variable(e.text);
      case ExpressionKind::attribute:
        return attribute_of(operand(e, 0), e.text);
      case ExpressionKind::item: {
        const Value whole = operand(e, 0);
        return item_of(whole, operand(e, 1));
      }
      case ExpressionKind::slice:
        return slice(e);
      case ExpressionKind::call:
        return call(e);
      case ExpressionKind::filter: {
        const Value value = operand(e, 0);
        spend_on(value);
        const Arguments given = arguments(e);
        return filtered(e.text, value, given);
      }
      case ExpressionKind::test:
        return passes(e.text, operand(e, 0)) != (e.number != 0);
      case ExpressionKind::negation:
        return !operand(e, 0).truth();
      case ExpressionKind::minus:
        return combine("-", int64_t{0}, operand(e, 0));
      case ExpressionKind::binary:
        return binary(e);
      case ExpressionKind::comparison:
        return comparison(e);
      case ExpressionKind::conditional:
        if (operand(e, 1).truth()) return operand(e, 0);
        return e.operands[2] != nullptr ? operand(e, 2) : Value(Undefined{"the other case of an if"});
    }
    throw std::logic_error("jinja: an expression of no kind");
  }

  // Lists hold no lists, and dictionaries neither: what is nested without bound could not be compared or freed safely.
  Value list(const Expression& e) {
    List items;
    for (size_t i = 0; i < e.operands.size(); ++i) {
      items.push_back(operand(e, i));
      if (items.back().list() != nullptr || items.back().space() != nullptr)
        fail("{} in a list is not supported", items.back().kind());
    }
    return items;
  }

  Value dictionary(const Expression& e) {
    Map map;
    for (size_t i = 0; i < e.operands.size(); i += 2) {
      const Value key = operand(e, i);
      Value value = operand(e, i + 1);
      if (key.text() == nullptr) fail("a key must be a string; got {}", key.kind());
      if (value.list() != nullptr || value.map() != nullptr || value.space() != nullptr)
        fail("{} in a dictionary is not supported", value.kind());
      spend(static_cast<int64_t>(map.size()) / 8);
      set(map, *key.text(), std::move(value));
    }
    return map;
  }

  Value slice(const Expression& e) {
    const Value whole = operand(e, 0);
    Value bounds[3];
    for (size_t i = 0; i < 3; ++i) bounds[i] = e.operands[i + 1] != nullptr ? operand(e, i + 1) : Value(None{});
    spend_on(whole);
    return slice_of(whole, bounds[0], bounds[1], bounds[2]);
  }

  Value binary(const Expression& e) {
    Value left = operand(e, 0);
    if (e.text == "and" || e.text == "or") return left.truth() == (e.text == "or") ? left : operand(e, 1);
    const Value right = operand(e, 1);
    spend_on(left);
    spend_on(right);
    return combine(e.text, left, right);
  }

  Value comparison(const Expression& e) {
    Value left = operand(e, 0);
    for (size_t i = 0; i < e.signs.size(); ++i) {
      Value right = operand(e, i + 1);
      spend_on(left);
      spend_on(right);
      if (!compare(e.signs[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  Arguments arguments(const Expression& e) {
    Arguments given;
    for (size_t i = 1; i < e.operands.size(); ++i) given.values.push_back(operand(e, i));
    for (const auto& [name, expression] : e.named) set(given.named, name, evaluate(*expression));
    line_ = e.line;
    return given;
  }

  Value call(const Expression& e) {
    const Expression& callee = *e.operands[0];
    if (callee.kind == ExpressionKind::attribute) {
      const Value value = operand(callee, 0);
      spend_on(value);
      return call_method(value, callee.text, arguments(e));
    }
    const std::string name = callee.kind == ExpressionKind::name ? callee.text : "of an expression";
    if (name == "raise_exception") {
      const Arguments given = arguments(e);
      fail("{}", given.values.empty() ? "raise_exception" : printable(printed(given.values[0]), 300));
    }
    if (name != "namespace") fail("the function \"{}\" is not supported", printable(name, 40));
    Arguments given = arguments(e);
    check(given.values.empty(), "namespace() takes arguments by name here");
    for (const auto& [key, value] : given.named)
      if (value.space() != nullptr) fail("a namespace in a namespace is not supported");
    return Namespace{std::make_shared<Map>(std::move(given.named))};
  }

  Limits limits_;
  int64_t work_ = 0;
  int line_ = 1;
  std::string output_;
  std::vector<Map> scopes_;  // of the template, and of each loop around what runs
};

}  // namespace

std::string render(const Body& body, const Map& variables, const Limits& limits) {
  return Interpreter(variables, limits).run(body);
}

}  // namespace vigor::jinja
