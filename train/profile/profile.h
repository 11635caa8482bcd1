#pragma once
// What `vigor profile` measured, as one plain value: it is printed as a table, stored as JSON, drawn as a report and
// compared with another one. Fields have the names of the JSON. Times are in seconds, and everything is "a step": a
// training step, or in mode "generate" one answer to one prompt.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

// Reading the same memory again and again: by growing size, from the caches to memory itself. The shares of the
// roofline also know how much faster memory is when it is read and written at once.
struct ProfileBandwidth {
  double bytes = 0, gb_s = 0;
};

struct ProfileMachine {
  std::string cpu;        // as the system calls it; of the GPU on a GPU
  std::string isa;        // "avx512"
  double fma_gflops = 0;  // all threads, nothing loaded or stored
  double read_gb_s = 0;   // reading, and nothing else: the bandwidth that the roofline is drawn with
  double copy_gb_s = 0;   // a copy, bytes read and written
  std::vector<ProfileBandwidth> reads;
};

struct ProfileStep {
  double seconds = 0;             // median of the profiled steps
  double unprofiled_seconds = 0;  // median of steps without a profiler, taken in turn with the others
  double tokens_per_s = 0;        // of the unprofiled steps; in mode "generate" of new tokens
  double flops = 0, bytes = 0;
  double ideal_seconds = 0;  // sum over the operations of max(flops / peak, bytes / bandwidth)
  std::string bound;         // "compute", "memory" or "overhead"
  std::string verdict;       // a sentence: what bounds the step, and what the ideal step would take
};

// All calls of one operation with operands of the same shapes, in one phase.
struct ProfileOperation {
  std::string name, phase;
  std::string shapes;   // of the operands: "[4,256,512] [2048,512] [2048]"
  std::string dtype;    // of the first of them
  double calls = 0;     // a step
  double seconds = 0;   // a step, without the operations inside it
  double median_s = 0;  // of one call
  double share = 0;     // of the step
  double flops = 0;     // a step
  double bytes = 0;     // a step: the least that must be read and written
  double gflops = 0;    // a second
  double gb_s = 0;
  double intensity = 0;   // flops / bytes; 0 where no bytes are counted
  double roofline = 0;    // ideal time / time
  std::string bound;      // "compute" or "memory": which of the two limits is the higher
  double peak_bytes = 0;  // highest allocation, above that at the start of the step, while it ran
};

struct ProfileLayer {
  std::string name;  // "embedding", "layers.0", "head", "optimizer"; "": no part of the model
  std::string kind;  // "hybrid"; empty for what is no layer
  double forward_s = 0, backward_s = 0, recompute_s = 0, optimizer_s = 0;
  double flops = 0, bytes = 0;
};

struct ProfilePhase {
  std::string name;  // "data", "forward", "backward", "recompute", "optimizer", "other"
  double seconds = 0;
  double share = 0;  // of the step
  double flops = 0, bytes = 0;
};

struct ProfileMemory {
  struct Point {
    double seconds = 0, bytes = 0;
  };
  double start_bytes = 0;  // in use by tensors when the step began: weights, gradients, moments
  double peak_bytes = 0;
  std::string peak_operation, peak_layer;  // where the peak was
  std::vector<Point> timeline;             // of one step
};

// One call of one operation. Calls of one thread lie beside or inside each other, never across.
struct ProfileEvent {
  std::string name, phase, layer, shapes;
  double start = 0;    // since the start of the step
  double seconds = 0;  // with the operations inside it
  double flops = 0, bytes = 0;
  int64_t thread = 0;
};

struct Profile {
  std::string command;  // that made it
  std::string model;
  std::string mode = "train";  // or "generate"
  std::string device, dtype;
  int64_t batch = 0, seq = 0, steps = 0, threads = 0;
  ProfileMachine machine;
  ProfileStep step;
  std::vector<ProfileOperation> operations;  // longest first; "(between operations)" is one of them
  std::vector<ProfileLayer> layers;          // in the order of the model
  std::vector<ProfilePhase> phases;
  ProfileMemory memory;
  std::vector<ProfileEvent> timeline;  // of one step, in the order of their starts
};

// One JSON object, "format": "vigor-profile-1".
std::string to_json(const Profile& profile);
// The other way. The text may be anything: std::invalid_argument in one line that begins with `origin` and names the
// field. Unknown fields are left out.
Profile profile_from_json(std::string_view text, std::string_view origin);

}  // namespace vigor
