#pragma once
// What happens to a product before it is stored.
#include <vector>

#include "kernels/emulator/cublaslt/descriptors.h"
#include "kernels/emulator/cublaslt/products.h"

namespace vigor::emulator {

// The parts that an epilogue is made of; cublasLtEpilogue_t is a set of them.
enum EpilogueBits : uint32_t {
  kPlain = CUBLASLT_EPILOGUE_DEFAULT,
  kRelu = CUBLASLT_EPILOGUE_RELU,
  kBias = CUBLASLT_EPILOGUE_BIAS,
  kReluGradient = CUBLASLT_EPILOGUE_DRELU & ~128,
  kBiasGradient = 16,
  kGelu = CUBLASLT_EPILOGUE_GELU,
  kGeluGradient = CUBLASLT_EPILOGUE_DGELU & ~128,
  kAux = 128,
  kSumsOfA = CUBLASLT_EPILOGUE_BGRADA,
  kSumsOfB = CUBLASLT_EPILOGUE_BGRADB,
};

bool is_known_epilogue(uint32_t epilogue);
constexpr bool reads_aux(uint32_t epilogue) { return (epilogue & (kReluGradient | kGeluGradient)) != 0; }
constexpr bool writes_aux(uint32_t epilogue) { return (epilogue & kAux) != 0 && !reads_aux(epilogue); }
constexpr bool aux_is_bits(uint32_t epilogue) { return (epilogue & (kRelu | kReluGradient)) != 0; }
constexpr bool uses_vector(uint32_t epilogue) {
  return (epilogue & (kBias | kBiasGradient | kSumsOfA | kSumsOfB)) != 0;
}
constexpr bool writes_vector(uint32_t epilogue) { return uses_vector(epilogue) && (epilogue & kBias) == 0; }

// One matrix of the batch. `values` [n][m] (column-major) holds alpha op(A) op(B) + beta C and becomes what D stores.
template <typename T>
struct Epilogue {
  uint32_t kind;
  int64_t m, n;
  std::vector<T>& values;
  const MatrixView &a, &b;  // op(A) [m,k], op(B) [k,n]

  // bias or bias gradient: [m], or [n] for the sums of B
  std::byte* vector;
  cudaDataType vector_type;

  // GELU: its input, [n][aux_ld] of aux_type. RELU: one bit for each value, [n][aux_ld], set where it is positive.
  std::byte* aux;
  cudaDataType aux_type;
  int64_t aux_ld;

  void run() const;
};

}  // namespace vigor::emulator
