#pragma once
// A module: parameters, buffers and child modules, registered under the exact names of the published checkpoints.
//
//   struct Scale : Module {
//     explicit Scale(int64_t C) { add_parameter("weight", weight, {C}, constant_init(1.0)); }
//     Tensor forward(const Tensor& x) const { return mul(x, weight); }  // [..., C] -> [..., C]
//     Tensor weight;
//   };
//
// The constructor only declares: a parameter has a shape and an initialiser, but no memory until a ParameterArena
// (nn/parameter_arena.h) takes the whole tree. So a model can be counted and compared with a file before it costs
// anything, and all its weights lie in one block.
#include <cstdint>
#include <string>
#include <vector>

#include "nn/initializers.h"
#include "tensor/tensor.h"

namespace vigor {

// In a model of bf16 parameters: `full` ones stay f32. Those are few, and small steps of theirs matter: the weights of
// norms and of recurrences. Models of other dtypes make no difference.
enum class ParameterPrecision : uint8_t { model, full };

// A parameter as a walk over the tree finds it.
struct NamedParameter {
  std::string name;  // full path: "layers.0.ln1.weight"
  Tensor* tensor;    // the module's member; undefined until an arena gave it memory
  Shape sizes;
  Initializer init;
  ParameterPrecision precision;
};

struct NamedBuffer {
  std::string name;
  Tensor* tensor;
};

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;  // registered members are known by address
  Module& operator=(const Module&) = delete;

  // Own entries first, then those of the children, each in the order of registration.
  std::vector<NamedParameter> named_parameters() const;
  std::vector<NamedBuffer> named_buffers() const;
  int64_t parameter_count() const;  // elements

 protected:
  // `name` may hold dots ("layers.0"). Registering a name twice throws std::logic_error. `tensor` and `child` must be
  // members of this module, or live as long.
  void add_parameter(std::string name, Tensor& tensor, const Shape& sizes, Initializer init,
                     ParameterPrecision precision = ParameterPrecision::model);
  // Derived data that lives with the module, is not trained and is not saved.
  void add_buffer(std::string name, Tensor& tensor);
  void add_child(std::string name, Module& child);

 private:
  struct Child {
    std::string name;
    Module* module;
  };
  void require_new(const std::string& name) const;
  void collect(const std::string& prefix, std::vector<NamedParameter>* parameters,
               std::vector<NamedBuffer>* buffers) const;

  std::vector<NamedParameter> parameters_;
  std::vector<NamedBuffer> buffers_;
  std::vector<Child> children_;
};

}  // namespace vigor
