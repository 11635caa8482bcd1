// A vector holds neighbouring states of one channel: B_t and C_t are vectors too, and what is summed over channels (dB,
// dC) needs no sum across lanes; what is summed over states (y, dx, ddelta) does. A chunk of steps of up to 64 channels
// is converted to f32 in small arrays; the walk over its steps keeps the states of one vector in registers.
#include "kernels/selective_scan/selective_scan_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

constexpr int64_t kSteps = kSelectiveChunk, kChannels = kSelectiveChannels, kStates = kSelectiveMaxStates;

// Steps first .. first+steps-1, as floats. States behind N are zeros, so that whole vectors may be read.
struct Chunk {
  int64_t first, steps;
  float x[kSteps][kChannels], size[kSteps][kChannels];  // size: s_t, the step size
  float b[kSteps][kStates], c[kSteps][kStates];

  bool starts_anew(const SequenceSteps& time, int64_t i) const { return time.is_reset(first + i); }
};

// As floats, and zeros up to whole vectors.
template <class X>
void load_floats(float* to, const X* from, int64_t n) {
  for_each_vector(n, [&](int64_t i, auto lanes) { store(to + i, load(from + i, lanes)); });
}

template <class X>
void load_chunk(Chunk& chunk, const SelectiveScanInputs<X, float>& in, int64_t first) {
  chunk.first = first;
  chunk.steps = in.time.length - first < kSteps ? in.time.length - first : kSteps;
  for (int64_t i = 0; i < chunk.steps; ++i) {
    const int64_t t = first + i;
    load_floats(chunk.b[i], in.b.data + t * in.b.stride, in.N);
    load_floats(chunk.c[i], in.c.data + t * in.c.stride, in.N);
    for_each_vector(in.channels, [&](int64_t e, auto lanes) {
      store(chunk.x[i] + e, load(in.x.data + t * in.x.stride + e, lanes), lanes);
      const vfloat delta = load(in.delta.data + t * in.delta.stride + e, lanes) + load(in.delta_bias + e, lanes);
      store(chunk.size[i] + e, softplus(delta), lanes);
    });
  }
}

// y [i][e] += sum of C_t h_t over the states n .. of channel e, whose h is updated.
template <class Lanes>
VIGOR_INLINE void forward_states(const Chunk& chunk, const SequenceSteps& time, int64_t e, int64_t n,
                                 const float* a_log, float* h_row, float (*y)[kChannels], Lanes lanes) {
  const vfloat a = -exp(load(a_log, lanes));
  vfloat h = load(h_row, lanes);
  for (int64_t i = 0; i < chunk.steps; ++i) {
    const float size = chunk.size[i][e];
    if (chunk.starts_anew(time, i)) h = zero();
    h = fma(exp(a * size), h, load(chunk.b[i] + n) * (size * chunk.x[i][e]));
    y[i][e] += horizontal_sum(h * load(chunk.c[i] + n));
  }
  store(h_row, h, lanes);
}

template <class X>
void forward(const SelectiveScanForward<X, float>& p) {
  const auto& in = p.in;
  copy_or_zeros(p.last_state, p.state, in.channels * in.N);  // h on its way
  Chunk chunk;
  float y[kSteps][kChannels];
  for (int64_t first = 0; first < in.time.length; first += kSteps) {
    if (p.chunk_states != nullptr)
      copy_or_zeros(p.chunk_states + first / kSteps * in.E * in.N, p.last_state, in.channels * in.N);
    load_chunk(chunk, in, first);
    for (int64_t i = 0; i < chunk.steps; ++i) fill_zeros(y[i], in.channels);
    for (int64_t e = 0; e < in.channels; ++e)
      for_each_vector(in.N, [&](int64_t n, auto lanes) {
        forward_states(chunk, in.time, e, n, in.a_log + e * in.N + n, p.last_state + e * in.N + n, y, lanes);
      });
    for (int64_t i = 0; i < chunk.steps; ++i)
      for_each_vector(in.channels, [&](int64_t e, auto lanes) {
        const vfloat skipped = load(in.d + e, lanes) * load(chunk.x[i] + e, lanes);
        store(p.y + (first + i) * in.E + e, load(y[i] + e, lanes) + skipped, lanes);
      });
  }
  for (int64_t t = in.time.length; t < in.time.steps; ++t) fill_zeros(p.y + t * in.E, in.channels);
}

// What backward adds up over a chunk.
struct ChunkGradients {
  float dy[kSteps][kChannels];
  float into_b[kSteps][kChannels], into_a[kSteps][kChannels];  // sum_n g B and sum_n k A
  float db[kSteps][kStates], dc[kSteps][kStates];
};

template <class Lanes>
VIGOR_INLINE void backward_states(const Chunk& chunk, ChunkGradients& grads, const SequenceSteps& time, int64_t e,
                                  int64_t n, const float* a_log, const float* h_row, float* g_row, float* sum_a_log,
                                  Lanes lanes) {
  const vfloat a = -exp(load(a_log, lanes));
  vfloat before[kSteps + 1], decay[kSteps];  // before[i]: h_{t-1} as step i saw it
  vfloat h = load(h_row, lanes);
  for (int64_t i = 0; i < chunk.steps; ++i) {
    const float size = chunk.size[i][e];
    before[i] = h = chunk.starts_anew(time, i) ? zero() : h;
    decay[i] = exp(a * size);
    h = fma(decay[i], h, load(chunk.b[i] + n) * (size * chunk.x[i][e]));
    store(grads.dc[i] + n, fma(h, grads.dy[i][e], load(grads.dc[i] + n)));
  }
  vfloat g = load(g_row, lanes), da = zero();
  for (int64_t i = chunk.steps - 1; i >= 0; --i) {
    const float size = chunk.size[i][e];
    g = fma(load(chunk.c[i] + n), grads.dy[i][e], g);
    store(grads.db[i] + n, fma(g, size * chunk.x[i][e], load(grads.db[i] + n)));
    grads.into_b[i][e] += horizontal_sum(g * load(chunk.b[i] + n));
    g = g * decay[i];
    const vfloat k = g * before[i];
    grads.into_a[i][e] += horizontal_sum(k * a);
    da = fma(k, size, da);
    if (chunk.starts_anew(time, i)) g = zero();
  }
  store(g_row, g, lanes);
  store(sum_a_log, fma(da, a, load(sum_a_log, lanes)), lanes);
}

// dx, ddelta and the sums of D and the bias from what the states have left.
template <class X>
void finish_chunk(const SelectiveScanBackward<X, float>& p, const Chunk& chunk, const ChunkGradients& grads) {
  const auto& in = p.in;
  for (int64_t i = 0; i < chunk.steps; ++i) {
    const int64_t t = chunk.first + i;
    for_each_vector(in.channels, [&](int64_t e, auto lanes) {
      const vfloat dy = load(grads.dy[i] + e, lanes), x = load(chunk.x[i] + e, lanes);
      const vfloat into_b = load(grads.into_b[i] + e, lanes);
      store(p.dx + t * in.E + e, fma(load(in.d + e, lanes), dy, load(chunk.size[i] + e, lanes) * into_b), lanes);
      const vfloat delta = load(in.delta.data + t * in.delta.stride + e, lanes) + load(in.delta_bias + e, lanes);
      const vfloat ddelta = fma(x, into_b, load(grads.into_a[i] + e, lanes)) * sigmoid(delta);
      store(p.ddelta + t * in.E + e, ddelta, lanes);
      store(p.sum_d + e, fma(dy, x, load(p.sum_d + e, lanes)), lanes);
      store(p.sum_bias + e, load(p.sum_bias + e, lanes) + ddelta, lanes);
    });
    copy_or_zeros(p.sums_bc + 2 * t * in.N, grads.db[i], in.N);
    copy_or_zeros(p.sums_bc + (2 * t + 1) * in.N, grads.dc[i], in.N);
  }
}

template <class X>
void backward(const SelectiveScanBackward<X, float>& p) {
  const auto& in = p.in;
  copy_or_zeros(p.dstate, p.dlast_state, in.channels * in.N);  // g on its way
  fill_zeros(p.sum_a_log, in.channels * in.N);
  fill_zeros(p.sum_d, in.channels);
  fill_zeros(p.sum_bias, in.channels);
  Chunk chunk;
  ChunkGradients grads;
  for (int64_t index = (in.time.length + kSteps - 1) / kSteps - 1; index >= 0; --index) {
    load_chunk(chunk, in, index * kSteps);
    for (int64_t i = 0; i < chunk.steps; ++i) {
      load_floats(grads.dy[i], p.dy + (chunk.first + i) * in.E, in.channels);
      fill_zeros(grads.into_a[i], in.channels);
      fill_zeros(grads.into_b[i], in.channels);
      fill_zeros(grads.db[i], kStates);
      fill_zeros(grads.dc[i], kStates);
    }
    const float* h = p.chunk_states + index * in.E * in.N;
    for (int64_t e = 0; e < in.channels; ++e)
      for_each_vector(in.N, [&](int64_t n, auto lanes) {
        const int64_t at = e * in.N + n;
        backward_states(chunk, grads, in.time, e, n, in.a_log + at, h + at, p.dstate + at, p.sum_a_log + at, lanes);
      });
    finish_chunk(p, chunk, grads);
  }
  for (int64_t t = in.time.length; t < in.time.steps; ++t) {
    fill_zeros(p.dx + t * in.E, in.channels);
    fill_zeros(p.ddelta + t * in.E, in.channels);
    fill_zeros(p.sums_bc + 2 * t * in.N, 2 * in.N);
  }
}

}  // namespace

void selective_scan_forward(const SelectiveScanForward<float, float>& p) { forward(p); }
void selective_scan_forward(const SelectiveScanForward<bf16, float>& p) { forward(p); }
void selective_scan_backward(const SelectiveScanBackward<float, float>& p) { backward(p); }
void selective_scan_backward(const SelectiveScanBackward<bf16, float>& p) { backward(p); }

}  // namespace vigor::VIGOR_ISA
