// The launchers of attention on CUDA: which version runs, and the terms of the queries that every backward pass reads.
#include <initializer_list>

#include "kernels/attention/attention_cuda.cuh"
#include "kernels/kernel_version.h"
#include "tensor/check.h"

namespace vigor {
namespace {

using namespace attention_cuda;

constexpr int kThreads = 256;
constexpr int64_t kFewQueries = 4;

// terms[b,h,i] = {lse log2(e), y . dy - dlse}; y and dy are [rows = B Tq Hq, P], contiguous. kPacked: `lanes`
// neighbouring lanes (a power of two) hold a row, a pack each; else a warp does.
//
// bytes: y, dy and lse once, 8 a row written.
template <class T, bool kPacked>
__global__ void __launch_bounds__(kThreads)
    attention_terms(const T* y, const T* dy, const float* lse, const float* dlse, RowTerms* terms, unsigned rows,
                    int lanes, int Tq, int Hq, int P) {
  // lanes divides kThreads; rows times lanes may exceed 2^32.
  const auto row_lanes = static_cast<unsigned>(lanes);
  const unsigned row = blockIdx.x * (kThreads / row_lanes) + threadIdx.x / row_lanes;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  float sum = 0;
  if (row < rows) {
    const int64_t at = int64_t{row} * P;
    if constexpr (kPacked) {
      constexpr int kPack = kPackElements<T>;
      const Pack<T, kPack> a = load_pack<kPack>(y + at + lane * kPack), b = load_pack<kPack>(dy + at + lane * kPack);
      for (int c = 0; c < kPack; ++c) sum += to_float(a.value[c]) * to_float(b.value[c]);
    } else {
      for (int c = lane; c < P; c += lanes) sum += to_float(y[at + c]) * to_float(dy[at + c]);
    }
  }
  for (int offset = lanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kFullWarp, sum, offset);
  if (row >= rows || lane != 0) return;
  const int h = static_cast<int>(row % static_cast<unsigned>(Hq));
  const int i = static_cast<int>(row / static_cast<unsigned>(Hq) % static_cast<unsigned>(Tq));
  const int b = static_cast<int>(row / static_cast<unsigned>(Hq) / static_cast<unsigned>(Tq));
  const int64_t to = (int64_t{b} * Hq + h) * Tq + i;
  terms[to] = {kLog2E * lse[to], sum - (dlse == nullptr ? 0 : dlse[to])};
}

bool has_tiles(int64_t P) { return P == 16 || P == 32 || P == 64 || P == 128; }

// True when every row of these views starts on 16 bytes.
bool rows_are_packed(std::initializer_list<const TensorView*> views) {
  for (const TensorView* x : views) {
    if (reinterpret_cast<uintptr_t>(x->data) % kPackBytes != 0) return false;
    for (int dim = 0; dim < 3; ++dim)
      if (x->sizes[dim] > 1 && x->strides[dim] * static_cast<int64_t>(size_of(x->dtype)) % kPackBytes != 0)
        return false;
  }
  return true;
}

int version_of(const AttentionInputs& in) {
  const int chosen = kernel_version("attention", 3);
  if (!has_tiles(in.q.sizes[3])) return 1;
  return in.q.dtype == Dtype::f32 ? std::min(chosen, 2) : chosen;
}

template <class T>
Inputs<T> inputs_of(const AttentionInputs& in) {
  const int64_t B = in.q.sizes[0], Tq = in.q.sizes[1], Tk = in.k.sizes[1], Hq = in.q.sizes[2], Hkv = in.k.sizes[2];
  const int64_t P = in.q.sizes[3];
  if (P > 256) fail("attention: CUDA kernels take heads of at most 256 channels; got {}", P);
  if (B * Hq * Tq > INT32_MAX || B * Hkv * Tk > INT32_MAX)
    fail("attention: CUDA kernels take less than 2^31 rows; q has {} and k has {}", B * Hq * Tq, B * Hkv * Tk);
  const auto scale = static_cast<float>(in.scale);
  return {Heads<const T>(in.q),
          Heads<const T>(in.k),
          Heads<const T>(in.v),
          in.offsets.as<const int32_t>(),
          in.lengths.as<const int32_t>(),
          static_cast<int>(Tq),
          static_cast<int>(Tk),
          static_cast<int>(Hq),
          static_cast<int>(Hkv),
          static_cast<int>(P),
          static_cast<int>(Hq / Hkv),
          scale,
          scale * kLog2E,
          in.causal,
          rows_are_packed({&in.q, &in.k, &in.v})};
}

template <class T>
void compute_terms(const AttentionInputs& in, const AttentionGradients& grads, RowTerms* terms) {
  const int Tq = static_cast<int>(in.q.sizes[1]), Hq = static_cast<int>(in.q.sizes[2]);
  const int P = static_cast<int>(in.q.sizes[3]);
  const auto rows = static_cast<unsigned>(in.q.sizes[0] * Tq * Hq);
  const bool packed = has_tiles(P) && rows_are_packed({&grads.y, &grads.dy});
  const int lanes = packed ? P / kPackElements<T> : kWarpSize;
  const auto blocks = static_cast<unsigned>(ceil_div(int64_t{rows} * lanes, kThreads));
  const auto launch = [&](auto* kernel) {
    kernel<<<blocks, kThreads, 0, cuda_stream()>>>(grads.y.as<const T>(), grads.dy.as<const T>(),
                                                   grads.lse.as<const float>(), grads.dlse.as<const float>(), terms,
                                                   rows, lanes, Tq, Hq, P);
  };
  if (packed) launch(attention_terms<T, true>);
  else launch(attention_terms<T, false>);
  VIGOR_CUDA_CHECK_LAUNCH("attention_terms");
}

}  // namespace

void attention_forward_cuda(const AttentionInputs& in, const TensorView& y, const TensorView& lse) {
  visit_cuda_float(in.q.dtype, "attention", [&]<class T>() {
    const Inputs<T> inputs = inputs_of<T>(in);
    const int B = static_cast<int>(in.q.sizes[0]), version = version_of(in);
    const Heads<T> out(y);
    if (version == 1) return forward_v1(inputs, B, out, lse.as<float>());
    if (inputs.Tq <= kFewQueries && inputs.packed) return forward_few_queries(inputs, B, out, lse.as<float>());
    if constexpr (std::is_same_v<T, __nv_bfloat16>)
      if (version == 3) return forward_v3(inputs, B, out, lse.as<float>());
    forward_v2(inputs, B, out, lse.as<float>());
  });
}

int64_t attention_backward_scratch_cuda(const AttentionInputs& in) {
  return 2 * in.q.sizes[0] * in.q.sizes[1] * in.q.sizes[2];  // RowTerms
}

void attention_backward_cuda(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch) {
  visit_cuda_float(in.q.dtype, "attention_backward", [&]<class T>() {
    Inputs<T> inputs = inputs_of<T>(in);
    inputs.packed = inputs.packed && rows_are_packed({&grads.dy});
    const int B = static_cast<int>(in.q.sizes[0]), version = version_of(in);
    auto* terms = static_cast<RowTerms*>(scratch.data);
    compute_terms<T>(in, grads, terms);
    const Gradients<T> gradients{Heads<const T>(grads.dy), Heads<T>(grads.dq), Heads<T>(grads.dk), Heads<T>(grads.dv),
                                 terms};
    if (version == 1) return backward_v1(inputs, B, gradients);
    if constexpr (std::is_same_v<T, __nv_bfloat16>)
      if (version == 3) return backward_v3(inputs, B, gradients);
    backward_v2(inputs, B, gradients);
  });
}

}  // namespace vigor
