// The HTML report of a profile as a text: what is in it, and that no name in a profile can become markup. What a
// browser makes of it: profile_report_browser_test.
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/profile_example.h"
#include "train/profile/html_report.h"

namespace vigor {
namespace {

using testing::ProfileExample;

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

// What the page's script will read: the content of its one data element.
std::string data_text(const std::string& page) {
  const std::string start = R"(<script type="application/json" id="profiles">)";
  const size_t from = page.find(start) + start.size();
  return page.substr(from, page.find("</script>", from) - from);
}
nlohmann::json data_of(const std::string& page) { return nlohmann::json::parse(data_text(page)); }

// Every text in it is `name`.
Profile named(const std::string& name) {
  Profile profile;
  profile.model = profile.command = profile.step.verdict = name;
  profile.operations.resize(1);
  profile.operations[0].name = profile.operations[0].phase = profile.operations[0].shapes = name;
  profile.operations[0].seconds = 1;
  profile.layers.resize(1);
  profile.layers[0].name = profile.layers[0].kind = name;
  profile.timeline.resize(1);
  profile.timeline[0].name = profile.timeline[0].phase = profile.timeline[0].layer = name;
  return profile;
}

TEST(ProfileReport, HoldsTheProfileAsItsJson) {
  const Profile profile = ProfileExample().profile();
  const nlohmann::json data = data_of(html_report(profile));
  EXPECT_EQ(data.at("profile"), nlohmann::json::parse(to_json(profile)));
  EXPECT_TRUE(data.at("before").is_null());
}

TEST(ProfileReport, HoldsBothProfilesOfAComparison) {
  const Profile after = ProfileExample(1.5).profile(), before = ProfileExample().profile();
  const nlohmann::json data = data_of(html_report(after, &before));
  EXPECT_EQ(data.at("profile"), nlohmann::json::parse(to_json(after)));
  EXPECT_EQ(data.at("before"), nlohmann::json::parse(to_json(before)));
}

TEST(ProfileReport, IsOnePageWithoutPlaceholders) {
  const std::string page = html_report(ProfileExample().profile());
  EXPECT_EQ(page.rfind("<!doctype html>", 0), 0u);
  EXPECT_EQ(occurrences(page, "</html>"), 1u);
  for (const char* mark : {"@report_css@", "@report_js@", "@report_data@"})
    EXPECT_EQ(occurrences(page, mark), 0u) << mark;
}

// Everything is in the page: no element names another file, and the policy forbids the browser to load one.
TEST(ProfileReport, LoadsNothing) {
  const std::string page = html_report(ProfileExample().profile());
  for (const char* part : {" src=", "<link", "@import", "url(", "fetch(", "XMLHttpRequest", "import("})
    EXPECT_EQ(occurrences(page, part), 0u) << part;
  EXPECT_EQ(occurrences(page, "default-src 'none'"), 1u);
}

TEST(ProfileReport, NamesCannotLeaveTheData) {
  const std::string names[] = {"</script><script>alert(1)</script>",
                               "<!--<script>",
                               "\xe2\x80\xa8 and \xe2\x80\xa9",
                               "\"'\\`${1}",
                               "@report_data@",
                               "]]>"};
  const size_t plain = occurrences(html_report(named("add")), "<");
  for (const std::string& name : names) {
    const Profile profile = named(name);
    const std::string page = html_report(profile, &profile);
    EXPECT_EQ(occurrences(page, "<"), plain) << name;  // not one more than without the name
    EXPECT_EQ(data_of(page).at("profile").at("model"), name);
  }
}

TEST(ProfileReport, TextThatIsNotUtf8IsStillAPage) {
  Profile profile;
  profile.model = "caf\xe9 \xff";
  EXPECT_NO_THROW(data_of(html_report(profile)));
}

// JSON has no infinity, and a page with one would stay empty.
TEST(ProfileReport, EdgesAreReadable) {
  Profile empty, one = named("add"), still = named("add");
  still.operations[0].seconds = 0;
  still.step.tokens_per_s = std::numeric_limits<double>::infinity();
  still.operations[0].gflops = std::numeric_limits<double>::quiet_NaN();
  for (const Profile& profile : {empty, one, still}) {
    const nlohmann::json data = data_of(html_report(profile, &empty));
    EXPECT_EQ(data.at("profile").at("operations").size(), profile.operations.size());
  }
}

}  // namespace
}  // namespace vigor
