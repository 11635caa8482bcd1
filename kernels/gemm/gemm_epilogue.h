#pragma once
// What is done to the finished product. A header of its own because *_simd.cpp files include it.

namespace vigor {

// Applied to each tile of C while it is in the cache, with S = op(A) op(B) (+ C):
//   none            C = S
//   bias            C = S + bias[n]
//   bias_gelu       pre = S + bias[n];  C = gelu(pre)         gelu(x)  = x Phi(x),  Phi(x) = (1 + erf(x / sqrt 2)) / 2
//   gelu_gradient   C = S * gelu'(pre)                        gelu'(x) = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi)
// bias [N] and pre [M,N] have the dtype of C, and pre its row stride too; bias_gelu may have C for pre.
struct GemmEpilogue {
  enum class Kind : unsigned char { none, bias, bias_gelu, gelu_gradient };
  Kind kind = Kind::none;
  const void* bias_data = nullptr;
  void* pre_data = nullptr;  // written by bias_gelu, read by gelu_gradient

  static GemmEpilogue none() { return {}; }
  static GemmEpilogue bias(const void* bias) { return {Kind::bias, bias, nullptr}; }
  static GemmEpilogue bias_gelu(const void* bias, void* pre) { return {Kind::bias_gelu, bias, pre}; }
  static GemmEpilogue gelu_gradient(const void* pre) { return {Kind::gelu_gradient, nullptr, const_cast<void*>(pre)}; }
};

}  // namespace vigor
