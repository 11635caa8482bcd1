#pragma once

namespace vigor {

// Reads an array that is larger than all caches together, with all threads: bytes/s. Afterwards the caches hold nothing
// else. The array is made at the first call.
double read_memory();

}  // namespace vigor
