// The engine, with nodes made for the purpose where an operation would hide what is tested.
#include <algorithm>

#include "autograd/anomaly.h"
#include "autograd/engine.h"
#include "autograd/graph.h"
#include "autograd/recompute.h"
#include "kernels/concat/concat.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul/matmul.h"
#include "kernels/reduce/reduce.h"
#include "kernels/views/views.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor leaf_of(std::vector<double> values, std::string name = "") {
  const Shape sizes{static_cast<int64_t>(values.size())};
  const Tensor x = set_requires_grad(from_values(values, sizes));
  if (!name.empty()) set_name(x, std::move(name));
  return x;
}

void run_backward(const Tensor& y, const Tensor& dy) { backward(std::span(&y, 1), std::span(&dy, 1)); }

// Passes its input on, and remembers in which order nodes ran.
struct TraceNode : Node {
  explicit TraceNode(std::vector<int>* order, int number) : Node("trace"), order_(order), number_(number) {}
  void backward(Backward& b) override {
    if (order_ != nullptr) order_->push_back(number_);
    b.set(0, b.grad());
  }
  std::vector<int>* order_;
  int number_;
};
Tensor trace(const Tensor& x, std::vector<int>* order = nullptr, int number = 0) {
  const Tensor y = x.without_slot();
  if (auto node = record<TraceNode>({&x}, order, number)) node->attach({&y});
  return y;
}

// ---- size and lifetime ----

constexpr int kChain = 100000;

Tensor chain(Tensor x) {
  for (int i = 0; i < kChain; ++i) x = trace(x);
  return x;
}

TEST(Engine, RunsAndDestroysAChainOf100000Nodes) {
  const Tensor x = leaf_of({1});
  Tensor y = chain(x);
  EXPECT_EQ(node_count(y), static_cast<size_t>(kChain));
  backward(y);
  expect_values(grad(x), {1});
  y = Tensor();
}

TEST(Engine, DestroysAChainThatNeverRan) {
  const Tensor x = leaf_of({1});
  Tensor y = chain(x);
  y = Tensor();  // must not recurse
  Tensor z = chain(x) + chain(x);
  z = Tensor();
  EXPECT_FALSE(grad(x).defined());
}

TEST(Engine, AFinishedGraphKeepsNoMemory) {
  const Tensor x = set_requires_grad(random({100, 100}));
  backward(sum(exp(x)));
  zero_grad(x);
  const size_t before = allocator_of(kCpu).stats().current_bytes;
  {
    const Tensor y = exp(x);  // saves its result: that must not keep itself alive
    const Tensor loss = sum(y * y);
    EXPECT_GT(allocator_of(kCpu).stats().current_bytes, before);
  }
  EXPECT_EQ(allocator_of(kCpu).stats().current_bytes, before);
  {
    const Tensor loss = sum(exp(x) * 2.0);
    const size_t recorded = allocator_of(kCpu).stats().current_bytes;
    backward(loss);  // frees what was saved while the graph is still held
    EXPECT_EQ(saved_bytes(loss), 0u);
    zero_grad(x);
    EXPECT_LT(allocator_of(kCpu).stats().current_bytes, recorded);
  }
}

// ---- order and sums ----

TEST(Engine, NodesRunOnceNewestFirst) {
  std::vector<int> order;
  const Tensor x = leaf_of({1});
  const Tensor a = trace(x, &order, 0), b = trace(a, &order, 1), c = trace(a, &order, 2);
  backward(trace(b + c, &order, 3));
  EXPECT_EQ(order, (std::vector<int>{3, 2, 1, 0}));
  expect_values(grad(x), {2});
}

TEST(Engine, AddsGradientsOfEveryUse) {
  const Tensor x = leaf_of({2, 3});
  run_backward(x * x + x, from_values(std::vector<double>{1, 10}, {2}));
  expect_values(grad(x), {5, 70});
  run_backward(x * 4.0, from_values(std::vector<double>{1, 1}, {2}));
  expect_values(grad(x), {9, 74});
}

TEST(Engine, LeavesGivenGradientsAlone) {
  const Tensor x = leaf_of({1, 2}), dy = from_values(std::vector<double>{1, 1}, {2});
  const Tensor a = trace(x);
  run_backward(a + a + trace(a), dy);
  expect_values(dy, {1, 1});
  expect_values(grad(x), {3, 3});
  accumulate(grad(x), dy);  // the leaf's gradient is its own memory
  expect_values(dy, {1, 1});
}

TEST(Engine, SeveralRootsAlsoOneBehindTheOther) {
  const Tensor x = leaf_of({2, 5});
  const Tensor y = x * 3.0, z = sum(y * y);
  const std::vector<Tensor> roots{y, z, y}, gradients{full({2}, 1, Dtype::f64), full({}, 1, Dtype::f64), Tensor()};
  backward(roots, gradients);
  expect_values(grad(x), {3 + 2 * 9 * 2, 3 + 2 * 9 * 5});
}

TEST(Engine, TwoRunsAgreeToTheLastBit) {
  const auto gradient = [] {
    const Tensor x = set_requires_grad(random({64, 64}));
    Tensor y = x;
    for (int i = 0; i < 5; ++i) y = tanh(matmul(y, x)) + y * x;
    backward(mean(y));
    return grad(x);
  };
  expect_equal(gradient(), gradient());
}

// ---- several outputs ----

struct TwoOutputsNode : Node {
  TwoOutputsNode() : Node("two_outputs") {}
  bool first_missing = false;
  void backward(Backward& b) override {
    first_missing = !b.grad(0).defined();
    Tensor dx = clone(b.grad_or_zeros(0));
    accumulate(dx, b.grad_or_zeros(1));
    b.set(0, dx);
  }
};

TEST(Engine, AMissingOutputGradientArrivesAsNone) {
  const Tensor x = leaf_of({1, 2});
  const Tensor y = clone(x), z = clone(x);
  const auto node = record<TwoOutputsNode>({&x});
  node->attach({&y, &z});
  run_backward(z * 2.0, full({2}, 1, Dtype::f64));
  EXPECT_TRUE(node->first_missing);
  expect_values(grad(x), {2, 2});
}

TEST(Engine, NodesThatNoGradientReachesPassNothingOn) {
  std::vector<int> order;
  const Tensor x = leaf_of({1, 2, 3, 4});
  const std::vector<Tensor> pieces = split(trace(x, &order, 0), 2, 0);
  const Tensor unused = trace(pieces[0], &order, 1);
  run_backward(trace(pieces[1], &order, 2), full({2}, 1, Dtype::f64));
  EXPECT_EQ(order, (std::vector<int>{2, 0}));
  expect_values(grad(x), {0, 0, 1, 1});
}

// ---- leaves, buffers, hooks ----

// dw += 2 dy with the accumulate flag, as a GEMM with beta = 1 does.
struct TargetNode : Node {
  explicit TargetNode(std::vector<bool>* flags) : Node("target"), flags_(flags) {}
  void backward(Backward& b) override {
    for (int i = 0; i < static_cast<int>(edges().size()); ++i) {
      const Backward::Target t = b.target(i, b.grad().shape(), b.grad().dtype());
      flags_->push_back(t.accumulate);
      if (!t.accumulate) fill(t.tensor, 0);
      accumulate(t.tensor, b.grad());
      accumulate(t.tensor, b.grad());
      b.set(i, t);
    }
  }
  std::vector<bool>* flags_;
};

TEST(Leaves, GradientsAddUpInPlaceInTheBuffer) {
  const Tensor w = leaf_of({1, 2}), buffer = full({2}, 99, Dtype::f64);
  set_grad_buffer(w, buffer);
  std::vector<bool> flags;
  const auto step = [&] {
    const Tensor y = clone(w);
    record<TargetNode>({&w}, &flags)->attach({&y});
    run_backward(y, from_values(std::vector<double>{1, 10}, {2}));
  };
  step();
  expect_values(buffer, {2, 20});  // the old numbers counted as zero
  step();
  expect_values(buffer, {4, 40});
  run_backward(w * 1.0, full({2}, 1, Dtype::f64));  // a node that returns its gradient
  expect_values(buffer, {5, 41});
  zero_grad(w);
  run_backward(w * 1.0, full({2}, 1, Dtype::f64));
  expect_values(buffer, {1, 1});
  zero_grad(w);
  materialize_grad(w);
  expect_values(buffer, {0, 0});
  EXPECT_EQ(grad(w).raw(), buffer.raw());
  EXPECT_EQ(flags, (std::vector<bool>{false, true}));
}

TEST(Leaves, TheSameLeafTwiceInOneNode) {
  for (bool with_buffer : {false, true}) {
    const Tensor w = leaf_of({1, 2});
    if (with_buffer) set_grad_buffer(w, full({2}, 99, Dtype::f64));
    std::vector<bool> flags;
    const Tensor y = clone(w);
    record<TargetNode>({&w, &w}, &flags)->attach({&y});
    run_backward(y, from_values(std::vector<double>{1, 10}, {2}));
    expect_values(grad(w), {4, 40});
    EXPECT_EQ(flags, (std::vector<bool>{false, with_buffer}));
  }
}

TEST(Leaves, ZeroGradForgetsAGradientWithoutBuffer) {
  const Tensor x = leaf_of({1});
  EXPECT_FALSE(grad(x).defined());
  backward(x * 3.0);
  const Tensor first = grad(x);
  zero_grad(x);
  EXPECT_FALSE(grad(x).defined());
  backward(x * 5.0);
  expect_values(first, {3});  // somebody who kept it still has it
  expect_values(grad(x), {5});
}

TEST(Leaves, HooksSeeCompleteGradientsInAFixedOrder) {
  for (int run = 0; run < 2; ++run) {
    const Tensor a = leaf_of({1}, "a"), b = leaf_of({2}, "b"), c = leaf_of({3}, "c");
    std::vector<std::string> ready;
    for (const Tensor& x : {a, b, c})
      on_grad_ready(x, [&ready, name = name_of(x)](const Tensor& g) {
        ready.push_back(name + "=" + std::to_string(static_cast<int>(g.item<double>())));
      });
    backward((a * b + c) * b);  // b is used twice: its gradient is complete after the inner product
    EXPECT_EQ(ready, (std::vector<std::string>{"c=2", "a=4", "b=7"}));
  }
}

TEST(Leaves, WhoMayBeOne) {
  expect_error([] { set_requires_grad(zeros({2}, Dtype::i32)); }, {"set_requires_grad: ", "[2] i32"});
  const Tensor y = leaf_of({1}) * 2.0;
  expect_error<std::logic_error>([&] { set_requires_grad(y); }, {"set_requires_grad: ", "mul_number", "detach"});
  EXPECT_TRUE(requires_grad(y));
  EXPECT_FALSE(is_leaf(y));
  EXPECT_FALSE(requires_grad(detach(y)));
  EXPECT_TRUE(requires_grad(set_requires_grad(detach(y))));
  expect_error([] { set_grad_buffer(zeros({2}), zeros({3})); }, {"set_grad_buffer: ", "[2]", "[3]"});
}

// ---- recording on and off ----

TEST(Recording, NoGradStopsItForTheScope) {
  const Tensor x = leaf_of({1});
  {
    const NoGrad no_grad;
    EXPECT_FALSE(grad_enabled());
    EXPECT_FALSE(requires_grad(x * 2.0));
    const GradMode again(true);
    EXPECT_TRUE(requires_grad(x * 2.0));
  }
  EXPECT_TRUE(grad_enabled());
  EXPECT_TRUE(requires_grad(x * 2.0));
  EXPECT_FALSE(requires_grad(full({1}, 1, Dtype::f64) * 2.0));
}

TEST(Recording, DetachEndsTheGraph) {
  const Tensor x = leaf_of({3});
  backward(x * detach(x));
  expect_values(grad(x), {3});
}

// ---- misuse ----

TEST(Misuse, ASecondBackwardIsAnError) {
  const Tensor x = leaf_of({1});
  const Tensor shared = exp(x), y = shared * 2.0, z = shared * 3.0;
  backward(y);
  expect_error<std::logic_error>([&] { backward(y); }, {"mul_number #", "already"});
  expect_error<std::logic_error>([&] { backward(z); }, {"exp #", "already"});
}

TEST(Misuse, ASavedTensorWrittenInPlaceIsAnError) {
  const Tensor x = leaf_of({1, 2});
  const Tensor loss = sum(log(x));
  x.storage()->bump_version();
  expect_error<std::logic_error>([&] { backward(loss); }, {"log #", "'x'", "in place"});
}

TEST(Misuse, BackwardNeedsOneElementAndAGraph) {
  expect_error([] { backward(leaf_of({1, 2}) * 2.0); }, {"backward: ", "[2] f64"});
  expect_error([] { backward(Tensor()); }, {"backward: ", "undefined"});
  expect_error<std::logic_error>([] { backward(zeros({1})); }, {"backward: "});
  const Tensor y = leaf_of({1, 2}) * 2.0;
  expect_error([&] { run_backward(y, zeros({3}, Dtype::f64)); }, {"backward: ", "[2] f64", "[3] f64"});
  expect_error([&] { run_backward(y, zeros({2})); }, {"backward: ", "f64", "f32"});
}

struct WrongShapeNode : Node {
  WrongShapeNode() : Node("wrong_shape") {}
  void backward(Backward& b) override { b.set(0, zeros({7}, Dtype::f64)); }
};

TEST(Misuse, AGradientOfTheWrongShapeNamesItsNode) {
  const Tensor x = leaf_of({1});
  const Tensor a = trace(x), y = clone(a);
  record<WrongShapeNode>({&a})->attach({&y});
  expect_error<std::logic_error>([&] { backward(y); }, {"wrong_shape #", "[7] f64", "[1] f64"});
  // The leaf is as good as new.
  backward(trace(x) * 2.0);
  expect_values(grad(x), {2});
}

TEST(Misuse, AGradientOfTheWrongShapeForALeafIsAnErrorToo) {
  const Tensor x = leaf_of({1}), y = clone(x);
  record<WrongShapeNode>({&x})->attach({&y});
  expect_error<std::logic_error>([&] { backward(y); }, {"wrong_shape #", "[7] f64", "[1] f64"});
}

// ---- recomputation ----

TEST(Recompute, EqualsThePlainRun) {
  const Tensor w = set_requires_grad(random({6, 6})), v = set_requires_grad(random({6}, Dtype::f32, 1));
  const Tensor x = set_requires_grad(random({5, 6}, Dtype::f32, 2)),
               z = set_requires_grad(random({5, 6}, Dtype::f32, 3));
  const Block block = [&](std::span<const Tensor> in) {
    const Tensor h = tanh(matmul(in[0], w) + v);
    return std::vector<Tensor>{h * in[1], sum(h)};
  };
  const auto gradients = [&](bool again) {
    for (const Tensor& t : {w, v, x, z}) zero_grad(t);
    const std::vector<Tensor> inputs{x * 2.0, z};
    const std::vector<Tensor> y = again ? recompute(block, inputs) : block(inputs);
    const Tensor loss = sum(matmul(y[0], w)) * y[1];
    const size_t saved = saved_bytes(loss);
    backward(loss);
    return std::pair(saved, std::vector<Tensor>{grad(w), grad(v), grad(x), grad(z), detach(loss)});
  };
  const auto plain = gradients(false), again = gradients(true);
  for (size_t i = 0; i < plain.second.size(); ++i) expect_equal(again.second[i], plain.second[i]);
  EXPECT_LT(again.first, plain.first);
}

TEST(Recompute, NestedBlocksAndLongChainsOfBlocks) {
  const Tensor w = leaf_of({0.5});
  const auto inner = [&](const Tensor& x) { return tanh(x * w); };
  const auto outer = [&](const Tensor& x) { return recompute(inner, recompute(inner, x)); };
  const auto gradient = [&](bool again) {
    zero_grad(w);
    Tensor x = leaf_of({0.3});
    const Tensor start = x;
    for (int i = 0; i < 20; ++i) x = again ? recompute(outer, x) : inner(inner(x));
    backward(x);
    return std::vector<Tensor>{clone(grad(w)), grad(start)};
  };
  const auto plain = gradient(false), again = gradient(true);
  expect_close(again[0], plain[0], 0, 1e-12);
  expect_close(again[1], plain[1], 0, 1e-12);
}

TEST(Recompute, ParametersAloneGetGradientsToo) {
  const Tensor w = leaf_of({2}), x = full({1}, 3, Dtype::f64);  // x wants none
  backward(recompute([&](const Tensor& in) { return in * w * w; }, x));
  expect_values(grad(w), {12});
  const NoGrad no_grad;
  EXPECT_FALSE(requires_grad(recompute([&](const Tensor& in) { return in * w; }, x)));
}

TEST(Recompute, InputsMayBeMissingOrIntegers) {
  const std::vector<Tensor> inputs{leaf_of({1, 2}), Tensor(), full({2}, 1, Dtype::i32)};
  const Block block = [](std::span<const Tensor> in) {
    EXPECT_FALSE(in[1].defined());
    return std::vector<Tensor>{in[0] * static_cast<double>(in[2].numel())};
  };
  run_backward(recompute(block, inputs)[0], full({2}, 1, Dtype::f64));
  expect_values(grad(inputs[0]), {2, 2});
}

TEST(Recompute, GradientCheck) {
  expect_gradients(
      [](std::span<const Tensor> in) {
        return recompute(
            [](std::span<const Tensor> t) {
              return std::vector<Tensor>{exp(t[0]) * t[1], sum(t[1])};
            },
            in);
      },
      {random({3, 4}, Dtype::f64), random({4}, Dtype::f64, 1)});
}

// ---- anomaly mode ----

TEST(Anomaly, NamesTheOperationAndItsInputs) {
  const Tensor w = leaf_of({1, -1}, "layers.0.weight");
  EXPECT_NO_THROW(log(w));
  const AnomalyScope anomaly;
  EXPECT_TRUE(anomaly_mode());
  expect_error<std::runtime_error>([&] { log(w); }, {"log: output 0", "element 1", "layers.0.weight"});
  expect_error<std::runtime_error>([&] { log(log(w)); }, {"log: "});
  EXPECT_NO_THROW(exp(w));
}

TEST(Anomaly, NamesTheParameterOfABadGradient) {
  const Tensor w = leaf_of({0, 1}, "layers.0.weight");
  const Tensor loss = sum(sqrt(w));
  const AnomalyScope anomaly;
  expect_error<std::runtime_error>([&] { backward(loss); }, {"sqrt", "not finite", "element 0"});
  // A node without an operation of its own in backward: the engine's check speaks.
  const Tensor y = trace(w);
  expect_error<std::runtime_error>(
      [&] {
        run_backward(y, from_values(std::vector<double>{0, NAN}, {2}));
      },
      {"trace #", "layers.0.weight", "element 1"});
}

TEST(Anomaly, EndsWithItsScope) {
  { const AnomalyScope anomaly; }
  EXPECT_FALSE(anomaly_mode());
  EXPECT_NO_THROW(log(leaf_of({-1})));
}

// ---- looking at graphs ----

TEST(Graph, CountsAndDrawsWhatWasRecorded) {
  const Tensor w = leaf_of({1, 2}, "weight");
  const Tensor y = exp(w), z = sum(y * y);
  EXPECT_EQ(node_count(z), 3u);
  EXPECT_EQ(saved_bytes(z), y.storage()->nbytes());  // kept by exp and twice by mul, in memory once
  const std::string text = graph_text(z);
  EXPECT_LT(text.find("sum #"), text.find("mul #"));
  EXPECT_LT(text.find("mul #"), text.find("exp #"));
  EXPECT_NE(text.find("exp #"), std::string::npos);
  EXPECT_NE(text.find("y [2] (16 B)"), std::string::npos);
  const std::string dot = graph_dot(z);
  EXPECT_EQ(dot.find("digraph"), 0u);
  EXPECT_NE(dot.find("label=\"weight\""), std::string::npos);
  EXPECT_NE(dot.find("label=\"exp\""), std::string::npos);
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '{'), 1);
  EXPECT_EQ(node_count(full({1}, 1)), 0u);
  EXPECT_EQ(graph_text(full({1}, 1)), "");
}

// ---- the checker itself ----

struct WrongGradientNode : Node {
  WrongGradientNode() : Node("wrong_gradient") {}
  double factor = 1;
  void backward(Backward& b) override { b.set(0, b.grad() * factor); }
};

TEST(GradientCheck, FindsAWrongGradient) {
  for (double factor : {1.0, 1.001, -1.0, 0.0, static_cast<double>(NAN)}) {
    const TensorFunction f = [factor](std::span<const Tensor> in) {
      const Tensor y = clone(in[0]);
      if (auto node = record<WrongGradientNode>({&in[0]})) {
        node->factor = factor;
        node->attach({&y});
      }
      return std::vector<Tensor>{y};
    };
    const std::vector<Tensor> inputs{random({3}, Dtype::f64)};
    const GradientCheckReport report = gradient_check(f, inputs);
    EXPECT_EQ(report.ok, factor == 1.0) << factor << " " << report.message;
  }
  const std::vector<Tensor> inputs{zeros({3})};
  expect_error([&] { gradient_check([](auto in) { return std::vector<Tensor>{in[0]}; }, inputs); },
               {"gradient_check: "});
}

}  // namespace
}  // namespace vigor
