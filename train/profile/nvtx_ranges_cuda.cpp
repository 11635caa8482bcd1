#include "train/profile/nvtx_ranges.h"

#include <nvtx3/nvToolsExt.h>

namespace vigor {

void NvtxRanges::close() {
  if (!open_) return;
  nvtxRangePop();
  nvtxRangePop();
  open_ = false;
}

void NvtxRanges::begin(const OpRecord& record) {
  if (depth_++ == 0 && (!open_ || record.phase != phase_ || record.region != region_)) {
    close();
    phase_ = record.phase;
    region_ = record.region;
    nvtxRangePushA(name_of(phase_));
    nvtxRangePushA(region_ != nullptr ? region_->c_str() : "no layer");
    open_ = true;
  }
  nvtxRangePushA(record.name);
}

void NvtxRanges::end(const OpRecord&, std::span<const Tensor* const>) {
  nvtxRangePop();
  --depth_;
}

}  // namespace vigor
