#pragma once
// Teaching ladders: some operations keep several CUDA kernels, from a naive version 1 to the default, which is the
// highest. This chooses among them, per operation and thread:
//
//   KernelVersionScope naive("layer_norm", 1);    // until the end of the scope
//   VIGOR_KERNELS=layer_norm=1,softmax=2 vigor ...                (read once; a scope goes before it)
namespace vigor {

// The version of `op` to launch: 1..newest. Throws std::invalid_argument when a chosen one is outside.
int kernel_version(const char* op, int newest);

class KernelVersionScope {
 public:
  KernelVersionScope(const char* op, int version);
  ~KernelVersionScope();
  KernelVersionScope(const KernelVersionScope&) = delete;
  KernelVersionScope& operator=(const KernelVersionScope&) = delete;

 private:
  friend int kernel_version(const char* op, int newest);
  const char* op_;
  int version_;
  KernelVersionScope* outer_;
};

}  // namespace vigor
