// The file format of a profile. Each struct lists its fields once, for writing and for reading.
#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/check.h"
#include "tensor/file.h"
#include "train/profile/profile.h"

namespace vigor {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "vigor-profile-1";

// ---- the fields ----
// `f` is a Writer or a Reader; S is the struct, const for a Writer.

template <class F, class S>
void bandwidth_fields(F& f, S& s) {
  f("bytes", s.bytes);
  f("gb_s", s.gb_s);
}

template <class F, class S>
void machine_fields(F& f, S& s) {
  f("cpu", s.cpu);
  f("isa", s.isa);
  f("fma_gflops", s.fma_gflops);
  f("read_gb_s", s.read_gb_s);
  f("copy_gb_s", s.copy_gb_s);
  f.list("reads", s.reads, [](auto& g, auto& item) { bandwidth_fields(g, item); });
}

template <class F, class S>
void step_fields(F& f, S& s) {
  f("seconds", s.seconds);
  f("unprofiled_seconds", s.unprofiled_seconds);
  f("tokens_per_s", s.tokens_per_s);
  f("flops", s.flops);
  f("bytes", s.bytes);
  f("ideal_seconds", s.ideal_seconds);
  f("bound", s.bound);
  f("verdict", s.verdict);
}

template <class F, class S>
void operation_fields(F& f, S& s) {
  f("name", s.name);
  f("phase", s.phase);
  f("shapes", s.shapes);
  f("dtype", s.dtype);
  f("calls", s.calls);
  f("seconds", s.seconds);
  f("median_s", s.median_s);
  f("share", s.share);
  f("flops", s.flops);
  f("bytes", s.bytes);
  f("gflops", s.gflops);
  f("gb_s", s.gb_s);
  f("intensity", s.intensity);
  f("roofline", s.roofline);
  f("bound", s.bound);
  f("peak_bytes", s.peak_bytes);
}

template <class F, class S>
void layer_fields(F& f, S& s) {
  f("name", s.name);
  f("kind", s.kind);
  f("forward_s", s.forward_s);
  f("backward_s", s.backward_s);
  f("recompute_s", s.recompute_s);
  f("optimizer_s", s.optimizer_s);
  f("flops", s.flops);
  f("bytes", s.bytes);
}

template <class F, class S>
void phase_fields(F& f, S& s) {
  f("name", s.name);
  f("seconds", s.seconds);
  f("share", s.share);
  f("flops", s.flops);
  f("bytes", s.bytes);
}

template <class F, class S>
void memory_fields(F& f, S& s) {
  f("start_bytes", s.start_bytes);
  f("peak_bytes", s.peak_bytes);
  f("peak_operation", s.peak_operation);
  f("peak_layer", s.peak_layer);
  f.points("timeline", s.timeline);
}

template <class F, class S>
void event_fields(F& f, S& s) {
  f("name", s.name);
  f("phase", s.phase);
  f("layer", s.layer);
  f("shapes", s.shapes);
  f("start", s.start);
  f("seconds", s.seconds);
  f("flops", s.flops);
  f("bytes", s.bytes);
  f("thread", s.thread);
}

template <class F, class S>
void profile_fields(F& f, S& s) {
  f("command", s.command);
  f("model", s.model);
  f("mode", s.mode);
  f("device", s.device);
  f("dtype", s.dtype);
  f("batch", s.batch);
  f("seq", s.seq);
  f("steps", s.steps);
  f("threads", s.threads);
  f.object("machine", s.machine, [](auto& g, auto& item) { machine_fields(g, item); });
  f.object("step", s.step, [](auto& g, auto& item) { step_fields(g, item); });
  f.list("operations", s.operations, [](auto& g, auto& item) { operation_fields(g, item); });
  f.list("layers", s.layers, [](auto& g, auto& item) { layer_fields(g, item); });
  f.list("phases", s.phases, [](auto& g, auto& item) { phase_fields(g, item); });
  f.object("memory", s.memory, [](auto& g, auto& item) { memory_fields(g, item); });
  f.list("timeline", s.timeline, [](auto& g, auto& item) { event_fields(g, item); });
}

// ---- writing ----

class Writer {
 public:
  Json json = Json::object();

  template <class T>
  void operator()(const char* name, const T& value) {
    json[name] = value;
  }
  template <class S, class Fields>
  void object(const char* name, const S& value, Fields fields) {
    Writer inner;
    fields(inner, value);
    json[name] = std::move(inner.json);
  }
  template <class S, class Fields>
  void list(const char* name, const std::vector<S>& items, Fields fields) {
    Json& array = json[name] = Json::array();
    for (const S& item : items) {
      Writer inner;
      fields(inner, item);
      array.push_back(std::move(inner.json));
    }
  }
  void points(const char* name, const std::vector<ProfileMemory::Point>& points) {
    Json& array = json[name] = Json::array();
    for (const ProfileMemory::Point& point : points) array.push_back({point.seconds, point.bytes});
  }
};

// ---- reading ----

class Reader {
 public:
  // `place` begins messages: "file.json: operations[3].".
  Reader(const Json& json, std::string place) : json_(json), place_(std::move(place)) {
    if (!json.is_object()) fail("{}: must be an object; got {}", trimmed(), json.type_name());
  }

  void operator()(const char* name, std::string& value) {
    const Json& field = at(name);
    if (!field.is_string()) wrong(name, "a string", field);
    value = field.get<std::string>();
  }
  void operator()(const char* name, double& value) { value = number(name, at(name)); }
  void operator()(const char* name, int64_t& value) {
    const Json& field = at(name);
    const double real = number(name, field);
    if (!(real >= 0 && real < 1e15)) wrong(name, "a whole number from 0 to 10^15", field);
    value = static_cast<int64_t>(real);
  }
  template <class S, class Fields>
  void object(const char* name, S& value, Fields fields) {
    Reader inner(at(name), place_ + name + ".");
    fields(inner, value);
  }
  template <class S, class Fields>
  void list(const char* name, std::vector<S>& items, Fields fields) {
    const Json& array = array_at(name);
    items.resize(array.size());
    for (size_t i = 0; i < array.size(); ++i) {
      Reader inner(array[i], fmt::format("{}{}[{}].", place_, name, i));
      fields(inner, items[i]);
    }
  }
  void points(const char* name, std::vector<ProfileMemory::Point>& points) {
    for (const Json& pair : array_at(name)) {
      if (!pair.is_array() || pair.size() != 2) wrong(name, "a list of pairs [seconds, bytes]", pair);
      points.push_back({number(name, pair[0]), number(name, pair[1])});
    }
  }

 private:
  const Json& at(const char* name) const {
    const auto field = json_.find(name);
    if (field == json_.end()) fail("{}{}: is missing", place_, name);
    return *field;
  }
  const Json& array_at(const char* name) const {
    const Json& field = at(name);
    if (!field.is_array()) wrong(name, "a list", field);
    return field;
  }
  double number(const char* name, const Json& field) const {
    if (!field.is_number() || !std::isfinite(field.get<double>())) wrong(name, "a finite number", field);
    return field.get<double>();
  }
  [[noreturn]] void wrong(const char* name, const char* wanted, const Json& field) const {
    const std::string got = field.is_structured() ? field.type_name() : field.dump(-1, ' ', false, kReplace);
    fail("{}{}: must be {}; got {}", place_, name, wanted, printable(got, 40));
  }
  std::string trimmed() const {  // without the dot or space at its end
    return place_.substr(0, place_.find_last_not_of(". :") + 1);
  }

  static constexpr auto kReplace = Json::error_handler_t::replace;
  const Json& json_;
  std::string place_;
};

}  // namespace

std::string to_json(const Profile& profile) {
  Writer writer;
  writer("format", std::string(kFormat));
  profile_fields(writer, profile);
  return writer.json.dump(-1, ' ', false, Json::error_handler_t::replace);  // a command line may hold any bytes
}

Profile profile_from_json(std::string_view text, std::string_view origin) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) fail("{}: is not valid JSON", origin);
  Reader reader(json, std::string(origin) + ": ");
  std::string format;
  reader("format", format);
  check(format == kFormat, "{}: format must be {}; got {}", origin, kFormat, printable(format, 40));
  Profile profile;
  profile_fields(reader, profile);
  return profile;
}

}  // namespace vigor
