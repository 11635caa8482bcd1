// Forward for a decode step: one or a few queries against a long cache. A tile of 64 queries would be nearly empty, and
// the time is that of reading the keys and values once.
//
// A block owns one query of one head. P / pack neighbouring lanes hold a key and its value in 16-byte packs, so that a
// warp reads 512 bytes of consecutive keys at once; these groups of lanes go through the keys side by side, each with
// an online softmax of its own, and are joined at the end, in a fixed order.
//
// bytes: k and v of the visible keys once a query head (those of a group of heads share the L2 cache).
#include "kernels/attention/attention_cuda.cuh"

namespace vigor::attention_cuda {
namespace {

constexpr int kThreads = 256;

template <class T, int P>
__global__ void __launch_bounds__(kThreads) attention_few_queries(Inputs<T> in, Heads<T> y, float* lse) {
  constexpr int kPack = kPackElements<T>, kLanes = P / kPack, kGroups = kThreads / kLanes;
  __shared__ float maxima[kGroups], sums[kGroups], outs[kGroups][P];
  const Unit unit(blockIdx.x, in.Tq, in.Hq);
  const int b = unit.batch, h = unit.head, i = unit.tile;
  const int group = static_cast<int>(threadIdx.x) / kLanes, channel = static_cast<int>(threadIdx.x) % kLanes * kPack;
  const T *k = in.k.head(b, h / in.group) + channel, *v = in.v.head(b, h / in.group) + channel;
  const Pack<T, kPack> q = load_pack<kPack>(in.q.row(b, h, i) + channel);

  float maximum = -INFINITY, sum = 0, out[kPack] = {};
  const int keys = Visible(in, b).of(i);
  for (int first = 0; first < keys; first += kGroups) {  // all lanes stay together for the shuffles
    const int j = first + group;
    float score = 0;
    if (j < keys) {
      const Pack<T, kPack> key = load_pack<kPack>(k + j * in.k.t_stride);
      for (int c = 0; c < kPack; ++c) score += to_float(q.value[c]) * to_float(key.value[c]);
    }
    for (int offset = kLanes / 2; offset > 0; offset /= 2) score += __shfl_xor_sync(kFullWarp, score, offset);
    if (j >= keys) continue;
    score *= in.scale_log2;
    const float raised = fmaxf(maximum, score);
    const float reference = raised == -INFINITY ? 0 : raised;  // every score so far overflowed
    const float correction = exp2f(maximum - reference), weight = exp2f(score - reference);
    maximum = raised;
    sum = sum * correction + weight;
    const Pack<T, kPack> value = load_pack<kPack>(v + j * in.v.t_stride);
    for (int c = 0; c < kPack; ++c) out[c] = out[c] * correction + weight * to_float(value.value[c]);
  }
  if (channel == 0) maxima[group] = maximum, sums[group] = sum;
  for (int c = 0; c < kPack; ++c) outs[group][channel + c] = out[c];
  __syncthreads();

  for (int c = static_cast<int>(threadIdx.x); c < P; c += kThreads) {
    float joined = -INFINITY, total = 0, result = 0;
    for (int g = 0; g < kGroups; ++g) joined = fmaxf(joined, maxima[g]);
    const float reference = joined == -INFINITY ? 0 : joined;
    for (int g = 0; g < kGroups; ++g) {
      const float factor = exp2f(maxima[g] - reference);
      total += factor * sums[g];
      result += factor * outs[g][c];
    }
    y.row(b, h, i)[c] = from_float<T>(total > 0 ? result / total : 0);
    if (c == 0) lse[blockIdx.x] = total > 0 ? kLn2 * (joined + log2f(total)) : -INFINITY;  // [B,Hq,Tq] like the grid
  }
}

}  // namespace

template <class T>
void forward_few_queries(const Inputs<T>& in, int B, const Heads<T>& y, float* lse) {
  const auto blocks = static_cast<unsigned>(B * in.Hq * in.Tq);
  visit_width(in.P, [&]<int P>() { attention_few_queries<T, P><<<blocks, kThreads, 0, cuda_stream()>>>(in, y, lse); });
  VIGOR_CUDA_CHECK_LAUNCH("attention_few_queries");
}

template void forward_few_queries(const Inputs<float>&, int, const Heads<float>&, float*);
template void forward_few_queries(const Inputs<__nv_bfloat16>&, int, const Heads<__nv_bfloat16>&, float*);

}  // namespace vigor::attention_cuda
