#pragma once
// The memory of a module tree. All parameters of one group and dtype lie in one contiguous tensor, and so do their
// gradients, in the same order: one clear, one global norm, one AdamW pass for a whole model, whose moments are two
// more tensors of equal size. The modules' own tensors become named views of it.
//
//   ParameterArena arena(model);      // memory
//   arena.initialize(seed);           // or arena.find(name) and copy() from a file
//   arena.allocate_gradients();       // training only
//   loop: arena.zero_gradients(); backward(loss); arena.complete_gradients(); norm and AdamW over arena.groups()
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nn/module.h"

namespace vigor {

struct ArenaOptions {
  // f32; f64 for gradient checks; bf16, beside which parameters of ParameterPrecision::full stay f32.
  Dtype dtype = Dtype::f32;
  Device device = kCpu;
  // Parameters with equal numbers and dtypes share an arena. What a number means (weight decay or none, a learning-rate
  // scale) is the optimiser's business. Empty: all in group 0, as the published recipe decays everything.
  std::function<int(const std::string& name, const Shape& sizes)> group_of;
};

// Where one parameter lies in its group.
struct ArenaSlot {
  std::string name;
  int64_t offset = 0;  // in elements
  Tensor tensor;       // the parameter itself, a leaf named `name`

  // This parameter's elements of a tensor laid out like its group (its values, gradients, moments), sharing its memory.
  Tensor part_of(const Tensor& whole) const;
};

// One contiguous piece. Each parameter starts at a multiple of 64 bytes; the gaps are zero in values and gradients and
// stay zero under AdamW, so that whole-arena passes need not know of them.
struct ArenaGroup {
  int group = 0;
  Dtype dtype = Dtype::f32;
  Tensor values;     // [n]
  Tensor gradients;  // [n]; undefined before allocate_gradients()
  std::vector<ArenaSlot> slots;

  // "layers.0.ffn.0.weight[12,7]": whose element is at `offset` of this group.
  std::string describe_element(int64_t offset) const;
};

class ParameterArena {
 public:
  // Gives every parameter of `root` zeroed memory and its name, and marks it as a leaf that wants a gradient. Throws
  // std::logic_error when two parameters have one name or a parameter already has memory, std::runtime_error when
  // there is no memory. The parameters stay valid when the arena object is gone.
  explicit ParameterArena(Module& root, const ArenaOptions& options = {});

  // Initial values: a function of `seed` and the parameter's name only.
  void initialize(uint64_t seed);

  const std::vector<ArenaGroup>& groups() const { return groups_; }
  const Tensor* find(std::string_view name) const;                          // nullptr when there is none
  const std::vector<ArenaSlot>& parameters() const { return parameters_; }  // in the tree's order

  void allocate_gradients();
  bool has_gradients() const;
  void zero_gradients();      // costs nothing: the next backward overwrites
  void complete_gradients();  // parameters that the last backward did not reach get zeros; before reading `gradients`

 private:
  std::vector<ArenaGroup> groups_;
  std::vector<ArenaSlot> parameters_;
  std::vector<Initializer> initializers_;  // of parameters_, in the same order
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace vigor
