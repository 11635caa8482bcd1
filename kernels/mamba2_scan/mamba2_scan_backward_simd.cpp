// Backward, from the last chunk to the first. Where the result has rows of x, the vectors of a product run over P;
// where it has columns of C B^T, or is a gradient of B or C, over the steps of the chunk.
#include "kernels/mamba2_scan/mamba2_scan_chunk.h"

namespace vigor::VIGOR_ISA {
namespace {

// Sums over the heads of a task in one chunk.
struct GroupGradients {
  float *db_t, *dc_t;  // [N',Q]
  float *dcb_t, *dcb;  // [Q,Q], of C B^T: entry (j, i), and entry (i, j)
  GroupGradients(Mamba2Scratch& s, int64_t padded_n)
      : db_t(s.take(padded_n * kQ)), dc_t(s.take(padded_n * kQ)), dcb_t(s.take(kQ * kQ)), dcb(s.take(kQ * kQ)) {}
};

// One head in one chunk.
struct HeadChunk {
  float *x, *dy;      // [Q,P'], set for each head
  float *x_t, *dy_t;  // [P',Q]
  float* mixing;      // [Q,Q]: entry (j, i) is M_ij C_i . B_j
  // [Q] each: what y_i takes from the state before the chunk, and step j gives to the state behind it, as parts of the
  // loss; r_t; x_j times the gradient of dt'_j x_j; the gradient of dt.
  float *from_state, *to_state, *r, *dot, *ddt;
  float *dot_lanes, *r_lanes, *to_state_lanes;  // [Q,kLanes]: sums before their lanes are added up
  HeadChunk(Mamba2Scratch& s, int64_t width)
      : x(nullptr),
        dy(nullptr),
        x_t(s.take(kQ * width)),
        dy_t(s.take(kQ * width)),
        mixing(s.take(kQ * kQ)),
        from_state(s.take(kQ)),
        to_state(s.take(kQ)),
        r(s.take(kQ)),
        dot(s.take(kQ)),
        ddt(s.take(kQ)),
        dot_lanes(s.take(kQ * kMamba2Pad)),
        r_lanes(s.take((kQ + 1) * kMamba2Pad)),
        to_state_lanes(s.take(kQ * kMamba2Pad)) {}
};

// out[i] = the sum of the kLanes numbers of row i.
void sum_lanes(const float* lanes, int64_t rows, float* out) {
  for (int64_t i = 0; i < rows; i += kLanes) {
    vfloat row[kLanes];
    for (int64_t r = 0; r < kLanes; ++r) row[r] = load(lanes + (i + r) * kLanes);
    store(out + i, horizontal_sums(row));
  }
}

// From pairs x_j . dy_i: mixing, the gradient of C B^T, and the parts of dot and r. What passes step t from a step j <
// t to a step i >= t has its decay as a factor, so r_t is the sum over all such pairs.
[[gnu::noinline]] void pair_gradients(const Mamba2Chunk& chunk, const Mamba2Decays& decays, int64_t width,
                                      const float* cb_t, const HeadChunk& head, float* dcb_t) {
  const vint lane = lane_numbers();
  const int64_t padded = chunk.padded;
  float *const mixing = head.mixing, *const dot_lanes = head.dot_lanes, *const r_lanes = head.r_lanes;
  const Mamba2Decays d = decays;  // its pointers stay in registers
  fill_zeros(dot_lanes, padded * kLanes);
  fill_zeros(r_lanes, (padded + 1) * kLanes);
  float sums[kQ];  // of column i over the rows so far
  fill_zeros(sums, padded);
  for_upper_tiles(padded, [&](int64_t first_row, int64_t column, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    Tile<V> sum = {};
    vfloat column_sum[V];
    for (int v = 0; v < V; ++v) column_sum[v] = load(sums + column + v * kLanes);
    add_product<V>(sum, width, StepsTogether{head.x + first_row * width, width}, head.dy_t + column, kQ);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const int64_t j = first_row + r;
      vfloat dot = load(dot_lanes + j * kLanes), crossing = load(r_lanes + (j + 1) * kLanes);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        const int64_t i = column + v * kLanes, at = j * kQ + i;
        const vfloat m = d.at(chunk, j, i), mixed = m * load(cb_t + at);
        const vfloat given = mixed * sum[r][v];  // by x_j to the loss through y_i, but for dt'_j
        store(mixing + at, mixed);
        store(dcb_t + at, fma(m * sum[r][v], d.dt[j], load(dcb_t + at)));
        dot += given;
        const vint later = lane > static_cast<int32_t>(j - i);
        column_sum[v] = fma(select(later, given, zero()), d.dt[j], column_sum[v]);
        crossing += select(later, column_sum[v], zero());
      }
      store(dot_lanes + j * kLanes, dot);
      store(r_lanes + (j + 1) * kLanes, crossing);
    }
    for (int v = 0; v < V; ++v) store(sums + column + v * kLanes, column_sum[v]);
  });
  sum_lanes(dot_lanes, padded, head.dot);
  sum_lanes(r_lanes, padded, head.r);
}

// dx, and what to_state and dot take. g: gradient of the state behind the chunk, null for zeros.
template <class X>
[[gnu::noinline]] void input_gradients(const Mamba2Backward<X>& p, const Mamba2Chunk& chunk, const Mamba2Decays& d,
                                       int64_t h, const float* b, const float* g, const HeadChunk& head) {
  const int64_t n = mamba2_padded(p.task.N), width = mamba2_padded(p.task.P);
  const float skip_d = p.task.skip_d[h];
  X* const dx = p.dx.data + chunk.first * p.dx.step + h * p.dx.head;
  fill_zeros(head.to_state_lanes, chunk.padded * kLanes);
  for_tiles(chunk.padded, width, [&](int64_t j, int64_t column, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    Tile<V> sum = {};
    if (g != nullptr) {
      add_product<V>(sum, n, StepsTogether{b + j * n, n}, g + column, width);
#pragma GCC unroll 8
      for (int row = 0; row < kTileRows; ++row) {
        float* const lanes = head.to_state_lanes + (j + row) * kLanes;
        vfloat given = load(lanes);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
          sum[row][v] *= d.to_end[j + row];
          given = fma(sum[row][v], load(head.x + (j + row) * width + column + v * kLanes), given);
        }
        store(lanes, given);
      }
    }
    add_product<V>(sum, chunk.padded - j, StepsTogether{head.mixing + j * kQ + j, kQ}, head.dy + j * width + column,
                   width);
    for_tile<V>([&](int row, int v) {
      const int64_t c = column + v * kLanes;
      const vfloat through_d = skip_d * load(head.dy + (j + row) * width + c);
      if (j + row < chunk.q)
        store_upto(dx + (j + row) * p.dx.step + c, fma(sum[row][v], d.dt[j + row], through_d), p.task.P - c);
    });
  });
  sum_lanes(head.to_state_lanes, chunk.padded, head.to_state);
  for (int64_t j = 0; j < chunk.padded; j += kLanes) {
    const vfloat given = load(head.to_state + j);  // but for dt'_j
    store(head.dot + j, load(head.dot + j) + given);
    store(head.to_state + j, given * load(d.dt + j));
  }
}

// dC^T += S dY^T exp(L), and what y takes from the state S before the chunk.
[[gnu::noinline]] void add_dc_through_state(const Mamba2Chunk& chunk, const Mamba2Decays& d, int64_t n, int64_t width,
                                            const float* state, const float* c_t, const HeadChunk& head, float* dc_t) {
  for_tiles(n, chunk.padded, [&](int64_t row, int64_t i, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    Tile<V> sum = {};
    add_product<V>(sum, width, StepsTogether{state + row * width, width}, head.dy_t + i, kQ);
    vfloat taken[V] = {};
    for_tile<V>([&](int r, int v) {
      const int64_t at = (row + r) * kQ + i + v * kLanes;
      const vfloat dc = sum[r][v] * load(d.from_start + i + v * kLanes);
      taken[v] = fma(dc, load(c_t + at), taken[v]);
      store(dc_t + at, load(dc_t + at) + dc);
    });
    for (int v = 0; v < V; ++v) {
      float* out = head.from_state + i + v * kLanes;
      store(out, load(out) + taken[v]);
    }
  });
}

// dB^T += G X^T dt' exp(L_q - L)
[[gnu::noinline]] void add_db_through_state(const Mamba2Chunk& chunk, const Mamba2Decays& d, int64_t n, int64_t width,
                                            const float* g, const HeadChunk& head, float* db_t) {
  for_tiles(n, chunk.padded, [&](int64_t row, int64_t j, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    Tile<V> sum = {};
    add_product<V>(sum, width, StepsTogether{g + row * width, width}, head.x_t + j, kQ);
    for_tile<V>([&](int r, int v) {
      const int64_t at = j + v * kLanes;
      float* out = db_t + (row + r) * kQ + at;
      store(out, fma(sum[r][v], load(d.to_end + at) * load(d.dt + at), load(out)));
    });
  });
}

float dot_product(const float* x, const float* y, int64_t n) {  // n: whole vectors of every instruction set
  vfloat sum[4] = {};
  for (int64_t i = 0; i < n; i += 4 * kLanes)
    for (int64_t k = 0; k < 4 && i + k * kLanes < n; ++k)
      sum[k] = fma(load(x + i + k * kLanes), load(y + i + k * kLanes), sum[k]);
  return horizontal_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// r_t: pairs of steps that t separates, the state before the chunk with later steps and with the state behind the chunk
// (`through`), earlier steps with that state. Then the gradients of dt and of the parameters.
template <class X>
void decay_gradients(const Mamba2Backward<X>& p, const Mamba2Chunk& chunk, const Mamba2Decays& d, int64_t h, float a,
                     float through, const HeadChunk& head) {
  float later = through, earlier = 0;
  for (int64_t t = 0; t < chunk.padded; ++t) {
    const int64_t from_end = chunk.padded - 1 - t;
    head.from_state[from_end] = later += head.from_state[from_end];
    const float to_state = head.to_state[t];
    head.to_state[t] = earlier;
    earlier += to_state;
  }
  vfloat da = zero(), dbias = zero();
  for (int64_t t = 0; t < chunk.q; t += kLanes) {
    const int64_t lanes = lanes_of(chunk.q - t);
    const vfloat raw = load(d.raw_dt + t), unlimited = softplus(raw);
    const vfloat r = load(head.r + t) + (load(head.from_state + t) + load(head.to_state + t));
    const vint limited = (unlimited < p.task.dt_min) | (unlimited > p.task.dt_max);
    const vfloat slope = select(limited, zero(), sigmoid(raw));
    const vfloat ddt = (load(head.dot + t) + a * r) * slope;
    store(head.ddt + t, ddt);
    da += keep(load(d.dt + t) * r, lanes, 0);
    dbias += keep(ddt, lanes, 0);
  }
  p.da_log[h] += a * horizontal_sum(da);
  p.ddt_bias[h] += horizontal_sum(dbias);
  X* const ddt = p.ddt.data + chunk.first * p.ddt.step + h * p.ddt.head;
  for (int64_t t = 0; t < chunk.q; ++t) ddt[t * p.ddt.step] = X(head.ddt[t]);
}

// state: before the chunk; g: gradient of the one behind it; null for zeros. g_before, null if not wanted: written.
template <class X>
void backward_head(const Mamba2Backward<X>& p, const Mamba2Chunk& chunk, int64_t h, const Mamba2GroupChunk& group,
                   const GroupGradients& grads, Mamba2Decays& d, const HeadChunk& head, const float* state,
                   const float* g, float* g_before) {
  const Mamba2Task<X>& t = p.task;
  const int64_t n = mamba2_padded(t.N), width = mamba2_padded(t.P), padded = chunk.padded;
  const float a = -__builtin_expf(t.a_log[h]);
  load_dt(t, chunk, h, d);
  compute_decays(chunk, a, d);
  transpose_into(head.x, width, padded, width, head.x_t, kQ, width, padded);
  transpose_into(head.dy, width, padded, width, head.dy_t, kQ, width, padded);

  p.dskip_d[h] += dot_product(head.x, head.dy, padded * width);
  pair_gradients(chunk, d, width, group.cb_t, head, grads.dcb_t);

  input_gradients(p, chunk, d, h, group.b, g, head);
  fill_zeros(head.from_state, padded);
  if (state != nullptr) add_dc_through_state(chunk, d, n, width, state, group.c_t, head, grads.dc_t);
  if (g != nullptr) add_db_through_state(chunk, d, n, width, g, head, grads.db_t);
  const bool passes = state != nullptr && g != nullptr && d.whole != 0;
  decay_gradients(p, chunk, d, h, a, passes ? d.whole * dot_product(state, g, n * width) : 0, head);
  if (g_before == nullptr) return;
  scale_rows(head.dy, padded, width, d.from_start);
  scale_and_add_product(n, width, padded, d.whole, g, group.c, head.dy, g_before);
}

// dC^T += B^T (dC B^T)^T and dB^T += C^T (dC B^T), and both out to their rows.
template <class X>
void group_gradients(const Mamba2Backward<X>& p, const Mamba2Chunk& chunk, const Mamba2GroupChunk& group,
                     const GroupGradients& grads) {
  const int64_t n = mamba2_padded(p.task.N), padded = chunk.padded;
  transpose_into(grads.dcb_t, kQ, padded, padded, grads.dcb, kQ, padded, padded);
  for_tiles(n, padded, [&](int64_t row, int64_t column, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    const auto add = [&](float* to, const float* left, const float* right, int64_t begin, int64_t end) {
      Tile<V> sum;
      const auto place = [&](int r, int v) { return to + (row + r) * kQ + column + v * kLanes; };
      for_tile<V>([&](int r, int v) { sum[r][v] = load(place(r, v)); });
      add_product<V>(sum, end - begin, RowsTogether{left + begin * n + row, n}, right + begin * kQ + column, kQ);
      for_tile<V>([&](int r, int v) { store(place(r, v), sum[r][v]); });
    };
    add(grads.dc_t, group.b, grads.dcb_t, 0, column + V * kLanes);
    add(grads.db_t, group.c, grads.dcb, column, padded);
  });
  const auto write = [&](const float* from, const Mamba2Rows<float>& to) {
    transpose_into(from, kQ, n, padded, to.data + chunk.first * to.step, to.step, chunk.q, p.task.N);
  };
  write(grads.db_t, p.db);
  write(grads.dc_t, p.dc);
}

template <class X>
void zero_padding(const Mamba2Backward<X>& p) {
  for (int64_t t = p.task.time.length; t < p.task.time.steps; ++t) {
    for (int64_t h = 0; h < p.task.heads; ++h) {
      fill_zeros(p.dx.data + t * p.dx.step + h * p.dx.head, p.task.P);
      p.ddt.data[t * p.ddt.step + h * p.ddt.head] = X(0.0f);
    }
    fill_zeros(p.db.data + t * p.db.step, p.task.N);
    fill_zeros(p.dc.data + t * p.dc.step, p.task.N);
  }
}

template <class X>
void backward(const Mamba2Backward<X>& p) {
  const Mamba2Task<X>& t = p.task;
  const int64_t n = mamba2_padded(t.N), width = mamba2_padded(t.P), size = n * width;
  const int64_t chunks = (t.time.length + kQ - 1) / kQ;
  Mamba2Scratch scratch{t.scratch};
  float* const carried = scratch.take(t.heads * size);  // gradient of the state behind the chunk, of each head
  const Mamba2GroupChunk group(scratch, n);
  const GroupGradients grads(scratch, n);
  float *const x = scratch.take(t.heads * kQ * width), *const dy = scratch.take(t.heads * kQ * width);  // of all heads
  HeadChunk head(scratch, width);
  Mamba2Decays decays(scratch);
  zero_padding(p);
  for (int64_t h = 0; h < t.heads; ++h) {
    p.da_log[h] = p.dskip_d[h] = p.ddt_bias[h] = 0;
    if (p.dlast_state != nullptr) load_state(p.dlast_state + h * t.P * t.N, t.P, t.N, carried + h * size);
    else if (chunks == 0) fill_zeros(carried + h * size, size);
  }
  for (int64_t k = chunks - 1; k >= 0; --k) {
    const Mamba2Chunk chunk(t.time, k);
    load_group_chunk(t, chunk, group);
    load_heads(t.x, chunk.first, chunk.q, chunk.padded, t.heads, t.P, x);
    load_heads(p.dy, chunk.first, chunk.q, chunk.padded, t.heads, t.P, dy);
    fill_zeros(grads.db_t, n * kQ);
    fill_zeros(grads.dc_t, n * kQ);
    fill_zeros(grads.dcb_t, kQ * kQ);
    for (int64_t h = 0; h < t.heads; ++h) {
      float* const g = carried + h * size;
      head.x = x + h * kQ * width;
      head.dy = dy + h * kQ * width;
      const bool has_state = k > 0 || t.state != nullptr, has_g = k + 1 < chunks || p.dlast_state != nullptr;
      backward_head(p, chunk, h, group, grads, decays, head,
                    has_state ? t.chunk_states + k * t.chunk_stride + h * size : nullptr, has_g ? g : nullptr,
                    k > 0 || p.dstate != nullptr ? g : nullptr);
    }
    group_gradients(p, chunk, group, grads);
  }
  for (int64_t h = 0; h < t.heads && p.dstate != nullptr; ++h)
    store_state(carried + h * size, t.P, t.N, p.dstate + h * t.P * t.N);
}

}  // namespace

void mamba2_backward(const Mamba2Backward<float>& p) { backward(p); }
void mamba2_backward(const Mamba2Backward<bf16>& p) { backward(p); }

}  // namespace vigor::VIGOR_ISA
