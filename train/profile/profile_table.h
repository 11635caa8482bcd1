#pragma once
// A profile for a terminal and for a spreadsheet.
#include <string>

#include "train/profile/profile.h"

namespace vigor {

// Operations by shape, layers, phases, memory, and the line that says what bounds the step.
std::string profile_table(const Profile& profile);
// Two profiles of the same work: the step, and the operations whose time changed, most first.
std::string comparison_table(const Profile& before, const Profile& after);
// The operations as comma-separated values, one heading line (RFC 4180).
std::string profile_csv(const Profile& profile);

}  // namespace vigor
