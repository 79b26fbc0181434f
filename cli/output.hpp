// output.hpp: what commands print, in the format that was asked for.
//
// Data goes to stdout, everything else to stderr.  A Listing streams: a table measures its first
// page and keeps those widths; the other formats print row by row.  Text is made safe for a
// terminal in tables (control characters shown as "?"), and is exact in JSON and CSV.
//
// Threads: main's.
// Units:   JSON and CSV hold times as UTC ISO 8601, rates as calls per second, money in minor
//          units; tables show local times with their offset, "427.5/s" and "12.50 EUR".
// Errors:  usage for an unknown field; io when stdout cannot be written (Output::finish).
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"

namespace vouch::cli {

enum class Format : std::uint8_t { table, wide, json, ndjson, csv, name };
[[nodiscard]] Result<Format> format_of(std::string_view word);

// Colours a cell where there is colour; never the only sign.
enum class Tone : std::uint8_t { plain, good, warn, bad };

// One cell.
class Value {
 public:
  Value() = default;  // nothing: null in JSON, empty in CSV, "-" in tables
  Value(std::string text) : held_{std::move(text)} {}
  Value(std::string_view text) : held_{std::string{text}} {}
  Value(const char* text) : held_{std::string{text}} {}
  Value(std::int64_t number) : held_{number} {}  // 1,234,567 in tables
  Value(int number) : held_{std::int64_t{number}} {}
  Value(bool flag) : held_{flag} {}  // yes or no in tables
  Value(WallTime time) : held_{time} {}
  template <typename T>
  Value(const std::optional<T>& value) {
    if (value) *this = Value{*value};
  }
  [[nodiscard]] static Value rate(std::optional<double> calls_per_second);
  [[nodiscard]] static Value real(double value);
  [[nodiscard]] static Value amount(std::optional<std::int64_t> minor, std::string currency);
  [[nodiscard]] static Value duration(std::optional<Millis> duration);  // milliseconds in JSON
  [[nodiscard]] static Value json(std::string text);  // raw JSON: objects and arrays

  Value&& tone(Tone tone) && {
    tone_ = tone;
    return std::move(*this);
  }

 private:
  friend class Output;
  friend class Listing;
  friend struct Rendering;
  struct Rate {
    double per_second;
  };
  struct Real {
    double value;
  };
  struct Amount {
    std::int64_t minor;
    std::string currency;
  };
  struct RawJson {
    std::string text;
  };
  std::variant<std::monostate, std::string, std::int64_t, bool, WallTime, Rate, Real, Amount,
               Millis, RawJson>
      held_;
  Tone tone_ = Tone::plain;
};

enum class Shown : std::uint8_t { always, wide };  // wide: not in the plain table

struct Column {
  std::string key;    // of JSON and CSV, and for --fields: "limit_per_second"
  std::string title;  // of tables: "LIMIT"
  Shown shown = Shown::always;
};

// One object: what `show` prints, whole, and what a change leaves behind; also a row of a list.
// The first field is its name.
struct Field {
  std::string key;
  std::string title;
  Value value;
  Shown shown = Shown::always;
};
using Record = std::vector<Field>;
// A list of records: the columns of any of them, titles in capitals, and one's values.
[[nodiscard]] std::vector<Column> columns_of(const Record& sample);
[[nodiscard]] std::vector<Value> values_of(Record record);

class Output;

// Rows being printed.  Every row has one Value for each column.
class Listing {
 public:
  Listing(Listing&&) noexcept = default;
  void row(std::vector<Value> values);
  // Prints what is held back and hands it to the reader at once: before a wait.
  void flush();
  // Ends the listing; `empty_note` is said on stderr when there was no row.
  void end(std::string_view empty_note = {});

 private:
  friend class Output;
  Listing(Output& output, std::vector<Column> columns, std::vector<std::size_t> shown);
  void begin();
  void print_page();
  void print_line(const std::vector<std::string>& cells, const std::vector<Tone>& tones);

  Output* output_;
  std::vector<Column> columns_;
  std::vector<std::size_t> shown_;  // indices of columns_, in the order to print
  std::vector<std::vector<Value>> page_;
  std::vector<std::size_t> widths_;
  std::int64_t rows_ = 0;
};

struct OutputOptions {
  Format format = Format::table;
  std::vector<std::string> fields;
  bool quiet = false;
  int verbose = 0;
  bool data_in_colour = false;
  bool messages_in_colour = false;
};

class Output {
 public:
  Output(std::FILE* data, std::FILE* messages, OutputOptions options);

  [[nodiscard]] Format format() const { return options_.format; }
  // True for table and wide: somebody reads it.
  [[nodiscard]] bool is_for_people() const;

  [[nodiscard]] Result<Listing> list(std::vector<Column> columns);
  [[nodiscard]] Result<void> show(const Record& record);
  // A change that was made: "client shop created" in tables, or nothing there with --quiet; the
  // record in the other formats.  `what` is "client", `done` is "created".
  [[nodiscard]] Result<void> changed(std::string_view what, std::string_view done,
                                     const Record& record, bool dry_run = false);
  // Text as it is, on stdout, for what has no rows: completion scripts.
  void text(std::string_view text);

  // On stderr: not with --quiet; only with --verbose; always.
  void note(std::string_view message);
  void detail(std::string_view message);
  void warn(std::string_view message);
  void error(const Error& error);

  // Flushes; io when anything could not be written.
  [[nodiscard]] Result<void> finish();

  [[nodiscard]] const OutputOptions& options() const { return options_; }
  [[nodiscard]] std::FILE* messages() const { return messages_; }

 private:
  friend class Listing;
  [[nodiscard]] Result<std::vector<std::size_t>> choose(std::span<const Column> columns,
                                                        bool all) const;
  void say(std::string_view text);
  void show_lines(const Record& record, const std::vector<std::size_t>& places);
  std::FILE* data_;
  std::FILE* messages_;
  OutputOptions options_;
};

// How many columns of a terminal the text takes; wide characters take two.
[[nodiscard]] std::size_t display_width(std::string_view text);

// The field of a CSV line (RFC 4180): quoted where it must be.
[[nodiscard]] std::string csv_field(std::string_view text);

}  // namespace vouch::cli
