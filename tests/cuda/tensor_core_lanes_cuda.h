#pragma once
// One warp, one instruction, on fragments as the lanes hold them: element e of lane l is at [l * elements + e].
#include "tensor/view.h"

namespace vigor::testing {

// d = a b + c by mma.sync.aligned.m16n8k{8,16}.row.col.f32.bf16.bf16.f32; a and b bf16, c and d f32.
void run_mma(int k, const TensorView& d, const TensorView& a, const TensorView& b, const TensorView& c);
// ldmatrix.sync.aligned.m8n8.x4(.trans).shared.b16 of four 8 x 8 matrices, 32 rows of 8 bf16, into fragments [32,8].
void run_ldmatrix(bool trans, const TensorView& fragments, const TensorView& rows);

}  // namespace vigor::testing
