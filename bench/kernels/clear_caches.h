#pragma once

namespace vigor {

// Reads an array that is larger than all caches together, with all threads; afterwards they hold nothing else.
void clear_caches();

}  // namespace vigor
