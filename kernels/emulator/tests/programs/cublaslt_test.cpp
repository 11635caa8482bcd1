// The stand-in of cuBLASLt against a naive reference, for every layout, transposition, type and epilogue.
#include <cublasLt.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

#include "device_test.h"

namespace {

// --- elements ---

size_t bytes_of(cudaDataType type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

// Bits of `value` rounded to the type, by way of the compiler's own types.
std::vector<std::byte> encode(const std::vector<double>& values, cudaDataType type) {
  std::vector<std::byte> bytes(values.size() * bytes_of(type));
  for (size_t i = 0; i < values.size(); ++i) {
    std::byte* at = bytes.data() + i * bytes_of(type);
    if (type == CUDA_R_64F) std::memcpy(at, &values[i], 8);
    const auto narrow = static_cast<float>(values[i]);
    if (type == CUDA_R_32F) std::memcpy(at, &narrow, 4);
    const auto half = static_cast<_Float16>(narrow);
    if (type == CUDA_R_16F) std::memcpy(at, &half, 2);
    if (type == CUDA_R_16BF) {
      const auto bits = std::bit_cast<uint32_t>(narrow);
      const auto upper = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
      std::memcpy(at, &upper, 2);
    }
  }
  return bytes;
}

std::vector<double> decode(const std::vector<std::byte>& bytes, cudaDataType type) {
  std::vector<double> values(bytes.size() / bytes_of(type));
  for (size_t i = 0; i < values.size(); ++i) {
    const std::byte* at = bytes.data() + i * bytes_of(type);
    float narrow = 0;
    _Float16 half = 0;
    uint16_t upper = 0;
    if (type == CUDA_R_64F) std::memcpy(&values[i], at, 8);
    if (type == CUDA_R_32F) std::memcpy(&narrow, at, 4);
    if (type == CUDA_R_16F) std::memcpy(&half, at, 2), narrow = static_cast<float>(half);
    if (type == CUDA_R_16BF) std::memcpy(&upper, at, 2), narrow = std::bit_cast<float>(uint32_t{upper} << 16);
    if (type != CUDA_R_64F) values[i] = narrow;
  }
  return values;
}

double unit_of(cudaDataType type) {
  return type == CUDA_R_64F ? 1e-14 : type == CUDA_R_32F ? 1e-5 : type == CUDA_R_16F ? 1e-3 : 8e-3;
}

// --- one problem ---

struct Case {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType scale = CUDA_R_32F, in = CUDA_R_32F, out = CUDA_R_32F;
  int m = 19, n = 7, k = 13, batch = 1;
  cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
  cublasLtOrder_t order_a = CUBLASLT_ORDER_COL, order_b = CUBLASLT_ORDER_COL, order_d = CUBLASLT_ORDER_COL;
  int gap = 0;  // between lines
  double alpha = 1, beta = 0;
  bool device_scalars = false;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
};

struct Matrix {
  int rows, columns, ld, batch;
  bool by_column;
  cudaDataType type;
  std::vector<double> values;  // as they lie in memory, rounded to the type
  std::byte* device = nullptr;

  Matrix(int r, int c, cublasLtOrder_t order, int gap, int count, cudaDataType t, std::mt19937& random)
      : rows(r), columns(c), batch(count), by_column(order == CUBLASLT_ORDER_COL), type(t) {
    ld = (by_column ? rows : columns) + gap;
    std::uniform_real_distribution<double> uniform(-1, 1);
    values.resize(static_cast<size_t>(batch * stride()));
    for (double& value : values) value = uniform(random);
    device = to_device(encode(values, type));
    values = decode(encode(values, type), type);
  }
  int stride() const { return ld * (by_column ? columns : rows); }
  size_t offset(int b, int r, int c) const {
    return static_cast<size_t>(b * stride() + (by_column ? c * ld + r : r * ld + c));
  }
  double at(int b, int r, int c) const { return values[offset(b, r, c)]; }
  cublasLtMatrixLayout_t layout() const {
    cublasLtMatrixLayout_t made = nullptr;
    EXPECT_EQ(CUBLAS_STATUS_SUCCESS,
              cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), ld));
    const int32_t order = by_column ? CUBLASLT_ORDER_COL : CUBLASLT_ORDER_ROW;
    const int64_t offset = stride();
    cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order);
    cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch);
    cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset, sizeof offset);
    return made;
  }
  std::vector<double> now() const { return decode(to_host(device, values.size() * bytes_of(type)), type); }
};

class Product {
 public:
  explicit Product(const Case& c)
      : case_(c),
        a(c.ta == CUBLAS_OP_N ? c.m : c.k, c.ta == CUBLAS_OP_N ? c.k : c.m, c.order_a, c.gap, c.batch, c.in, random_),
        b(c.tb == CUBLAS_OP_N ? c.k : c.n, c.tb == CUBLAS_OP_N ? c.n : c.k, c.order_b, c.gap, c.batch, c.in, random_),
        c_matrix(c.m, c.n, c.order_d, c.gap, c.batch, c.out, random_),
        d(c.m, c.n, c.order_d, c.gap, c.batch, c.out, random_),
        vector(std::max(c.m, c.n), 1, CUBLASLT_ORDER_COL, 0, c.batch, c.out, random_),
        aux((c.m + 7) / 8 * 8, c.n, CUBLASLT_ORDER_COL, 0, c.batch, c.out, random_) {
    EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasLtCreate(&handle));
    EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasLtMatmulDescCreate(&operation, c.compute, c.scale));
    set(CUBLASLT_MATMUL_DESC_TRANSA, c.ta);
    set(CUBLASLT_MATMUL_DESC_TRANSB, c.tb);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, c.epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector.device);
    set(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, static_cast<int64_t>(vector.stride()));
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux.device);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, static_cast<int64_t>(aux.ld));
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, static_cast<int64_t>(aux.stride()));
  }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value));
  }

  cublasStatus_t run(cudaStream_t stream = nullptr, const cublasLtMatmulAlgo_t* algorithm = nullptr) {
    const std::vector<std::byte> alpha = encode({case_.alpha}, case_.scale), beta = encode({case_.beta}, case_.scale);
    const void *alpha_at = alpha.data(), *beta_at = beta.data();
    if (case_.device_scalars) {
      set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
      alpha_at = to_device(alpha);
      beta_at = to_device(beta);
    }
    return cublasLtMatmul(handle, operation, alpha_at, a.device, a.layout(), b.device, b.layout(), beta_at,
                          c_matrix.device, c_matrix.layout(), d.device, d.layout(), algorithm, nullptr, 0, stream);
  }

  cublasStatus_t choose(cublasLtMatmulAlgo_t& algorithm, uint32_t alignment) {
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulPreferenceCreate(&preference);
    for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                             CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      cublasLtMatmulPreferenceSetAttribute(preference, which, &alignment, sizeof alignment);
    }
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, operation, a.layout(), b.layout(), c_matrix.layout(), d.layout(), preference, 1, &result, &count);
    EXPECT_EQ(status == CUBLAS_STATUS_SUCCESS ? 1 : 0, count);
    algorithm = result.algo;
    return status;
  }

  double op_a(int i, int row, int k) const { return case_.ta == CUBLAS_OP_N ? a.at(i, row, k) : a.at(i, k, row); }
  double op_b(int i, int k, int column) const {
    return case_.tb == CUBLAS_OP_N ? b.at(i, k, column) : b.at(i, column, k);
  }

  // alpha op(A) op(B) + beta C
  double sum(int i, int row, int column) const {
    double total = 0;
    for (int k = 0; k < case_.k; ++k) total += op_a(i, row, k) * op_b(i, k, column);
    return case_.alpha * total + (case_.beta != 0 ? case_.beta * c_matrix.at(i, row, column) : 0);
  }

  // Compares D with f(batch, row, column) and everything between its lines with what was there.
  template <typename F>
  void expect_d(F&& f) const {
    const std::vector<double> got = d.now();
    std::vector<double> wanted = d.values;
    for (int i = 0; i < case_.batch; ++i) {
      for (int row = 0; row < case_.m; ++row) {
        for (int column = 0; column < case_.n; ++column) wanted[d.offset(i, row, column)] = f(i, row, column);
      }
    }
    expect_near(wanted, got, unit_of(case_.out));
  }

  static void expect_near(const std::vector<double>& wanted, const std::vector<double>& got, double unit) {
    ASSERT_EQ(wanted.size(), got.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_FALSE(std::isnan(got[i])) << i;
      ASSERT_NEAR(wanted[i], got[i], unit * (4 + std::abs(wanted[i]))) << "element " << i;
    }
  }

 private:
  Case case_;
  std::mt19937 random_{7};

 public:
  Matrix a, b, c_matrix, d, vector, aux;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t operation = nullptr;
};

class CublasLt : public DeviceTest {
 protected:
  static void expect_product(const Case& c) {
    Product p(c);
    ASSERT_EQ(CUBLAS_STATUS_SUCCESS, p.run());
    ASSERT_CUDA(cudaDeviceSynchronize());
    p.expect_d([&](int i, int row, int column) { return p.sum(i, row, column); });
  }
};

// --- products ---

TEST_F(CublasLt, EveryTranspositionAndOrder) {
  for (const auto ta : {CUBLAS_OP_N, CUBLAS_OP_T}) {
    for (const auto tb : {CUBLAS_OP_N, CUBLAS_OP_T}) {
      for (int orders = 0; orders < 8; ++orders) {
        const auto order = [&](int bit) { return orders >> bit & 1 ? CUBLASLT_ORDER_ROW : CUBLASLT_ORDER_COL; };
        SCOPED_TRACE(testing::Message() << "ta " << ta << " tb " << tb << " orders " << orders);
        Case c;
        c.ta = ta, c.tb = tb;
        c.order_a = order(0), c.order_b = order(1), c.order_d = order(2);
        c.gap = orders % 3;
        expect_product(c);
      }
    }
  }
}

TEST_F(CublasLt, EveryTypeOfTheLibrarysTable) {
  struct Types {
    cublasComputeType_t compute;
    cudaDataType scale, in, out;
  };
  for (const Types& t : {Types{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F},
                         Types{CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F},
                         Types{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF},
                         Types{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F},
                         Types{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16F, CUDA_R_16F},
                         Types{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16F, CUDA_R_32F},
                         Types{CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F}}) {
    for (const int size : {1, 16, 33}) {
      SCOPED_TRACE(testing::Message() << "compute " << t.compute << " in " << t.in << " out " << t.out << " size "
                                      << size);
      Case c;
      c.compute = t.compute, c.scale = t.scale, c.in = t.in, c.out = t.out;
      c.m = size, c.n = size + 2, c.k = 2 * size + 1;
      c.alpha = 0.5, c.beta = -2;
      expect_product(c);
    }
  }
}

TEST_F(CublasLt, BatchesAndScalarsOnTheDevice) {
  Case c;
  c.batch = 3;
  c.gap = 1;
  c.alpha = 2, c.beta = 0.25;
  expect_product(c);
  c.device_scalars = true;
  expect_product(c);
}

TEST_F(CublasLt, CIsNotReadWhenBetaIsZero) {
  Case c;
  Product p(c);
  ASSERT_CUDA(cudaMemset(p.c_matrix.device, 0xff, p.c_matrix.values.size() * 4));  // NaN
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS, p.run());
  p.expect_d([&](int i, int row, int column) { return p.sum(i, row, column); });
}

// --- epilogues ---

double gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

double gelu_derivative(double x) {
  constexpr double kStep = 1e-6;
  return (gelu(x + kStep) - gelu(x - kStep)) / (2 * kStep);
}

Case epilogue_case(cublasLtEpilogue_t epilogue, cudaDataType type = CUDA_R_32F) {
  Case c;
  c.epilogue = epilogue;
  c.batch = 2;
  c.in = c.out = type;
  return c;
}

TEST_F(CublasLt, BiasRunsAlongTheRowsOfD) {
  for (const cudaDataType type : {CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F}) {
    Product p(epilogue_case(CUBLASLT_EPILOGUE_BIAS, type));
    ASSERT_EQ(CUBLAS_STATUS_SUCCESS, p.run());
    p.expect_d([&](int i, int row, int column) { return p.sum(i, row, column) + p.vector.at(i, row, 0); });
  }
}

TEST_F(CublasLt, ActivationsComeAfterTheBias) {
  Product relu(epilogue_case(CUBLASLT_EPILOGUE_RELU_BIAS));
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS, relu.run());
  relu.expect_d([&](int i, int r, int c) { return std::max(0.0, relu.sum(i, r, c) + relu.vector.at(i, r, 0)); });
  Product plain(epilogue_case(CUBLASLT_EPILOGUE_GELU));
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS, plain.run());
  plain.expect_d([&](int i, int r, int c) { return gelu(plain.sum(i, r, c)); });
  // The input of GELU is kept for the backward pass.
  Product kept(epilogue_case(CUBLASLT_EPILOGUE_GELU_AUX_BIAS));
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS, kept.run());
  kept.expect_d([&](int i, int r, int c) { return gelu(kept.sum(i, r, c) + kept.vector.at(i, r, 0)); });
  const std::vector<double> aux = kept.aux.now();
  for (int row = 0; row < 19; ++row) {
    EXPECT_NEAR(kept.sum(1, row, 6) + kept.vector.at(1, row, 0), aux[kept.aux.offset(1, row, 6)], 1e-5);
  }
}

TEST_F(CublasLt, GradientsOfActivationsAndBias) {
  Product p(epilogue_case(CUBLASLT_EPILOGUE_DGELU_BGRAD));
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS, p.run());
  const auto gradient = [&](int i, int r, int c) { return p.sum(i, r, c) * gelu_derivative(p.aux.at(i, r, c)); };
  p.expect_d(gradient);
  const std::vector<double> vector = p.vector.now();
  for (int row = 0; row < 19; ++row) {
    double sum = 0;
    for (int column = 0; column < 7; ++column) sum += gradient(1, row, column);
    EXPECT_NEAR(sum, vector[p.vector.offset(1, row, 0)], 1e-4);
  }

  // ReLU keeps one bit for each value.
  Case c;
  c.epilogue = CUBLASLT_EPILOGUE_RELU_AUX;
  Product forward(c);
  void* bits = nullptr;
  ASSERT_CUDA(cudaMalloc(&bits, 7 * 128 / 8));
  ASSERT_CUDA(cudaMemset(bits, 0, 7 * 128 / 8));
  const auto use_bits = [&](Product& q) {
    q.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, bits);
    q.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, int64_t{128});
    q.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, int64_t{0});
  };
  use_bits(forward);
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS, forward.run());
  forward.expect_d([&](int i, int r, int col) { return std::max(0.0, forward.sum(i, r, col)); });
  c.epilogue = CUBLASLT_EPILOGUE_DRELU;
  c.alpha = 3;
  Product backward(c);
  use_bits(backward);
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS, backward.run());
  backward.expect_d([&](int i, int r, int col) { return forward.sum(i, r, col) > 0 ? backward.sum(i, r, col) : 0.0; });
}

TEST_F(CublasLt, BiasGradientsAreSumsOverK) {
  for (const auto transpose : {CUBLAS_OP_N, CUBLAS_OP_T}) {
    for (const bool of_a : {true, false}) {
      Case c = epilogue_case(of_a ? CUBLASLT_EPILOGUE_BGRADA : CUBLASLT_EPILOGUE_BGRADB);
      c.ta = c.tb = transpose;
      Product p(c);
      ASSERT_EQ(CUBLAS_STATUS_SUCCESS, p.run());
      p.expect_d([&](int i, int row, int column) { return p.sum(i, row, column); });
      const std::vector<double> vector = p.vector.now();
      for (int i = 0; i < (of_a ? c.m : c.n); ++i) {
        double sum = 0;
        for (int k = 0; k < c.k; ++k) sum += of_a ? p.op_a(1, i, k) : p.op_b(1, k, i);
        EXPECT_NEAR(sum, vector[p.vector.offset(1, i, 0)], 1e-5) << i;
      }
    }
  }
}

// --- streams ---

TEST_F(CublasLt, ProductsTakePartInStreamsAndGraphs) {
  cudaStream_t stream;
  ASSERT_CUDA(cudaStreamCreate(&stream));
  Product p{Case{}};
  ASSERT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, p.run(stream));
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
  ASSERT_CUDA(cudaGraphInstantiate(&executable, graph, 0));
  p.expect_d([&](int i, int row, int column) { return p.d.at(i, row, column); });  // nothing has run
  // The operands are read at the replay.
  for (double& value : p.a.values) value *= 2;
  const std::vector<std::byte> doubled = encode(p.a.values, CUDA_R_32F);
  ASSERT_CUDA(cudaMemcpyAsync(p.a.device, doubled.data(), doubled.size(), cudaMemcpyHostToDevice, stream));
  ASSERT_CUDA(cudaGraphLaunch(executable, stream));
  ASSERT_CUDA(cudaStreamSynchronize(stream));
  p.expect_d([&](int i, int row, int column) { return p.sum(i, row, column); });
}

// --- what is refused ---

TEST_F(CublasLt, PromisedAlignmentIsChecked) {
  Product p{Case{}};
  cublasLtMatmulAlgo_t algorithm;
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, p.choose(algorithm, 256));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, p.run(nullptr, &algorithm));
  std::byte* const aligned = p.a.device;
  p.a.device = to_device(std::vector<std::byte>(p.a.values.size() * 4 + 4)) + 4;
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, p.run(nullptr, &algorithm));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, p.choose(algorithm, 4));
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, p.run(nullptr, &algorithm));
  p.a.device = aligned + 2;  // not even a float's
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, p.run());
  p.a.device = aligned;
  std::memset(&algorithm, 0, sizeof algorithm);
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, p.run(nullptr, &algorithm));
}

TEST_F(CublasLt, MemoryThatIsTooSmallIsReported) {
  for (const char* name : {"A", "B", "C", "D", "BIAS_POINTER"}) {
    Product p{epilogue_case(CUBLASLT_EPILOGUE_BIAS)};
    const std::string which = name;
    std::byte* small = to_device(std::vector<std::byte>(16));
    if (which == "A") p.a.device = small;
    if (which == "B") p.b.device = small;
    if (which == "C") p.c_matrix.device = small;
    if (which == "D") p.d.device = small;
    if (which == "BIAS_POINTER") p.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, small);
    testing::internal::CaptureStderr();
    EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, p.run()) << name;
    const std::string report = testing::internal::GetCapturedStderr();
    EXPECT_NE(std::string::npos, report.find(which + " (matrix 0 of the batch) needs")) << report;
  }
  std::vector<float> host(1000);
  Product p{Case{}};
  p.b.device = reinterpret_cast<std::byte*>(host.data());
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, p.run());
}

TEST_F(CublasLt, UnknownCombinationsAreNotSupported) {
  const auto status = [](auto&& change) {
    Case c;
    change(c);
    return Product(c).run();
  };
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, status([](Case& c) { c.compute = CUBLAS_COMPUTE_16F; }));
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, status([](Case& c) { c.out = CUDA_R_16BF; }));
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, status([](Case& c) { c.in = CUDA_R_64F; }));
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, status([](Case& c) {
              c.order_d = CUBLASLT_ORDER_ROW;
              c.epilogue = CUBLASLT_EPILOGUE_BIAS;
            }));
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, status([](Case& c) { c.epilogue = static_cast<cublasLtEpilogue_t>(77); }));

  Product p{Case{}};
  cublasLtMatmulAlgo_t algorithm;
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, 77);
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, p.choose(algorithm, 16));
  const int32_t value = 0;
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE,
            cublasLtMatmulDescSetAttribute(p.operation, static_cast<cublasLtMatmulDescAttributes_t>(999), &value, 4));
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE,
            cublasLtMatmulDescSetAttribute(p.operation, CUBLASLT_MATMUL_DESC_TRANSA, &value, 2));  // wrong size
  // Shapes that contradict each other.
  Product q{Case{}};
  q.a.columns += 1;
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, q.run());
  Product r{Case{}};
  r.d.ld -= 1;
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, r.run());
}

TEST_F(CublasLt, AttributesCanBeReadBack) {
  Product p{Case{}};
  size_t written = 0;
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS,
            cublasLtMatmulDescGetAttribute(p.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, nullptr, 0, &written));
  EXPECT_EQ(8u, written);
  void* pointer = nullptr;
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, cublasLtMatmulDescGetAttribute(p.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                                  &pointer, sizeof pointer, nullptr));
  EXPECT_EQ(p.vector.device, pointer);
  EXPECT_STREQ("CUBLAS_STATUS_NOT_SUPPORTED", cublasLtGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED));
}

}  // namespace
