#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "models/hf/model_folder.h"
#include "tensor/safetensors.h"
#include "tests/support/testing.h"

namespace vigor::testing {

// One folder of tests/fixtures/i3 (its README says what the fixtures hold and how exact they are): the model on a
// device, and what PyTorch computed with it.
struct I3Fixture {
  std::filesystem::path folder;
  ModelFolder loaded;
  SafetensorsFile expected;

  explicit I3Fixture(const std::string& name, Dtype dtype = Dtype::f32, Device device = kCpu)
      : folder(std::filesystem::path(VIGOR_SOURCE_DIR) / "tests/fixtures/i3" / name),
        loaded(load(folder, dtype, device)),
        expected(SafetensorsFile::open(folder / "expected.safetensors")) {}

  static ModelFolder load(const std::filesystem::path& folder, Dtype dtype, Device device) {
    LoadOptions options;
    options.need_tokenizer = false;
    options.arena.dtype = dtype;
    options.arena.device = device;
    return load_model_folder(folder, options);
  }
  LanguageModel& model() { return *loaded.model; }
  Tensor ids() const { return to_device(expected.tensor("ids"), loaded.model->device()); }
  // The next id of each position, and -1, which the loss ignores, at the last.
  Tensor targets() const {
    const Tensor shifted = clone(expected.tensor("ids"));
    const int64_t T = shifted.size(1);
    int64_t* values = shifted.data<int64_t>();
    for (int64_t i = 0; i < shifted.numel(); ++i) values[i] = (i + 1) % T == 0 ? -1 : values[i + 1];
    return to_device(shifted, loaded.model->device());
  }
};

inline double largest(const Tensor& x) {
  double result = 0;
  for (const double value : x.to_vector<double>()) result = std::max(result, std::fabs(value));
  return result;
}

// Within `relative` of the largest value of the tensor. `actual` may be on any device.
inline void expect_near(const Tensor& actual, const Tensor& expected, double relative, const std::string& name) {
  SCOPED_TRACE(name);
  expect_close(to_device(actual, kCpu), expected, relative * largest(expected), 0);
}

}  // namespace vigor::testing
