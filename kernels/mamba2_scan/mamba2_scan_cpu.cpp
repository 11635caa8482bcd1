#include <algorithm>
#include <type_traits>

#include "kernels/block_sums.h"
#include "kernels/mamba2_scan/mamba2_scan_kernels.h"
#include "kernels/mamba2_scan/mamba2_scan_simd.h"
#include "kernels/parallel.h"
#include "kernels/sequence_batch.h"

namespace vigor {
namespace {

// Multiplications below which starting threads costs more than it saves.
constexpr double kSerialWork = 1 << 17;
// A task of a thread is some heads of one group in one sequence. They share C B^T, so a task takes as many as leave
// kLeastTasks of them. The number follows from the sizes alone, and with it the order of all sums.
constexpr int64_t kLeastTasks = 8;

struct Tasks : Mamba2ScanSizes {
  int64_t parts;  // of each group
  explicit Tasks(const Mamba2ScanInputs& in) : Mamba2ScanSizes(in) {
    const int64_t heads = std::clamp<int64_t>(B * H / kLeastTasks, 1, group);
    parts = (group + heads - 1) / heads;
  }
  int64_t count() const { return B * G * parts; }
  int64_t most_heads() const { return (group + parts - 1) / parts; }
  int64_t state_size() const { return mamba2_padded(P) * mamba2_padded(N); }  // padded
  int64_t chunks() const { return (T + kMamba2Chunk - 1) / kMamba2Chunk; }
  bool serial() const { return static_cast<double>(B * H * P) * static_cast<double>(T * N) < kSerialWork; }
};

struct Place {
  int64_t b, g, part, head, heads;
  Place(const Tasks& n, int64_t task) : b(task / (n.G * n.parts)), g(task / n.parts % n.G), part(task % n.parts) {
    const int64_t begin = part * n.group / n.parts;
    head = g * n.group + begin;
    heads = (part + 1) * n.group / n.parts - begin;
  }
};

// Rows of a view [B,T,H] or [B,T,H,..] from head (or group) h of sequence b on.
template <class T>
Mamba2Rows<T> rows(const TensorView& x, int64_t b, int64_t h) {
  return {x.as<std::remove_const_t<T>>() + b * x.strides[0] + h * x.strides[2], x.strides[1], x.strides[2]};
}

// The states [heads,P,N] of a task; null when the view is undefined.
float* states(const Tasks& n, const TensorView& x, const Place& at) {
  return x.defined() ? x.as<float>() + (at.b * n.H + at.head) * n.P * n.N : nullptr;
}

template <class X>
Mamba2Task<X> make_task(const Tasks& n, const Mamba2ScanInputs& in, const Place& at, const TensorView& chunk_states,
                        float* scratch) {
  const auto parameter = [&](const TensorView& x) { return x.as<float>() + at.head; };
  return {steps_of(in.lengths, in.resets, at.b, n.T),
          at.heads,
          n.P,
          n.N,
          rows<const X>(in.x, at.b, at.head),
          rows<const X>(in.dt, at.b, at.head),
          rows<const X>(in.ssm_b, at.b, at.g),
          rows<const X>(in.ssm_c, at.b, at.g),
          parameter(in.a_log),
          parameter(in.skip_d),
          parameter(in.dt_bias),
          static_cast<float>(in.dt_min),
          static_cast<float>(in.dt_max),
          states(n, in.state, at),
          chunk_states.defined() ? chunk_states.as<float>() + (at.b * n.chunks() * n.H + at.head) * n.state_size()
                                 : nullptr,
          n.H * n.state_size(),
          scratch};
}

template <class X>
void forward_tasks(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out, float* scratch) {
  const Tasks n(in);
  const int64_t scratch_size = mamba2_forward_scratch(n.most_heads(), n.P, n.N);
  const bool step = n.T == 1 && !out.chunk_states.defined();
  parallel_tasks(n.count(), !n.serial(), [&](int64_t i) {
    const Place at(n, i);
    const Mamba2Forward<X> task{make_task<X>(n, in, at, out.chunk_states, scratch + thread_index() * scratch_size),
                                rows<X>(out.y, at.b, at.head), states(n, out.last_state, at)};
    if (step) VIGOR_PICK(mamba2_step)(task);
    else VIGOR_PICK(mamba2_forward)(task);
  });
}

// Where the tasks leave dB and dC: in place, or as parts [parts,B,T,G,N] in f32, dB first, that are then added up.
struct GroupSums {
  bool in_place;
  int64_t numel;
  explicit GroupSums(const Mamba2ScanInputs& in)
      : in_place(in.x.dtype == Dtype::f32 && Tasks(in).parts == 1), numel(in.ssm_b.numel()) {}
  int64_t scratch(const Tasks& n) const { return in_place ? 0 : 2 * n.parts * numel; }
};

template <class X>
void add_parts(const TensorView& gradient, const float* sums, int64_t parts) {
  const int64_t numel = gradient.numel();
  parallel_blocks(numel, kElementsPerBlock, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float total = sums[i];
      for (int64_t part = 1; part < parts; ++part) total += sums[part * numel + i];
      gradient.as<X>()[i] = X(total);
    }
  });
}

template <class X>
void backward_tasks(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& sums,
                    float* scratch) {
  const Tasks n(in);
  const GroupSums group(in);
  float *db = group.in_place ? grads.db.as<float>() : scratch, *dc = db + n.parts * group.numel;
  if (group.in_place) dc = grads.dc.as<float>();
  scratch += group.scratch(n);
  const int64_t scratch_size = mamba2_backward_scratch(n.most_heads(), n.P, n.N);
  parallel_tasks(n.count(), !n.serial(), [&](int64_t i) {
    const Place at(n, i);
    const int64_t first = at.part * group.numel + (at.b * n.T * n.G + at.g) * n.N, step = n.G * n.N;
    float* const parameters = sums.as<float>() + at.b * 3 * n.H + at.head;
    VIGOR_PICK(mamba2_backward)
    (Mamba2Backward<X>{make_task<X>(n, in, at, grads.chunk_states, scratch + thread_index() * scratch_size),
                       rows<const X>(grads.dy, at.b, at.head),
                       states(n, grads.dlast_state, at),
                       rows<X>(grads.dx, at.b, at.head),
                       rows<X>(grads.ddt, at.b, at.head),
                       {db + first, step, 0},
                       {dc + first, step, 0},
                       states(n, grads.dstate, at),
                       parameters,
                       parameters + n.H,
                       parameters + 2 * n.H});
  });
  if (group.in_place) return;
  add_parts<X>(grads.db, db, n.parts);
  add_parts<X>(grads.dc, dc, n.parts);
}

bool is_f64(const Mamba2ScanInputs& in) { return in.x.dtype == Dtype::f64; }
// Elements of sums [B,3,H], rounded up so that what follows begins with a cache line.
int64_t parameter_sums(const Mamba2ScanInputs& in) { return mamba2_padded(3 * in.x.sizes[0] * in.x.sizes[2]); }

}  // namespace

Shape mamba2_scan_chunk_states_cpu(const Mamba2ScanInputs& in) {
  if (is_f64(in)) return {};
  const Tasks n(in);
  return {n.B, n.chunks(), n.H, mamba2_padded(n.N), mamba2_padded(n.P)};
}

int64_t mamba2_scan_forward_scratch_cpu(const Mamba2ScanInputs& in) {
  const Tasks n(in);
  return is_f64(in) ? 0 : max_threads() * mamba2_forward_scratch(n.most_heads(), n.P, n.N);
}

int64_t mamba2_scan_backward_scratch_cpu(const Mamba2ScanInputs& in) {
  const Tasks n(in);
  if (is_f64(in)) return parameter_sums(in) + mamba2_scan_backward_naive_scratch(in);
  return parameter_sums(in) + GroupSums(in).scratch(n) +
         max_threads() * mamba2_backward_scratch(n.most_heads(), n.P, n.N);
}

void mamba2_scan_forward_cpu(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out, const TensorView& scratch) {
  visit_float(in.x.dtype, "mamba2_scan", [&]<class X>() {
    if constexpr (std::is_same_v<X, double>) mamba2_scan_forward_naive(in, out);
    else forward_tasks<X>(in, out, scratch.as<float>());
  });
}

void mamba2_scan_backward_cpu(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& scratch) {
  const Shape sizes{in.x.sizes[0], 3, in.x.sizes[2]};  // da_log, dD and ddt_bias of each sequence
  const TensorView sums{scratch.data, sizes, contiguous_strides(sizes), scratch.dtype, scratch.device};
  visit_float(in.x.dtype, "mamba2_scan", [&]<class X>() {
    if constexpr (std::is_same_v<X, double>)
      mamba2_scan_backward_naive(in, grads, sums, scratch.as<double>() + parameter_sums(in));
    else backward_tasks<X>(in, grads, sums, scratch.as<float>() + parameter_sums(in));
  });
  add_blocks(grads.da_log, sums, 0);
  add_blocks(grads.dskip_d, sums, 1);
  add_blocks(grads.ddt_bias, sums, 2);
}

}  // namespace vigor
