#pragma once
// The training run: data, model, optimiser, checkpoints and reports put together.
#include <set>
#include <stdexcept>
#include <string>

#include "train/run_config.h"

namespace vigor {

// A loss or gradient that is not finite: the run cannot go on, while everything around it is in order.
struct NonFiniteLoss : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Trains as `config` says; `given` names the options the user set (the others may follow the preset or, on --resume,
// the checkpoint). Returns the exit status: 0 when all steps (or --stop-at) are done, 130 after Ctrl-C or SIGTERM, with
// the model saved in both cases. Throws std::invalid_argument for bad input, NonFiniteLoss or another
// std::runtime_error (a full disk) for a failed run; the last good checkpoint is intact then.
int train(RunConfig config, const std::set<std::string>& given);

}  // namespace vigor
