#pragma once
// What the CUDA kernels of attention share: where rows lie, which keys a query sees, and who launches what.
//
// All versions are made of the same three passes. In each, a block owns rows of one kind and streams rows of the other
// past them, so that every sum has one owner and one order: no atomics, the same result every time.
//
//   pass            owns                streams    computes
//   forward         queries             k, v       s = q k^T, y = softmax(s) v, lse
//   dq              queries (q, dy)     k, v       s and dp = dy v^T again, dq = ds k
//   dk and dv       keys (k, v)         q, dy      s^T and dp^T again, dv = p^T dy, dk = ds^T q
//
// Scores are kept times log2(e), so that exp is exp2, the instruction of the GPU.
#include <cfloat>
#include <cmath>

#include "kernels/attention/attention_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor::attention_cuda {

inline constexpr float kLog2E = 1.4426950408889634f;
inline constexpr float kLn2 = 0.6931471805599453f;

// A view [B,T,H,P] whose rows of P elements have stride 1.
template <class T>
struct Heads {
  T* data;
  int64_t b_stride, t_stride, h_stride;

  explicit Heads(const TensorView& x)
      : data(x.as<T>()), b_stride(x.strides[0]), t_stride(x.strides[1]), h_stride(x.strides[2]) {}
  // Row t of the head is at head(b, h) + t * t_stride.
  __device__ T* head(int64_t b, int64_t h) const { return data + b * b_stride + h * h_stride; }
  __device__ T* row(int64_t b, int64_t h, int64_t t) const { return head(b, h) + t * t_stride; }
};

// The inputs of every pass.
template <class T>
struct Inputs {
  Heads<const T> q, k, v;            // [B,Tq,Hq,P], [B,Tk,Hkv,P] twice
  const int32_t *offsets, *lengths;  // [B]; null: 0 and Tk
  int Tq, Tk, Hq, Hkv, P;
  int group;         // query heads that read one key head
  float scale;       // of the scores
  float scale_log2;  // the same times log2(e)
  bool causal;
  bool packed;  // every row that is read starts on 16 bytes

  // Values outside the promised range are cut to it: there is no one to tell on a GPU.
  __device__ int keys(int b) const { return lengths == nullptr ? Tk : max(0, min(lengths[b], Tk)); }
  __device__ int offset(int b) const { return offsets == nullptr ? 0 : max(0, offsets[b]); }
};

// The keys that query i of one sequence sees are 0 .. of(i)-1.
struct Visible {
  int keys, offset;
  bool causal;

  template <class T>
  __device__ Visible(const Inputs<T>& in, int b) : keys(in.keys(b)), offset(in.offset(b)), causal(in.causal) {}
  __device__ int of(int i) const {
    return causal ? static_cast<int>(min(static_cast<int64_t>(keys), int64_t{offset} + i + 1)) : keys;
  }
  // The first query that sees key j, when the key exists.
  __device__ int first_query(int j) const { return causal ? max(0, j - offset) : 0; }
};

// What backward needs of a query: lse times log2(e), and y . dy - dlse.
using RowTerms = float2;

template <class T>
struct Gradients {
  Heads<const T> dy;      // [B,Tq,Hq,P]
  Heads<T> dq, dk, dv;    // like q, k, v
  const RowTerms* terms;  // [B,Hq,Tq]
};

// Number `index` of a grid over [B, heads, tiles], tiles fastest: the blocks of one head run together and find its rows
// in the L2 cache.
struct Unit {
  int tile, head, batch;
  __device__ Unit(unsigned index, int tiles, int heads)
      : tile(static_cast<int>(index % static_cast<unsigned>(tiles))),
        head(static_cast<int>(index / static_cast<unsigned>(tiles) % static_cast<unsigned>(heads))),
        batch(static_cast<int>(index / static_cast<unsigned>(tiles) / static_cast<unsigned>(heads))) {}
};

// ---- launchers of the versions; P of v2, v3 and few_queries is 16, 32, 64 or 128 ----

template <class T>
void forward_v1(const Inputs<T>& in, int B, const Heads<T>& y, float* lse);
template <class T>
void forward_v2(const Inputs<T>& in, int B, const Heads<T>& y, float* lse);
void forward_v3(const Inputs<__nv_bfloat16>& in, int B, const Heads<__nv_bfloat16>& y, float* lse);
// For a decode step; wants in.packed.
template <class T>
void forward_few_queries(const Inputs<T>& in, int B, const Heads<T>& y, float* lse);

template <class T>
void backward_v1(const Inputs<T>& in, int B, const Gradients<T>& grads);
template <class T>
void backward_v2(const Inputs<T>& in, int B, const Gradients<T>& grads);
void backward_v3(const Inputs<__nv_bfloat16>& in, int B, const Gradients<__nv_bfloat16>& grads);

// Calls f.template operator()<P>() for the head widths of the tiled kernels.
template <class F>
void visit_width(int P, F&& f) {
  switch (P) {
    case 16:
      return f.template operator()<16>();
    case 32:
      return f.template operator()<32>();
    case 64:
      return f.template operator()<64>();
    default:
      return f.template operator()<128>();
  }
}

// The dynamic shared memory of a kernel may exceed 48 KB only where it says so beforehand.
template <class Kernel>
void allow_shared_bytes(Kernel* kernel, int bytes) {
  if (bytes > 48 * 1024)
    VIGOR_CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
}

}  // namespace vigor::attention_cuda
