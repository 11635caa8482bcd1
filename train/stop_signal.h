#pragma once
// Ctrl-C and SIGTERM ask a run to finish its step and save; a second Ctrl-C ends the program at once.

namespace vigor {

class StopSignal {
 public:
  StopSignal();   // installs the handlers
  ~StopSignal();  // puts back what was there
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  static bool requested();
};

}  // namespace vigor
