#pragma once
// What every operation that walks time must do, whatever it computes: (inputs of each step, parameters, states) ->
// (y, last states), with lengths and resets.
#include "autograd/engine.h"
#include "autograd/variable.h"
#include "tests/support/against_f64.h"
#include "tests/support/near_largest.h"

namespace vigor::testing {

struct SequenceCase {
  std::vector<Tensor> inputs;  // f64: [B,T,..] ones first, then parameters, then the states [B,..] or undefined
  Tensor lengths, resets;
};

struct SequenceOperation {
  size_t activations;  // how many inputs are [B,T,..]
  // -> y [B,T,..], the last states [B,..]
  std::function<std::vector<Tensor>(std::span<const Tensor> inputs, const Tensor& lengths, const Tensor& resets)> run;
  size_t states = 1;
  Dtype parameters = Dtype::f32;  // beside activations in f32 or bf16
  bool keeps_inputs = false;      // states are inputs of earlier steps, in their dtype; else f32 beside f32 and bf16

  size_t first_state(const SequenceCase& c) const { return c.inputs.size() - states; }
  // The dtype of an input where activations have `dtype`.
  Dtype dtype_of_input(const SequenceCase& c, size_t i, Dtype dtype) const {
    if (dtype == Dtype::f64 || i < activations) return dtype;
    return i < first_state(c) ? parameters : dtype_of_states(dtype);
  }
  Dtype dtype_of_states(Dtype dtype) const { return keeps_inputs || dtype == Dtype::f64 ? dtype : Dtype::f32; }
};

// Lengths T, T/2, 1 and 0 for a case with B = 4; resets inside a sequence, at a first step, at a last one, in padding.
inline SequenceCase ragged(SequenceCase c) {
  const int64_t T = c.inputs[0].size(1);
  const auto length = static_cast<int32_t>(T);
  c.lengths = from_values(std::vector<int32_t>{length, length / 2, 1, 0}, {4});
  std::vector<uint8_t> resets(static_cast<size_t>(4 * T), 0);
  resets[static_cast<size_t>(T / 3)] = 1;
  resets[static_cast<size_t>(T)] = 1;
  resets[static_cast<size_t>(T + T / 2 - 1)] = 1;
  resets[static_cast<size_t>(2 * T - 1)] = 1;
  c.resets = from_values(resets, {4, T});
  return c;
}

// A fixed random gradient for a result: numbers that bf16 holds, the same ones for every dtype.
inline Tensor output_gradient(const Tensor& y) {
  return converted(random(y.shape(), Dtype::bf16, 100 + static_cast<uint32_t>(y.rank())), y.dtype());
}

// The inputs where activations have `dtype`.
inline std::vector<Tensor> inputs_in(Dtype dtype, const SequenceOperation& op, const SequenceCase& c) {
  std::vector<Tensor> in;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    in.push_back(c.inputs[i].defined() ? converted(c.inputs[i], op.dtype_of_input(c, i, dtype)) : Tensor());
  return in;
}

inline Tensor part(const Tensor& x, int dim, int64_t start, int64_t end) {
  return x.with_view(sliced(x, dim, start, end, 1, "part"));
}

// Memory that the allocator hands out next holds NaN, so that an element which nobody writes shows. For tensors of up
// to 64 KB; on the emulated device its checker does this.
inline void leave_nans_in_free_memory() {
  constexpr int kOfEachSize = 8;
  std::vector<Tensor> taken;
  for (int64_t octave = 64; octave <= 32768; octave *= 2)
    for (int64_t nbytes = octave; nbytes < 2 * octave; nbytes += octave / 4)
      for (int i = 0; i < kOfEachSize; ++i)
        taken.push_back(full({nbytes / 4}, std::numeric_limits<double>::quiet_NaN()));
}

// y and the last states, then the gradients of all inputs, with activations in `dtype`.
inline std::vector<Tensor> results_and_gradients(const SequenceOperation& op, const SequenceCase& c, Dtype dtype,
                                                 Device device = kCpu) {
  leave_nans_in_free_memory();
  const auto there = [&](const Tensor& x) { return x.defined() ? to_device(x, device) : x; };
  std::vector<Tensor> in;
  for (const Tensor& x : inputs_in(dtype, op, c)) in.push_back(x.defined() ? set_requires_grad(there(x)) : x);
  const std::vector<Tensor> out = op.run(in, there(c.lengths), there(c.resets));
  std::vector<Tensor> up, all;
  for (const Tensor& y : out) {
    all.push_back(to_device(y, kCpu));
    up.push_back(there(output_gradient(y)));
  }
  backward(out, up);
  for (const Tensor& x : in) all.push_back(x.defined() ? to_device(grad(x), kCpu) : x);
  return all;
}

// The numbers that a kernel in `dtype` sees, in f64.
inline SequenceCase rounded(const SequenceOperation& op, SequenceCase c, Dtype dtype) {
  c.inputs = inputs_in(dtype, op, c);
  for (Tensor& x : c.inputs)
    if (x.defined()) x = converted(x, Dtype::f64);
  return c;
}

// Two results of results_and_gradients(op, ..).
inline void expect_all_near(const SequenceOperation& op, const std::vector<Tensor>& actual,
                            const std::vector<Tensor>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  const size_t results = 1 + op.states;
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i < results ? "result " + std::to_string(i) : "gradient of input " + std::to_string(i - results));
    if (expected[i].defined()) expect_near_largest(actual[i], expected[i], tolerance);
  }
}

inline void expect_sequence_gradients(const SequenceOperation& op, const SequenceCase& c,
                                      const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  expect_gradients(TensorFunction([&](std::span<const Tensor> in) { return op.run(in, c.lengths, c.resets); }),
                   c.inputs, {}, file, line);
}

// The fast code of every instruction set against the f64 definition; also that the results have the right dtypes.
inline void expect_fast_equals_f64(const SequenceOperation& op, const SequenceCase& c, Dtype dtype, double tolerance) {
  const SequenceCase exact = rounded(op, c, dtype);
  const std::vector<Tensor> expected = results_and_gradients(op, exact, Dtype::f64);
  for_each_isa([&] {
    const std::vector<Tensor> actual = results_and_gradients(op, exact, dtype);
    EXPECT_EQ(actual[0].dtype(), dtype);
    EXPECT_EQ(actual[1].dtype(), op.dtype_of_states(dtype));
    expect_all_near(op, actual, expected, tolerance);
  });
}

// Scans of `lengths` steps, joined by their states, are one scan: values and gradients. The states of the case are
// given, and its resets.
inline void expect_pieces_equal_whole(const SequenceOperation& op, const SequenceCase& c,
                                      const std::vector<int64_t>& lengths, Dtype dtype, double tolerance) {
  const std::vector<Tensor> whole = results_and_gradients(op, c, dtype);
  const size_t first_state = op.first_state(c), first_gradient = 1 + op.states;
  const auto expect_same = [&](const Tensor& actual, const Tensor& expected) {
    expect_close(actual, expected, tolerance * std::min(1.0, largest(expected)));
  };
  std::vector<Tensor> in = inputs_in(dtype, op, c), roots, up;
  for (const Tensor& input : in) set_requires_grad(input);
  std::vector<std::vector<Tensor>> pieces;  // the activations of each call
  std::vector<Tensor> step = in;
  int64_t t = 0;
  for (const int64_t length : lengths) {
    for (size_t i = 0; i < op.activations; ++i) step[i] = set_requires_grad(clone(part(in[i], 1, t, t + length)));
    pieces.emplace_back(step.begin(), step.begin() + static_cast<std::ptrdiff_t>(op.activations));
    const std::vector<Tensor> out = op.run(step, {}, part(c.resets, 1, t, t + length));
    expect_same(out[0], part(whole[0], 1, t, t + length));
    roots.push_back(out[0]);
    up.push_back(part(output_gradient(whole[0]), 1, t, t + length));
    for (size_t i = 0; i < op.states; ++i) step[first_state + i] = out[1 + i];
    t += length;
  }
  ASSERT_EQ(t, c.inputs[0].size(1));
  for (size_t i = 0; i < op.states; ++i) {
    const Tensor& last = step[first_state + i];
    expect_same(last, whole[1 + i]);
    roots.push_back(last);
    up.push_back(output_gradient(last));
  }
  backward(roots, up);
  t = 0;
  for (const std::vector<Tensor>& piece : pieces) {
    const int64_t end = t + piece[0].size(1);
    for (size_t i = 0; i < piece.size(); ++i) expect_same(grad(piece[i]), part(whole[first_gradient + i], 1, t, end));
    t = end;
  }
  for (size_t i = op.activations; i < in.size(); ++i) expect_same(grad(in[i]), whole[first_gradient + i]);
}

// The same in two pieces and step by step, with resets. T of the case is 7.
inline void expect_pieces_equal_whole(const SequenceOperation& op, SequenceCase c, Dtype dtype = Dtype::f64,
                                      double tolerance = 1e-12) {
  const int64_t B = c.inputs[0].size(0), T = 7;
  std::vector<uint8_t> resets(static_cast<size_t>(B * T), 0);
  resets[4] = resets[static_cast<size_t>(T) + 3] = 1;
  c.resets = from_values(resets, {B, T});
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{3, 4}, std::vector<int64_t>(7, 1)})
    expect_pieces_equal_whole(op, c, lengths, dtype, tolerance);
}

// A padded batch gives what each sequence gives alone, whatever stands in the padding. `c` comes from ragged().
inline void expect_padding_is_identity(const SequenceOperation& op, const SequenceCase& c, Dtype dtype = Dtype::f64) {
  const int64_t T = c.inputs[0].size(1);
  const std::vector<Tensor> expected = results_and_gradients(op, c, dtype), in = inputs_in(dtype, op, c);
  SequenceCase other = c;
  for (size_t i = 0; i < op.activations; ++i) {
    other.inputs[i] = clone(c.inputs[i]);
    for (int64_t b = 0; b < 4; ++b)
      fill(part(part(other.inputs[i], 0, b, b + 1), 1, c.lengths.data<int32_t>()[b], T), 7.0 + static_cast<double>(i));
  }
  const std::vector<Tensor> actual = results_and_gradients(op, other, dtype);
  for (size_t i = 0; i < expected.size(); ++i) expect_equal(actual[i], expected[i]);
  // Sequence 3 has length 0: nothing but its states come out, and the gradients of those go straight back.
  const size_t first_state = op.first_state(c), first_gradient = 1 + op.states;
  const auto row = [](const Tensor& x) { return part(x, 0, 3, 4); };
  expect_equal(row(expected[0]), zeros(row(expected[0]).shape(), dtype));
  for (size_t i = 0; i < op.activations; ++i)
    expect_equal(row(expected[first_gradient + i]), zeros(row(in[i]).shape(), dtype));
  for (size_t i = 0; i < op.states; ++i) {
    expect_equal(row(expected[1 + i]), row(in[first_state + i]));
    expect_equal(row(expected[first_gradient + first_state + i]), row(output_gradient(expected[1 + i])));
  }
  // Sequence 1 alone, cut to its length.
  const int64_t length = c.lengths.data<int32_t>()[1];
  std::vector<Tensor> alone = in;
  for (size_t i = 0; i < op.activations; ++i) alone[i] = part(part(in[i], 0, 1, 2), 1, 0, length);
  for (size_t i = first_state; i < alone.size(); ++i) alone[i] = part(in[i], 0, 1, 2);
  const std::vector<Tensor> out = op.run(alone, {}, part(part(c.resets, 0, 1, 2), 1, 0, length));
  expect_close(out[0], part(part(expected[0], 0, 1, 2), 1, 0, length), 1e-14);
  for (size_t i = 1; i < out.size(); ++i) expect_close(out[i], part(expected[i], 0, 1, 2), 1e-14);
}

// Each input in every layout, f32 (f64 would not run the fast code).
inline void expect_strides_change_nothing(const SequenceOperation& op, const SequenceCase& c) {
  const std::vector<Tensor> in = inputs_in(Dtype::f32, op, c);
  const std::vector<Tensor> expected = op.run(in, c.lengths, c.resets);
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i].defined()) continue;
    for (const Tensor& x : strided_variants(in[i])) {
      std::vector<Tensor> variant = in;
      variant[i] = x;
      const std::vector<Tensor> actual = op.run(variant, c.lengths, c.resets);
      for (size_t o = 0; o < expected.size(); ++o) expect_equal(actual[o], expected[o]);
    }
  }
}

// The second pass adds to what the first left in the gradient buffers of the inputs.
inline void expect_gradients_add_up(const SequenceOperation& op, const SequenceCase& c, Device device = kCpu) {
  std::vector<Tensor> in;
  for (const Tensor& x : c.inputs) {
    in.push_back(set_requires_grad(to_device(converted(x, Dtype::f32), device)));
    set_grad_buffer(in.back(), to_device(full(x.shape(), 99), device));  // old numbers that count as zero
  }
  const auto once = [&] {
    const std::vector<Tensor> out = op.run(in, {}, {});
    std::vector<Tensor> up;
    for (const Tensor& y : out) up.push_back(to_device(full(y.shape(), 1), device));
    backward(out, up);
  };
  once();
  std::vector<std::vector<double>> twice;
  for (const Tensor& x : in) {
    twice.push_back(to_device(grad(x), kCpu).to_vector<double>());
    for (double& v : twice.back()) v *= 2;
  }
  once();
  for (size_t i = 0; i < in.size(); ++i) expect_values(to_device(grad(in[i]), kCpu), twice[i], 1e-4);
}

}  // namespace vigor::testing
