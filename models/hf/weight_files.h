#pragma once
// Writing weights as Hugging Face lays them out: model.safetensors, or shards model-00001-of-00003.safetensors .. and
// model.safetensors.index.json, which says where each weight is.
#include <cstdint>
#include <filesystem>
#include <span>

#include "tensor/safetensors.h"

namespace vigor {

// The weights in their order, a shard being as many of them as fit into `max_shard_bytes`, and at least one; 0: a
// single file. One tensor at a time is asked for its values. Throws as write_lazy_safetensors does.
void write_weight_files(const std::filesystem::path& folder, std::span<const LazyTensor> weights,
                        int64_t max_shard_bytes = 0);

// A file that write_weight_files may have written.
bool is_weight_file(const std::string& name);

}  // namespace vigor
