#include "train/profile/html_report.h"

#include <string_view>

namespace vigor {

extern const char* const kReportPage;  // train/profile/report/, put together by train/CMakeLists.txt

namespace {

constexpr std::string_view kDataMark = "@report_data@";  // where the profiles go

// JSON that may stand inside a <script> element. "<" occurs in JSON only inside strings, where \u003c means the same;
// without it nothing in a name can end the element or open a comment.
std::string inside_script(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<') out += "\\u003c";
    else out += c;
  }
  return out;
}

}  // namespace

std::string html_report(const Profile& profile, const Profile* before) {
  std::string page = kReportPage;
  const std::string other = before != nullptr ? inside_script(to_json(*before)) : "null";
  page.replace(page.find(kDataMark), kDataMark.size(),
               "{\"profile\":" + inside_script(to_json(profile)) + ",\"before\":" + other + "}");
  return page;
}

}  // namespace vigor
