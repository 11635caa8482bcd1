#pragma once
// What kernel_bench measures: the operations of the presets' models, at the sizes that they have there. One file a
// family of operations; each fills a list of cases.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/falcon_h1/falcon_h1_config.h"
#include "models/i3/i3_config.h"
#include "tensor/tensor.h"

namespace vigor {

// Sequences and their length: a step is batch 4 x 256 in all our measurements.
struct Tokens {
  int64_t batch = 4, time = 256;
};

enum class Role : uint8_t {
  activation,   // in the dtype that is measured; every backward pass gets a new leaf
  weight,       // in that dtype; its gradient is added into a buffer, as in training
  full_weight,  // the same, but f32 beside bf16 activations
  constant,     // used as it is: ids, and what has no gradient
};

// The operands of one call, in order. Values are as in a model: normalised activations and small weights. (Far larger
// ones would make gradients underflow, and products of subnormal numbers are slow.)
class Operands {
 public:
  struct Operand {
    Tensor values;
    Role role;
  };

  Operands& activation(const Shape& sizes, double stddev = 1);
  Operands& activation(const Shape& sizes, double low, double high);  // uniform
  Operands& weight(const Shape& sizes, double stddev = 0.02);
  Operands& full_weight(const Shape& sizes, double low, double high);  // uniform
  Operands& ids(const Shape& sizes, int64_t bound);                    // a few of them are common, as in a text

  const std::vector<Operand>& list() const { return list_; }

 private:
  Operands& add(const Tensor& values, Role role);

  std::vector<Operand> list_;
};

using Operation = std::function<Tensor(const std::vector<Tensor>&)>;

struct KernelCase {
  std::string name;  // "linear_gelu/i3-80m": the operation, and where its sizes come from
  std::function<Operands(Tokens)> operands;
  Operation run;

  bool has_backward = true;  // false: only forward, and without a graph
  std::vector<Dtype> dtypes = {Dtype::f32, Dtype::bf16};
  Tokens measured{};
  Tokens checked = {2, 72};  // a cut, because the definition is slow: every width stays
  Operation definition{};    // in f64, what the result is checked against; empty: `run`
};

// The families.
void add_activation_cases(std::vector<KernelCase>& cases);
void add_attention_cases(std::vector<KernelCase>& cases);
void add_copy_cases(std::vector<KernelCase>& cases);
void add_norm_cases(std::vector<KernelCase>& cases);
void add_optimizer_cases(std::vector<KernelCase>& cases);
void add_product_cases(std::vector<KernelCase>& cases);
void add_recurrence_cases(std::vector<KernelCase>& cases);
void add_vocabulary_cases(std::vector<KernelCase>& cases);

// The presets whose sizes the cases take.
I3Config i3_preset(const std::string& name);
FalconH1Config falcon_preset(const std::string& name);

}  // namespace vigor
