// Tensor-core instructions.
#include "kernels/emulator/half.h"

namespace vigor::emulator::VIGOR_ISA {

RowTable matrix_rows() { return {nullptr, 0}; }

}  // namespace vigor::emulator::VIGOR_ISA
