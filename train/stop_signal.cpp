#include "train/stop_signal.h"

#include <csignal>

namespace vigor {
namespace {

volatile std::sig_atomic_t g_requested = 0;  // the one place a signal handler may write to

extern "C" void on_stop_signal(int number) {
  g_requested = 1;
  std::signal(number, SIG_DFL);  // the next one ends the program
}

}  // namespace

StopSignal::StopSignal() {
  g_requested = 0;
  std::signal(SIGINT, on_stop_signal);
  std::signal(SIGTERM, on_stop_signal);
}

StopSignal::~StopSignal() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool StopSignal::requested() { return g_requested != 0; }

}  // namespace vigor
