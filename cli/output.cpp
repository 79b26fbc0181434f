#include "cli/output.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::array<std::string_view, 6> kFormats = {"table",  "wide", "json",
                                                      "ndjson", "csv",  "name"};
// Rows that a table measures before it prints; also the most that it holds in memory.
constexpr std::size_t kTablePage = 1000;

// SGR codes; states are words too, so nothing is lost without them.
constexpr std::array<const char*, 4> kToneCodes = {"", "\x1b[32m", "\x1b[33m", "\x1b[31m"};
constexpr const char* kBold = "\x1b[1m";
constexpr const char* kReset = "\x1b[0m";

// Names of files and recipients come from outside: no escape sequence reaches the terminal.
std::string for_terminal(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters too; in UTF-8 they are C2 80 to C2 9F.
    const bool c1 =
        byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    out += byte < 0x20 || byte == 0x7f || c1 ? '?' : text[i];
  }
  return out;
}

void put(std::FILE* file, std::string_view text) {
  // Errors stay in the stream; Output::finish asks for them.
  (void)std::fwrite(text.data(), 1, text.size(), file);
}

std::string number_text(double value) {
  std::string text = Json(value).dump();
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

Json real_json(double value) {
  if (std::abs(value) < 1e15 && value == std::floor(value)) return static_cast<std::int64_t>(value);
  return value;
}

}  // namespace

// The three forms of a value.
struct Rendering {
  static std::string table(const Value& value) {
    return std::visit(
        [](const auto& held) -> std::string {
          using T = std::decay_t<decltype(held)>;
          if constexpr (std::is_same_v<T, std::monostate>) return "-";
          if constexpr (std::is_same_v<T, std::string>)
            return held.empty() ? "-" : for_terminal(held);
          if constexpr (std::is_same_v<T, std::int64_t>) return format_count(held);
          if constexpr (std::is_same_v<T, bool>) return held ? "yes" : "no";
          if constexpr (std::is_same_v<T, WallTime>) return format_time_local(held);
          if constexpr (std::is_same_v<T, Value::Rate>) return format_rate(held.per_second);
          if constexpr (std::is_same_v<T, Value::Real>) return number_text(held.value);
          if constexpr (std::is_same_v<T, Value::Amount>) {
            return format_amount(held.minor, held.currency);
          }
          if constexpr (std::is_same_v<T, Millis>) return format_duration(held);
          if constexpr (std::is_same_v<T, Value::RawJson>) return for_terminal(held.text);
        },
        value.held_);
  }

  static Json json(const Value& value) {
    return std::visit(
        [](const auto& held) -> Json {
          using T = std::decay_t<decltype(held)>;
          if constexpr (std::is_same_v<T, std::string>) return held;
          if constexpr (std::is_same_v<T, std::int64_t>) return held;
          if constexpr (std::is_same_v<T, bool>) return held;
          if constexpr (std::is_same_v<T, WallTime>) return format_time_utc(held);
          if constexpr (std::is_same_v<T, Value::Rate>) return real_json(held.per_second);
          if constexpr (std::is_same_v<T, Value::Real>) return real_json(held.value);
          if constexpr (std::is_same_v<T, Value::Amount>) return held.minor;
          if constexpr (std::is_same_v<T, Millis>) return held.count();
          if constexpr (std::is_same_v<T, Value::RawJson>) {
            return Json::parse(held.text, nullptr, false);
          }
          return nullptr;
        },
        value.held_);
  }

  static std::string csv(const Value& value) {
    // Nearly every cell of a large file; JSON would only be a detour.
    if (const auto* text = std::get_if<std::string>(&value.held_)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value.held_)) {
      return std::to_string(*number);
    }
    const Json form = json(value);
    if (form.is_null()) return "";
    return form.is_string() ? form.get<std::string>() : dump(form);
  }

  // Bytes that are no UTF-8 become U+FFFD: every reader can take what we print.
  static std::string dump(const Json& form, int indent = -1) {
    return form.dump(indent, ' ', false, Json::error_handler_t::replace);
  }
};

Result<Format> format_of(std::string_view word) {
  for (std::size_t i = 0; i < kFormats.size(); ++i) {
    if (kFormats[i] == word) return static_cast<Format>(i);
  }
  return fail(Errc::usage, "\"" + std::string{word} + "\" is no output format",
              "use table, wide, json, ndjson, csv or name");
}

Value Value::rate(std::optional<double> calls_per_second) {
  Value value;
  if (calls_per_second) value.held_ = Rate{*calls_per_second};
  return value;
}
Value Value::real(double number) {
  Value value;
  value.held_ = Real{number};
  return value;
}
Value Value::amount(std::optional<std::int64_t> minor, std::string currency) {
  Value value;
  if (minor) value.held_ = Amount{*minor, std::move(currency)};
  return value;
}
Value Value::duration(std::optional<Millis> duration) {
  Value value;
  if (duration) value.held_ = *duration;
  return value;
}
Value Value::json(std::string text) {
  Value value;
  value.held_ = RawJson{std::move(text)};
  return value;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t codepoint = 0;
    utf8proc_ssize_t n = utf8proc_iterate(at, left, &codepoint);
    if (n <= 0) {
      n = 1;  // a byte that is no UTF-8 is shown as one sign
      ++width;
    } else {
      width += static_cast<std::size_t>(utf8proc_charwidth(codepoint));
    }
    at += n;
    left -= n;
  }
  return width;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string{text};
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

Output::Output(std::FILE* data, std::FILE* messages, OutputOptions options)
    : data_{data}, messages_{messages}, options_{std::move(options)} {}

bool Output::is_for_people() const {
  return options_.format == Format::table || options_.format == Format::wide;
}

// The places of the columns to print: those of --fields, or what the format shows.
Result<std::vector<std::size_t>> Output::choose(std::span<const Column> columns, bool all) const {
  std::vector<std::size_t> places;
  std::vector<std::string> keys;
  for (const Column& column : columns) keys.push_back(column.key);
  for (const std::string& field : options_.fields) {
    const auto found = std::find(keys.begin(), keys.end(), field);
    if (found == keys.end()) {
      const std::string near = nearest(field, keys);
      return fail(Errc::usage, "--fields: there is no field \"" + field + "\"",
                  near.empty() ? "there are " + join(keys, ",") : "did you mean \"" + near + "\"?");
    }
    places.push_back(static_cast<std::size_t>(found - keys.begin()));
  }
  if (!places.empty()) return places;
  all = all || options_.format != Format::table;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (all || columns[i].shown == Shown::always) places.push_back(i);
  }
  return places;
}

Result<Listing> Output::list(std::vector<Column> columns) {
  VOUCH_TRY(auto places, choose(columns, false));
  return Listing{*this, std::move(columns), std::move(places)};
}

std::vector<Column> columns_of(const Record& sample) {
  std::vector<Column> columns;
  for (const Field& field : sample) {
    std::string title = field.title;
    for (char& c : title) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    columns.push_back({field.key, std::move(title), field.shown});
  }
  return columns;
}

std::vector<Value> values_of(Record record) {
  std::vector<Value> values;
  for (Field& field : record) values.push_back(std::move(field.value));
  return values;
}

Listing::Listing(Output& output, std::vector<Column> columns, std::vector<std::size_t> shown)
    : output_{&output}, columns_{std::move(columns)}, shown_{std::move(shown)} {}

// What stands before the first row; not earlier, so that a command which fails before it has a
// row leaves stdout empty.
void Listing::begin() {
  if (output_->format() == Format::json) put(output_->data_, "[");
  if (output_->format() != Format::csv) return;
  std::string line;
  for (const std::size_t i : shown_) {
    if (!line.empty()) line += ',';
    line += csv_field(columns_[i].key);
  }
  put(output_->data_, line + "\r\n");
}

void Listing::row(std::vector<Value> values) {
  VOUCH_ASSERT(values.size() == columns_.size());
  if (rows_ == 0) begin();
  ++rows_;
  std::string line;
  switch (output_->format()) {
    case Format::table:
    case Format::wide:
      page_.push_back(std::move(values));
      if (page_.size() == kTablePage) print_page();
      return;
    case Format::json:
    case Format::ndjson: {
      Json object = Json::object();
      for (const std::size_t i : shown_) object[columns_[i].key] = Rendering::json(values[i]);
      const bool array = output_->format() == Format::json;
      if (array) line = rows_ == 1 ? "\n" : ",\n";
      line += Rendering::dump(object);
      if (!array) line += '\n';
      break;
    }
    case Format::csv:
      for (std::size_t n = 0; n < shown_.size(); ++n) {
        if (n > 0) line += ',';
        line += csv_field(Rendering::csv(values[shown_[n]]));
      }
      line += "\r\n";
      break;
    case Format::name:
      line = Rendering::csv(values.front()) + "\n";
      break;
  }
  put(output_->data_, line);
}

void Listing::print_line(const std::vector<std::string>& cells, const std::vector<Tone>& tones) {
  std::string line;
  const bool header = tones.empty();
  for (std::size_t n = 0; n < cells.size(); ++n) {
    const char* code = header ? kBold : kToneCodes[static_cast<std::size_t>(tones[n])];
    const bool coloured = output_->options_.data_in_colour && *code != '\0';
    if (coloured) line += code;
    line += cells[n];
    if (coloured) line += kReset;
    if (n + 1 == cells.size()) break;
    const std::size_t width = display_width(cells[n]);
    line.append(widths_[n] > width ? widths_[n] - width + 2 : 2, ' ');
  }
  put(output_->data_, line + "\n");
}

void Listing::print_page() {
  std::vector<std::vector<std::string>> lines;
  for (const auto& values : page_) {
    std::vector<std::string>& cells = lines.emplace_back();
    for (const std::size_t i : shown_) cells.push_back(Rendering::table(values[i]));
  }
  if (widths_.empty()) {
    std::vector<std::string> titles;
    for (const std::size_t i : shown_) titles.push_back(columns_[i].title);
    widths_.resize(shown_.size());
    for (std::size_t n = 0; n < shown_.size(); ++n) {
      widths_[n] = display_width(titles[n]);
      for (const auto& cells : lines) widths_[n] = std::max(widths_[n], display_width(cells[n]));
    }
    print_line(titles, {});
  }
  for (std::size_t at = 0; at < page_.size(); ++at) {
    std::vector<Tone> tones;
    for (const std::size_t i : shown_) tones.push_back(page_[at][i].tone_);
    print_line(lines[at], tones);
  }
  page_.clear();
}

void Listing::flush() {
  if (!page_.empty()) print_page();
  (void)std::fflush(output_->data_);
}

void Listing::end(std::string_view empty_note) {
  if (rows_ == 0) begin();
  if (!page_.empty()) print_page();
  if (output_->format() == Format::json) put(output_->data_, rows_ == 0 ? "]\n" : "\n]\n");
  if (rows_ == 0 && !empty_note.empty() && output_->is_for_people()) output_->note(empty_note);
}

Result<void> Output::show(const Record& record) {
  const std::vector<Column> columns = columns_of(record);
  VOUCH_TRY(const auto places, choose(columns, true));
  switch (options_.format) {
    case Format::table:
    case Format::wide:
      show_lines(record, places);
      return {};
    case Format::name:
      put(data_, Rendering::csv(record.front().value) + "\n");
      return {};
    case Format::csv: {
      Listing listing{*this, columns, places};
      listing.row(values_of(record));
      listing.end();
      return {};
    }
    case Format::json:
    case Format::ndjson:
      break;
  }
  Json object = Json::object();
  for (const std::size_t i : places) object[columns[i].key] = Rendering::json(record[i].value);
  put(data_, Rendering::dump(object, options_.format == Format::json ? 2 : -1) + "\n");
  return {};
}

// "Limit:   300/s", one line for each field.
void Output::show_lines(const Record& record, const std::vector<std::size_t>& places) {
  std::size_t width = 0;
  for (const std::size_t i : places) width = std::max(width, display_width(record[i].title));
  for (const std::size_t i : places) {
    const Field& field = record[i];
    const char* code = kToneCodes[static_cast<std::size_t>(field.value.tone_)];
    const bool coloured = options_.data_in_colour && *code != '\0';
    std::string line = field.title + ":";
    line.append(width - display_width(field.title) + 2, ' ');
    if (coloured) line += code;
    line += Rendering::table(field.value);
    if (coloured) line += kReset;
    put(data_, line + "\n");
  }
}

Result<void> Output::changed(std::string_view what, std::string_view done, const Record& record,
                             bool dry_run) {
  VOUCH_ASSERT(!record.empty());
  if (is_for_people()) {
    if (options_.quiet) return {};
    std::string line{what};
    line += " " + Rendering::table(record.front().value);
    line += (dry_run ? " would be " : " ") + std::string{done};
    if (dry_run) line += " (dry run, nothing was changed)";
    put(data_, line + "\n");
    return {};
  }
  if (!dry_run) return show(record);
  Record marked = record;
  marked.push_back({"dry_run", "Dry run", true});
  return show(marked);
}

void Output::text(std::string_view text) {
  put(data_, text);
}

// Data that was printed before stands before the message, where both go to one place.
void Output::say(std::string_view text) {
  (void)std::fflush(data_);
  put(messages_, text);
}

void Output::note(std::string_view message) {
  if (!options_.quiet) say(for_terminal(message) + "\n");
}

void Output::detail(std::string_view message) {
  if (options_.verbose > 0) say(for_terminal(message) + "\n");
}

void Output::warn(std::string_view message) {
  const bool colour = options_.messages_in_colour;
  put(messages_,
      (colour ? "\x1b[33mwarning:\x1b[0m " : "warning: ") + for_terminal(message) + "\n");
}

void Output::error(const Error& error) {
  if (options_.format == Format::json || options_.format == Format::ndjson) {
    Json object = Json::object();
    object["code"] = name_of(error.code);
    object["message"] = error.message;
    object["hint"] = error.hint;
    object["retryable"] = is_retryable(error.code);
    say(Rendering::dump(object) + "\n");
    return;
  }
  const bool colour = options_.messages_in_colour;
  put(messages_,
      (colour ? "\x1b[31merror:\x1b[0m " : "error: ") + for_terminal(error.message) + "\n");
  if (!error.hint.empty()) say("hint: " + for_terminal(error.hint) + "\n");
}

Result<void> Output::finish() {
  errno = 0;
  if (std::fflush(data_) == 0 && std::ferror(data_) == 0) return {};
  const int error_number = errno;
  return fail(Errc::io,
              std::string{"standard output: "} +
                  (error_number == 0 ? "could not be written" : std::strerror(error_number)));
}

}  // namespace vouch::cli
