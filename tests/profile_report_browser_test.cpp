// The HTML report of a profile in a real browser, without a network: a script put into the page counts what was drawn,
// uses the page as a reader would (sorts, filters, zooms, walks with the keys), and leaves what it saw in the page,
// which the browser prints. Without a browser the test says that it was skipped; VIGOR_BROWSER names another one.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/file.h"
#include "tests/support/profile_example.h"
#include "tests/support/temporary_folder.h"
#include "train/profile/html_report.h"

namespace vigor {
namespace {

using nlohmann::json;
using testing::ProfileExample;
namespace fs = std::filesystem;

// Put at the head of the page, so that errors are recorded from before the page's own script on.
const char* const kWatch =
    "<script>window.faults = [];\n"
    "addEventListener('error', (event) => faults.push(String(event.message)));\n"
    "addEventListener('unhandledrejection', (event) => faults.push(String(event.reason)));\n"
    "addEventListener('securitypolicyviolation', (event) => faults.push(`blocked: ${event.blockedURI}`));</script>";

std::string unescaped(const std::string& text) {  // of encodeURIComponent
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') out += text[i];
    else out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16)), i += 2;
  }
  return out;
}

std::string browser() {
  if (const char* chosen = std::getenv("VIGOR_BROWSER")) return chosen;
  const char* path = std::getenv("PATH");
  std::string folders = path != nullptr ? path : "";
  for (const char* name : {"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}) {
    for (size_t from = 0; from <= folders.size();) {
      const size_t end = std::min(folders.find(':', from), folders.size());
      const fs::path program = fs::path(folders.substr(from, end - from)) / name;
      if (::access(program.c_str(), X_OK) == 0) return program.string();
      from = end + 1;
    }
  }
  return "";
}

void replace_once(std::string& text, const std::string& what, const std::string& with) {
  const size_t at = text.rfind(what);
  ASSERT_NE(at, std::string::npos) << what;
  text.replace(at, what.size(), with);
}

class ProfileReportInBrowser : public ::testing::Test {
 protected:
  void SetUp() override {
    if (browser().empty()) GTEST_SKIP() << "no browser: apt-get install chromium, or set VIGOR_BROWSER";
    static const bool starts =
        output_of(command("--dump-dom 'data:text/html,<p>it starts</p>'")).find("it starts") != std::string::npos;
    if (!starts) GTEST_SKIP() << "no browser: " << browser() << " does not start here: " << errors();
  }

  // The browser without a window or a network; what it says of itself goes to a file.
  std::string command(const std::string& options) const {
    return fmt::format(
        "timeout 100 '{}' --headless=new --disable-gpu --hide-scrollbars --no-first-run --disable-dev-shm-usage {} "
        "--host-resolver-rules='MAP * ~NOTFOUND' --proxy-server=127.0.0.1:9 --user-data-dir='{}' {} 2>'{}'",
        browser(), ::geteuid() == 0 ? "--no-sandbox" : "", (folder_.path() / "user").string(), options,
        (folder_.path() / "errors").string());
  }
  std::string errors() const { return content(folder_.path() / "errors"); }

  // Opens the page, uses it, and returns what was seen. The picture stays beside the tests as
  // profile_report_<name>.png.
  json open(std::string page, const std::string& name, bool dark, int width = 1100) {
    const std::string use = content(VIGOR_SOURCE_DIR "/tests/profile_report_browser_test.js");
    replace_once(page, "<title>", std::string(kWatch) + "<title>");
    replace_once(page, "</body>", "<script>" + use + "</script></body>");
    write_file(folder_.path() / "report.html", page);
    picture_ = fs::current_path() / ("profile_report_" + name + ".png");
    fs::remove(picture_);
    const std::string dom = output_of(command(fmt::format(
        "--blink-settings=preferredColorScheme={} --window-size={},1400 --screenshot='{}' --dump-dom 'file://{}'",
        dark ? 0 : 1, width, picture_.string(), (folder_.path() / "report.html").string())));
    const std::string start = "<pre id=\"seen\" hidden=\"\">";
    const size_t from = dom.find(start);
    if (from == std::string::npos) throw std::runtime_error("the browser printed no result: " + errors());
    const size_t text = from + start.size();
    return json::parse(unescaped(dom.substr(text, dom.find("</pre>", text) - text)));
  }

  static std::string output_of(const std::string& command) {
    FILE* const pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("test: cannot run the browser");
    std::string out;
    std::array<char, 65536> part;
    for (size_t n = 0; (n = std::fread(part.data(), 1, part.size(), pipe)) > 0;) out.append(part.data(), n);
    ::pclose(pipe);
    return out;
  }

  static std::string content(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  testing::TemporaryFolder folder_;
  fs::path picture_;
};

// How many parts the icicle of a profile has: the step, phases, layers, operations, and the time between operations.
size_t icicle_cells(const Profile& profile) {
  std::set<std::string> parts;
  for (const ProfileEvent& event : profile.timeline) {
    parts.insert(event.phase);
    if (!event.layer.empty()) parts.insert(event.phase + "/" + event.layer);
    parts.insert(event.phase + "/" + event.layer + "/" + event.name);
  }
  return parts.size() + 2;
}

size_t operations_where(const Profile& profile, const std::function<bool(const ProfileOperation&)>& holds) {
  return static_cast<size_t>(std::count_if(profile.operations.begin(), profile.operations.end(), holds));
}

bool on_roofline(const ProfileOperation& row) { return row.seconds > 0 && (row.flops > 0 || row.bytes > 0); }

// The names in the order of `less`; equal ones may stand in any order, so only the names' own order is compared.
std::vector<std::string> names_by_speed(const Profile& profile) {
  std::vector<ProfileOperation> rows = profile.operations;
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.gflops > b.gflops; });
  std::vector<std::string> names;
  for (const ProfileOperation& row : rows) names.push_back(row.name);
  return names;
}

// Nothing went wrong, nothing was loaded, and the page has the colours of the system's theme and of the other one.
void expect_sound(const json& seen, bool dark) {
  EXPECT_EQ(seen.value("faults", json()), json::array());
  EXPECT_EQ(seen.value("requests", -1), 0);
  EXPECT_EQ(seen.value("overlaps", -1), 0) << "names of the roofline cover each other";
  EXPECT_FALSE(seen.value("too_wide", true)) << "the page scrolls sideways";
  EXPECT_FALSE(seen.value("not_numbers", true)) << seen.value("text", "");
  const std::string light_paper = "rgb(255, 255, 255)", dark_paper = "rgb(20, 22, 26)";
  EXPECT_EQ(seen.value("paper", ""), dark ? dark_paper : light_paper);
  EXPECT_EQ(seen.value("paper_toggled", ""), dark ? light_paper : dark_paper);
}

void expect_drawn(const json& drawn, const Profile& profile, const Profile* before) {
  EXPECT_EQ(drawn.value("points", 0u), operations_where(profile, on_roofline));
  EXPECT_EQ(drawn.value("cells", 0u), icicle_cells(profile));
  EXPECT_EQ(drawn.value("samples", 0u), profile.memory.timeline.size());
  EXPECT_EQ(drawn.value("operations", 0u), profile.operations.size());
  EXPECT_EQ(drawn.value("layers", 0u), profile.layers.size());
  EXPECT_EQ(drawn.value("phases", 0u), profile.phases.size());
  EXPECT_EQ(drawn.value("tiles", 0u), 6u);
  if (before == nullptr) {
    EXPECT_EQ(drawn.value("compared", 1u) + drawn.value("joined", 1u) + drawn.value("samples_before", 1u), 0u);
    return;
  }
  std::set<std::string> rows, old_points;
  const auto key = [](const ProfileOperation& row) { return row.name + "|" + row.phase + "|" + row.shapes; };
  for (const ProfileOperation& row : before->operations) {
    rows.insert(key(row));
    if (on_roofline(row)) old_points.insert(key(row));
  }
  for (const ProfileOperation& row : profile.operations) rows.insert(key(row));
  EXPECT_EQ(drawn.value("compared", 0u), rows.size());
  EXPECT_EQ(drawn.value("joined", 0u), operations_where(profile, [&](const ProfileOperation& row) {
              return on_roofline(row) && old_points.count(key(row)) > 0;
            }));
  EXPECT_EQ(drawn.value("samples_before", 0u), before->memory.timeline.size());
}

// Sorting, filtering, the legend, zooming and the keys did what they should.
void expect_usable(const json& seen, const Profile& profile) {
  const std::vector<std::string> by_speed = names_by_speed(profile);
  EXPECT_EQ(seen.value("by_speed", json()), json(by_speed));
  EXPECT_EQ(seen.value("by_speed_up", json()).back(), by_speed.front());
  const json by_name = seen.value("by_name", json::array());
  EXPECT_TRUE(std::is_sorted(by_name.begin() + 1, by_name.end())) << by_name;  // "(between operations)" is first
  EXPECT_EQ(seen.value("filtered", json()), json({"linear", "linear"}));       // forward and backward
  EXPECT_EQ(seen.value("backward", 0u),
            operations_where(profile, [](const auto& row) { return row.phase == "backward"; }));

  EXPECT_EQ(seen.value("points_without_forward", 0u),
            operations_where(profile, [](const auto& row) { return on_roofline(row) && row.phase != "forward"; }));
  EXPECT_EQ(seen.value("points_again", 0u), operations_where(profile, on_roofline));
  EXPECT_TRUE(seen.value("walked", false));
  for (const char* part : {"time a step", "calls", "of its roof"})
    EXPECT_NE(seen.value("note", "").find(part), std::string::npos) << seen.value("note", "");
  EXPECT_TRUE(seen.value("note_gone", false));

  const json zoom = seen.value("zoom", json::array({0, 0, 0}));
  EXPECT_LT(zoom[0], 50);
  EXPECT_EQ(zoom[1], 100);
  EXPECT_EQ(zoom[2], zoom[0]);
  EXPECT_EQ(seen.value("visible_zoomed", 0u), 6u);  // the step, its phase, the layer and its three operations
  EXPECT_EQ(seen.value("visible_again", 0u), icicle_cells(profile));
  EXPECT_NE(seen.value("zoomed_path", "").find("backward › layers.1"), std::string::npos)
      << seen.value("zoomed_path", "");
  EXPECT_EQ(seen.value("below", ""), "linear");  // the longest comes first

  EXPECT_NE(seen.value("reading", "").find("MB, backward › "), std::string::npos) << seen.value("reading", "");
  EXPECT_NE(seen.value("last_reading", "").find("optimizer › adamw_step"), std::string::npos)
      << seen.value("last_reading", "");
}

// Many different bytes in the picture's data: a page of one colour packs into rows of equal ones.
void expect_picture(const std::string& png) {
  ASSERT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  std::string packed;
  for (size_t at = 8; at + 12 <= png.size();) {
    const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(png[at + i])); };
    const size_t nbytes = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    if (png.compare(at + 4, 4, "IDAT") == 0) packed += png.substr(at + 8, nbytes);
    at += nbytes + 12;
  }
  std::string pixels(size_t{32} << 20, '\0');
  uLongf nbytes = pixels.size();
  ASSERT_EQ(::uncompress(reinterpret_cast<Bytef*>(pixels.data()), &nbytes,
                         reinterpret_cast<const Bytef*>(packed.data()), packed.size()),
            Z_OK);
  ASSERT_GT(nbytes, size_t{500} * 1000 * 3);
  EXPECT_GT(std::set<char>(pixels.begin(), pixels.begin() + static_cast<std::ptrdiff_t>(nbytes)).size(), 100u);
}

TEST_F(ProfileReportInBrowser, ShowsAProfileOnALightPage) {
  const Profile profile = ProfileExample().profile();
  const json seen = open(html_report(profile), "light", false);
  expect_sound(seen, false);
  expect_drawn(seen.value("drawn", json::object()), profile, nullptr);
  expect_usable(seen, profile);
  for (const char* part :
       {"example", "GFLOP/s", "Arithmetic bounds the step.", "MB at the start", "vigor profile --model example"})
    EXPECT_NE(seen.value("text", "").find(part), std::string::npos) << part;
  expect_picture(content(picture_));
}

TEST_F(ProfileReportInBrowser, ShowsAProfileOnADarkPage) {
  const Profile profile = ProfileExample().profile();
  const json seen = open(html_report(profile), "dark", true);
  expect_sound(seen, true);
  expect_drawn(seen.value("drawn", json::object()), profile, nullptr);
  expect_picture(content(picture_));
}

TEST_F(ProfileReportInBrowser, ComparesTwoProfiles) {
  const Profile before = ProfileExample().profile(), after = ProfileExample(1.25).profile();
  const json seen = open(html_report(after, &before), "comparison_light", false);
  expect_sound(seen, false);
  expect_drawn(seen.value("drawn", json::object()), after, &before);
  expect_usable(seen, after);
  EXPECT_NE(seen.value("text", "").find("1.25× faster"), std::string::npos) << seen.value("text", "");
  expect_picture(content(picture_));
}

// Operations of other shapes are in only one of the two; on a narrow dark page.
TEST_F(ProfileReportInBrowser, ComparesDifferentModelsOnANarrowPage) {
  const Profile before = ProfileExample(1, 1024).profile(), after = ProfileExample(0.8).profile();
  const json seen = open(html_report(after, &before), "comparison_dark", true, 500);
  expect_sound(seen, true);
  expect_drawn(seen.value("drawn", json::object()), after, &before);
  for (const char* part : {"new", "gone", "1.25× slower"})
    EXPECT_NE(seen.value("text", "").find(part), std::string::npos) << part;
  expect_picture(content(picture_));
}

// Names that try to become markup, no time at all, and nothing to compare with.
TEST_F(ProfileReportInBrowser, ShowsHostileNamesAsText) {
  const std::string name = "</script><img src=x onerror=\"alert(1)\">\xe2\x80\xa8${1}";
  Profile profile, empty;
  profile.model = profile.command = profile.step.verdict = name;
  ProfileOperation& operation = profile.operations.emplace_back();
  operation.name = operation.phase = operation.shapes = operation.dtype = name;
  operation.bytes = 10;
  ProfileLayer& layer = profile.layers.emplace_back();
  layer.name = layer.kind = name;
  profile.phases.emplace_back().name = name;
  ProfileEvent& event = profile.timeline.emplace_back();
  event.name = event.phase = event.layer = event.shapes = name;
  profile.memory.timeline.push_back({0, 0});
  const json seen = open(html_report(profile, &empty), "edges", false);
  expect_sound(seen, false);
  EXPECT_EQ(seen.value("drawn", json::object()).value("images", -1), 0);
  EXPECT_EQ(seen.value("drawn", json::object()).value("operations", -1), 1);
  EXPECT_NE(seen.value("text", "").find("<img src=x onerror=\"alert(1)\">"), std::string::npos)
      << seen.value("text", "");
}

}  // namespace
}  // namespace vigor
