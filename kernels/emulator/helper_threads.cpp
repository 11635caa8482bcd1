#include "kernels/emulator/helper_threads.h"

#include <thread>

namespace vigor::emulator {

HelperThreads& HelperThreads::instance() {
  static auto* const the_threads = new HelperThreads;
  return *the_threads;
}

void HelperThreads::run(uint32_t workers, const std::function<void(uint32_t)>& work) {
  {
    std::unique_lock lock(mutex_);
    const bool busy = work_ != nullptr || active_ != 0;  // with another host thread's launch
    if (workers < 2 || busy) {
      lock.unlock();
      return work(0);
    }
    for (; threads_ + 1 < workers; ++threads_) std::thread([this] { help(); }).detach();
    work_ = &work;
    next_ = 1;
    end_ = workers;
  }
  wake_.notify_all();
  work(0);
  std::unique_lock lock(mutex_);
  work_ = nullptr;
  done_.wait(lock, [this] { return active_ == 0; });
}

void HelperThreads::help() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return work_ != nullptr && next_ < end_; });
    const auto* work = work_;
    const uint32_t index = next_++;
    ++active_;
    lock.unlock();
    (*work)(index);
    lock.lock();
    if (--active_ == 0) done_.notify_all();
  }
}

}  // namespace vigor::emulator
