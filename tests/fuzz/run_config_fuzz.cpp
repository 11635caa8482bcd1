#include "train/run_config.h"

#include <cstdlib>

#include "tests/fuzz/fuzz.h"

void vigor::fuzz_one(std::string_view input, const std::filesystem::path&) {
  load_or_refuse([&] {
    RunConfig config;
    std::set<std::string> given;
    read_run_config(std::string(input), "run.json", config, given);
    check_run_config(config);
    // What was accepted is stored with each checkpoint and must come back the same.
    RunConfig again;
    read_run_config(to_json(config), "again", again, given);
    if (to_json(again) != to_json(config)) std::abort();
  });
}
