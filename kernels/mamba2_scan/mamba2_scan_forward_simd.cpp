// Forward, chunk by chunk. In the products the vectors run over P: states stand transposed, [N',P'].
#include "kernels/mamba2_scan/mamba2_scan_chunk.h"

namespace vigor::VIGOR_ISA {
namespace {

// One head in one chunk.
struct HeadChunk {
  float* x;       // [Q,P'], set for each head
  float* mixing;  // [Q,Q]: entry (j, i) is what y_i takes of x_j within the chunk
  float* weight;  // [Q]: exp(L_q - L_j) dt'_j, what the next state takes of x_j
  explicit HeadChunk(Mamba2Scratch& s) : x(nullptr), mixing(s.take(kQ * kQ)), weight(s.take(kQ)) {}
};

// mixing = M * (C B^T) * dt', with D on its diagonal.
void mixing_matrix(const Mamba2Chunk& chunk, const Mamba2Decays& d, const float* cb_t, float skip_d, float* mixing) {
  const int64_t padded = chunk.padded;
  for (int64_t j = 0; j < padded; ++j) {
    const float dt = d.dt[j];
    for (int64_t i = j / kLanes * kLanes; i < padded; i += kLanes)
      store(mixing + j * kQ + i, d.at(chunk, j, i) * load(cb_t + j * kQ + i) * dt);
  }
  for (int64_t j = 0; j < padded; ++j) mixing[j * kQ + j] += skip_d;
}

// y = exp(L) C S^T + mixing X; `state` is null for zeros.
template <class X>
[[gnu::noinline]] void outputs(const Mamba2Forward<X>& p, const Mamba2Chunk& chunk, int64_t h, const Mamba2Decays& d,
                               const float* ssm_c, const float* state, const HeadChunk& head) {
  const int64_t n = mamba2_padded(p.task.N), width = mamba2_padded(p.task.P);
  X* const y = p.y.data + chunk.first * p.y.step + h * p.y.head;
  for_tiles(chunk.padded, width, [&](int64_t i, int64_t column, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    Tile<V> sum = {};
    if (state != nullptr) {
      add_product<V>(sum, n, StepsTogether{ssm_c + i * n, n}, state + column, width);
      for_tile<V>([&](int r, int v) { sum[r][v] *= d.from_start[i + r]; });
    }
    add_product<V>(sum, i + kTileRows, RowsTogether{head.mixing + i, kQ}, head.x + column, width);
    for_tile<V>([&](int r, int v) {
      const int64_t c = column + v * kLanes;
      if (i + r < chunk.q) store_upto(y + (i + r) * p.y.step + c, sum[r][v], p.task.P - c);
    });
  });
}

template <class X>
void forward_head(const Mamba2Forward<X>& p, const Mamba2Chunk& chunk, int64_t h, const Mamba2GroupChunk& group,
                  Mamba2Decays& d, const HeadChunk& head, const float* before, float* after) {
  const Mamba2Task<X>& t = p.task;
  const int64_t n = mamba2_padded(t.N), width = mamba2_padded(t.P);
  load_dt(t, chunk, h, d);
  compute_decays(chunk, -__builtin_expf(t.a_log[h]), d);
  mixing_matrix(chunk, d, group.cb_t, t.skip_d[h], head.mixing);
  outputs(p, chunk, h, d, group.c, before, head);
  for (int64_t j = 0; j < chunk.padded; j += kLanes) store(head.weight + j, load(d.to_end + j) * load(d.dt + j));
  scale_rows(head.x, chunk.padded, width, head.weight);
  scale_and_add_product(n, width, chunk.padded, d.whole, before, group.b, head.x, after);
}

template <class X>
void zero_outputs(const Mamba2Forward<X>& p) {
  for (int64_t t = p.task.time.length; t < p.task.time.steps; ++t)
    for (int64_t h = 0; h < p.task.heads; ++h) fill_zeros(p.y.data + t * p.y.step + h * p.y.head, p.task.P);
}

template <class X>
void forward(const Mamba2Forward<X>& p) {
  const Mamba2Task<X>& t = p.task;
  const int64_t n = mamba2_padded(t.N), width = mamba2_padded(t.P), size = n * width;
  const int64_t chunks = (t.time.length + kQ - 1) / kQ;
  Mamba2Scratch scratch{t.scratch};
  float* const carried = scratch.take(t.heads * size);  // S of each head, where chunk_states does not hold it
  const Mamba2GroupChunk group(scratch, n);
  float* const x = scratch.take(t.heads * kQ * width);  // of all heads
  HeadChunk head(scratch);
  Mamba2Decays decays(scratch);
  const auto state_before = [&](int64_t k, int64_t h) {
    const bool kept = t.chunk_states != nullptr && k < chunks;
    return kept ? t.chunk_states + k * t.chunk_stride + h * size : carried + h * size;
  };
  for (int64_t h = 0; h < t.heads && t.state != nullptr; ++h)
    load_state(t.state + h * t.P * t.N, t.P, t.N, state_before(0, h));
  for (int64_t k = 0; k < chunks; ++k) {
    const Mamba2Chunk chunk(t.time, k);
    load_group_chunk(t, chunk, group);
    load_heads(t.x, chunk.first, chunk.q, chunk.padded, t.heads, t.P, x);
    for (int64_t h = 0; h < t.heads; ++h) {
      head.x = x + h * kQ * width;
      forward_head(p, chunk, h, group, decays, head, k > 0 || t.state != nullptr ? state_before(k, h) : nullptr,
                   state_before(k + 1, h));
    }
  }
  zero_outputs(p);
  for (int64_t h = 0; h < t.heads; ++h) {
    float* const last = p.last_state + h * t.P * t.N;
    if (chunks > 0 || t.state != nullptr) store_state(carried + h * size, t.P, t.N, last);
    else fill_zeros(last, t.P * t.N);
  }
}

}  // namespace

void mamba2_forward(const Mamba2Forward<float>& p) { forward(p); }
void mamba2_forward(const Mamba2Forward<bf16>& p) { forward(p); }

}  // namespace vigor::VIGOR_ISA
