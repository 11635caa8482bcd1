#pragma once
// What the executor tells a checker: every memory access of a warp, and what orders accesses with each other.
//
// The executor itself stops out-of-bounds and misaligned accesses, divergent barriers and deadlocks, wrong shuffle
// members and launch limits, before the checker sees them. A checker finds the rest: uninitialised reads, races, and
// counts for statistics. It stops the kernel by throwing Fault.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/emulator/fault.h"
#include "kernels/emulator/memory.h"

namespace vigor::emulator {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

enum class Space : uint8_t { global, shared, local, parameter, constant };

enum class AccessKind : uint8_t {
  read,
  write,
  atomic,       // read and write in one; also red
  async_read,   // the source of cp.async, when it is issued
  async_issue,  // the destination of cp.async, when it is issued: in flight until async_write
  async_write,  // the destination of cp.async, when its wait lets it land
};

// Where in the program an instruction came from.
struct SourceLocation {
  std::string_view file;  // empty: compiled without -lineinfo
  uint32_t line = 0;
  uint32_t ptx_line = 0;
  std::string_view instruction;  // as in the PTX, "ld.global.f32"
  // Inlined code was called from these lines; the last one is the kernel's own.
  struct Caller {
    std::string_view file;
    uint32_t line;
  };
  std::vector<Caller> callers = {};
};

// "file:line, instruction", and for inlined code a line for each caller.
std::string describe_source(const SourceLocation& source);

struct LaunchInfo {
  std::string_view kernel;  // mangled
  Dim3 grid, block;
  uint32_t shared_bytes = 0;       // static and dynamic
  uint32_t local_bytes = 0;        // per thread
  uint64_t instruction_count = 0;  // in the kernel's code: Access::instruction is below it
  const DeviceMemory* memory = nullptr;
};

struct Access {
  Space space;
  AccessKind kind;
  uint32_t bytes;             // per lane, all elements of a vector together
  uint32_t lanes;             // bit i: lane i takes part
  const uint64_t* addresses;  // [32]; only those of `lanes` mean anything.
                              //   global: device addresses; shared: offsets in the block's shared memory;
                              //   local: offsets in the thread's local memory
  uint32_t warp;              // in the block; thread number = 32 * warp + lane
  uint32_t instruction;       // index in the kernel's code, see BlockChecker::begin
  bool is_volatile = false;   // volatile, relaxed, acquire or release: not a race by itself
  // Of a plain write, which is announced before it is carried out: element e of lane i is to become the element_bytes
  // at elements[e] + i * element_stride. All lanes writing the same value is no race. Null: unknown.
  const std::byte* const* elements = nullptr;
  uint32_t element_bytes = 0, element_stride = 0;
};

// Locations of a kernel's instructions, for reports and statistics.
class InstructionSources {
 public:
  virtual ~InstructionSources() = default;
  virtual SourceLocation source(uint32_t instruction) const = 0;
};

struct BlockInfo {
  Dim3 index;                         // blockIdx
  uint64_t serial;                    // x + grid.x * (y + grid.y * z)
  const std::byte* shared = nullptr;  // its shared memory, uninitialised when the block begins
};

// Watches the blocks that one worker thread runs, one block after another.
class BlockChecker {
 public:
  virtual ~BlockChecker() = default;
  virtual void begin(const BlockInfo& block) = 0;
  virtual void access(const Access& access) = 0;
  // These threads met at a barrier: what they did before it happened before what they do after it. `whole_block`: all
  // threads that have not exited; else bit i of `warps` says that warp i took part.
  virtual void barrier(bool whole_block, uint32_t warps) = 0;
  // These lanes met at bar.warp.sync (__syncwarp). Shuffles and votes do not come here: they order no memory.
  virtual void warp_sync(uint32_t warp, uint32_t lanes) = 0;
  // __threadfence and its relatives, by these lanes.
  virtual void fence(uint32_t warp, uint32_t lanes) = 0;
  // One instruction was executed by these lanes; only called if the checker wants it (Checker::wants_instructions).
  virtual void instruction(uint32_t instruction, uint32_t lanes) = 0;
  // Some of these lanes took the branch and some did not (or went elsewhere). Called when instruction() is.
  virtual void divergent_branch(uint32_t instruction, uint32_t lanes) = 0;
  virtual void end() = 0;
};

// One a process (or a test). Calls may come from several threads.
class Checker {
 public:
  virtual ~Checker() = default;
  virtual void allocated(const MemoryRange& range) = 0;
  virtual void freed(const MemoryRange& range) = 0;
  // The host (memcpy, memset, a module's initial values) wrote or read device memory.
  virtual void host_wrote(uint64_t address, uint64_t bytes) = 0;
  virtual void host_read(uint64_t address, uint64_t bytes) = 0;
  // A copy from device memory to device memory: bytes that nobody wrote stay unwritten.
  virtual void copied(uint64_t to, uint64_t from, uint64_t bytes) = 0;

  virtual bool wants_instructions() const = 0;
  virtual void launch_begin(const LaunchInfo& launch, const InstructionSources& sources) = 0;
  // One for each worker thread of the launch; it dies before launch_end. Both references outlive it.
  virtual std::unique_ptr<BlockChecker> make_block_checker(const LaunchInfo& launch,
                                                           const InstructionSources& sources) = 0;
  virtual void launch_end() = 0;  // also after a fault
};

// The lines that every report ends with: kernel, source, block and thread. `lane` < 0 leaves the thread out.
std::string describe_place(const LaunchInfo& launch, const BlockInfo& block, uint32_t warp, int lane,
                           const SourceLocation& source);
// "void vigor::copy<float>(float*, long)" for a kernel's mangled name; anything else as it is.
std::string readable_name(std::string_view mangled);
// "(x,y,z)" of thread 32 * warp + lane in a block of this size.
std::string thread_index(const Dim3& block, uint32_t warp, uint32_t lane);

}  // namespace vigor::emulator
