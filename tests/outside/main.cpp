// A researcher's program: a language model around a block of one's own (tests/examples/gated_average.h), trained ten
// steps on one line of text. It sees nothing of Vigor but the installed package.
#include <cstdio>
#include <string>

#include "../examples/gated_average.h"
#include "autograd/engine.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy.h"
#include "nn/embedding.h"
#include "nn/norm.h"
#include "nn/parameter_arena.h"
#include "train/optimizer.h"

namespace {

using vigor::Tensor;

class ByteModel : public vigor::Module {
 public:
  ByteModel() : embed_(256, kChannels), norm_(kChannels), mixer_(kChannels), head_(kChannels, 256) {
    add_child("embed", embed_);
    add_child("norm", norm_);
    add_child("mixer", mixer_);
    add_child("head", head_);
  }
  Tensor loss(const Tensor& ids, const Tensor& targets) const {  // [B,T], [B,T] -> []
    const Tensor x = embed_.forward(ids);                        // [B,T,d]
    const Tensor y = x + mixer_.forward(norm_.forward(x));
    return vigor::linear_cross_entropy(vigor::reshape(y, {-1, kChannels}), head_.weight, head_.bias,
                                       vigor::reshape(targets, {-1}));
  }

 private:
  static constexpr int64_t kChannels = 32;
  vigor::Embedding embed_;
  vigor::LayerNorm norm_;
  example::GatedAverage mixer_;
  vigor::Linear head_;
};

Tensor ids_of(const std::string& text) {
  return vigor::from_values(std::vector<int32_t>(text.begin(), text.end()), {1, static_cast<int64_t>(text.size())});
}

}  // namespace

int main() {
  const std::string text = "the cat sat on the mat, and the dog sat on the cat.";
  const Tensor ids = ids_of(text.substr(0, text.size() - 1)), targets = ids_of(text.substr(1));

  ByteModel model;
  vigor::ParameterArena parameters(model);
  parameters.initialize(1);
  parameters.allocate_gradients();
  vigor::OptimizerOptions options;
  options.clip_norm = 1;
  vigor::Optimizer optimizer(parameters, options);

  double first = 0, last = 0;
  for (int step = 0; step < 10; ++step) {
    vigor::StepState state = optimizer.inputs(step, 1e-2);
    parameters.zero_gradients();
    const Tensor loss = model.loss(ids, targets);
    vigor::backward(loss);
    optimizer.measure(&state);
    optimizer.update(&state);
    last = loss.item<float>();
    if (step == 0) first = last;
    std::printf("step %d  loss %.4f\n", step, last);
  }
  return last < first - 1.0 ? 0 : 1;  // from ln 256 = 5.5 nats
}
