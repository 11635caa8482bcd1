#pragma once
// A profile as one HTML page: headline numbers, roofline, time by layer, memory over the step, tables. The page holds
// its own style and script, loads nothing, and opens from disk. Its sources are in train/profile/report/.
#include <string>

#include "train/profile/profile.h"

namespace vigor {

// With `before`, the earlier profile of the same work, the page compares: what became faster and what slower. Names may
// be anything: they are shown as text and cannot become markup.
std::string html_report(const Profile& profile, const Profile* before = nullptr);

}  // namespace vigor
