#include "kernels/emulator/cublaslt/epilogues.h"

#include <cmath>

namespace vigor::emulator {
namespace {

// GELU in the library's tanh form: x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr double kGeluScale = 0.7978845608028654, kGeluCubic = 0.044715;

template <typename T>
T gelu(T x) {
  const T u = T(kGeluScale) * (x + T(kGeluCubic) * x * x * x);
  return T(0.5) * x * (T(1) + std::tanh(u));
}

template <typename T>
T gelu_derivative(T x) {
  const T u = T(kGeluScale) * (x + T(kGeluCubic) * x * x * x);
  const T du = T(kGeluScale) * (T(1) + T(3 * kGeluCubic) * x * x);
  const T t = std::tanh(u);
  return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * du;
}

}  // namespace

bool is_known_epilogue(uint32_t epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_AUX:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DRELU:
    case CUBLASLT_EPILOGUE_DRELU_BGRAD:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DGELU:
    case CUBLASLT_EPILOGUE_DGELU_BGRAD:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB:
      return true;
    default:
      return false;
  }
}

template <typename T>
void Epilogue<T>::run() const {
  const size_t vector_bytes = element_bytes(vector_type), aux_bytes = element_bytes(aux_type);
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t row = 0; row < m; ++row) {
      T& x = values[static_cast<size_t>(column * m + row)];
      if (kind & kBias) x += load<T>(vector_type, vector + static_cast<size_t>(row) * vector_bytes);

      const auto position = static_cast<size_t>(column * aux_ld + row);  // bits or elements
      std::byte* const aux_element = aux + position * aux_bytes;
      const auto bit = std::byte(1u << position % 8);
      if (kind & kGeluGradient) x *= gelu_derivative(load<T>(aux_type, aux_element));
      if ((kind & kReluGradient) && (aux[position / 8] & bit) == std::byte{0}) x = 0;
      if (writes_aux(kind) && (kind & kGelu)) store(aux_type, aux_element, x);
      if (writes_aux(kind) && (kind & kRelu))
        aux[position / 8] = (aux[position / 8] & ~bit) | (x > 0 ? bit : std::byte{0});

      if (kind & kGelu) x = gelu(x);
      if (kind & kRelu) x = x > 0 ? x : T(0);
    }
  }
  if (!writes_vector(kind)) return;
  const int64_t length = (kind & kSumsOfB) ? n : m;
  for (int64_t i = 0; i < length; ++i) {
    T sum = 0;
    if (kind & kBiasGradient) {
      for (int64_t column = 0; column < n; ++column) sum += values[static_cast<size_t>(column * m + i)];
    } else {
      for (int64_t k = 0; k < a.columns; ++k) sum += (kind & kSumsOfA) ? a.at<T>(i, k) : b.at<T>(k, i);
    }
    store(vector_type, vector + static_cast<size_t>(i) * vector_bytes, sum);
  }
}

template struct Epilogue<float>;
template struct Epilogue<double>;

}  // namespace vigor::emulator
