#pragma once
// The training run: data, model, optimiser, checkpoints and reports put together.
#include <set>
#include <string>

#include "train/run_config.h"

namespace vigor {

// Trains as `config` says; `given` names the options the user set (the others may follow the preset or, on --resume,
// the checkpoint). Returns the exit status: 0 when all steps (or --stop-at) are done, 130 after Ctrl-C or SIGTERM, with
// the model saved in both cases. Throws std::invalid_argument for bad input, std::runtime_error for a failed run (a
// loss that is not finite, a full disk); the last good checkpoint is intact then.
int train(RunConfig config, const std::set<std::string>& given);

}  // namespace vigor
