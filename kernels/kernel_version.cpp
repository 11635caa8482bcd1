#include "kernels/kernel_version.h"

#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "tensor/check.h"

namespace vigor {
namespace {

thread_local KernelVersionScope* innermost = nullptr;

// "layer_norm=1,softmax=2"
std::map<std::string, int, std::less<>> chosen_by_environment() {
  std::map<std::string, int, std::less<>> chosen;
  const char* text = std::getenv("VIGOR_KERNELS");
  for (std::string_view rest = text != nullptr ? text : ""; !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const size_t equals = item.find('=');
    const std::string_view digits = equals == item.npos ? "" : item.substr(equals + 1);
    if (digits.size() != 1 || digits[0] < '1' || digits[0] > '9')
      fail("VIGOR_KERNELS: items must be operation=version, such as layer_norm=1; got '{}'", item);
    chosen.emplace(item.substr(0, equals), digits[0] - '0');
  }
  return chosen;
}

}  // namespace

KernelVersionScope::KernelVersionScope(const char* op, int version) : op_(op), version_(version), outer_(innermost) {
  innermost = this;
}
KernelVersionScope::~KernelVersionScope() { innermost = outer_; }

int kernel_version(const char* op, int newest) {
  static const std::map<std::string, int, std::less<>> environment = chosen_by_environment();
  int version = newest;
  if (const auto found = environment.find(op); found != environment.end()) version = found->second;
  for (const KernelVersionScope* scope = innermost; scope != nullptr; scope = scope->outer_) {
    if (std::string_view(scope->op_) != op) continue;
    version = scope->version_;
    break;
  }
  check(version >= 1 && version <= newest, "{}: kernel versions are 1 to {}; got {}", op, newest, version);
  return version;
}

}  // namespace vigor
