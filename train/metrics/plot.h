#pragma once
// The loss curve of a run as an SVG file that any browser opens, drawn from metrics.jsonl.
#include <filesystem>
#include <string>

namespace vigor {

// Reads the JSON lines of MetricsLog; lines of another form are passed over. Returns the SVG text: the training loss as
// a line and the held-out loss as dots over the steps, with the last value of each written at its end.
std::string training_plot_svg(const std::filesystem::path& metrics_file, const std::string& title);

}  // namespace vigor
