#pragma once
// Curves as SVG files that any browser opens, on a light or a dark page.
#include <filesystem>
#include <string>
#include <vector>

namespace vigor {

struct PlotPoint {
  double x = 0, y = 0;
  double low = 0, high = 0;  // the spread around y, drawn as a band or bar; equal to y: none
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;  // by x
  bool line = true;               // joined, the spread as a band; else single dots, the spread as a bar
  bool dots = false;              // also dots on the line
};

struct PlotOptions {
  std::string title, x_label, y_label;
  bool log_x = false;   // x > 0
  double y_from_x = 0;  // the y axis covers the points from this x on; a steep beginning may leave the picture
};

// The series over each other, the legend on the right in the order of the last values. Points that are not finite are
// left out.
std::string plot_svg(const std::vector<PlotSeries>& series, const PlotOptions& options);

// The loss curve of a run, from the JSON lines of MetricsLog; lines of another form are passed over. The training loss
// is a line and the held-out loss dots over the steps, with the last value of each in the legend.
std::string training_plot_svg(const std::filesystem::path& metrics_file, const std::string& title);

}  // namespace vigor
