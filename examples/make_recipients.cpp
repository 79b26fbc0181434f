// make-recipients: partner files of any size, with the mess that offices make.
//
// Deterministic: the same options give the same bytes.  Ten million rows take a few seconds, so
// rows are put together by hand in one buffer.
#include <iconv.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace vouch {
namespace {

constexpr const char* kDescription =
    "Writes a recipient file as a partner would send it, to standard output.\n"
    "Columns: recipient_id,amount,name,city.  The same options give the same bytes.";

constexpr const char* kFooter = R"(
Mess of the whole file (--mess a,b):
  bom         a byte order mark at the front
  semicolons  separated by semicolons
  tabs        separated by tabs
  crlf        lines end in CR LF
  gb18030     encoded in gb18030, with Chinese names
  utf-16      encoded in UTF-16 with a byte order mark, with Chinese names
  chinese     Chinese names, in UTF-8
  numeric     ids are numbers with leading zeros
  lost-zeros  ids are numbers whose leading zeros a spreadsheet has removed
  phones      ids are Chinese mobile numbers, written in four ways
  major       amounts in the major unit: 12.50
  newlines    some names are quoted, with quotes and line breaks in them
  blank-lines an empty line now and then

Bad rows (--bad RATE, --kinds a,b; all kinds when none is said):
  exponent-id  empty-id  long-id  control-id  negative  zero  exponent  comma  full-width  words
  too-large  few-columns  many-columns  quote  blank-row  undecodable (UTF-8 only)

Examples:
  make-recipients --rows 100000 > recipients.csv
  make-recipients --rows 100000 --bad 0.5% --duplicates 1% --counts > messy.csv
  make-recipients --rows 20000 --mess gb18030,semicolons,crlf,newlines > from_the_office.csv
  make-recipients --rows 5000000 --seed 7 | gzip > large.csv.gz
  make-recipients --rows 1000 --bad 100% --kinds comma,exponent-id > all_bad.csv
)";

// splitmix64: small, fast, good enough to look like life.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_{seed} {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  // Of a rate in millionths.
  bool happens(std::uint64_t millionths) { return millionths > 0 && below(1'000'000) < millionths; }

 private:
  std::uint64_t state_;
};

enum class Kind : std::uint8_t {
  exponent_id,
  empty_id,
  long_id,
  control_id,
  negative,
  zero,
  exponent,
  comma,
  full_width,
  words,
  too_large,
  few_columns,
  many_columns,
  quote,
  blank_row,
  undecodable,
};
struct KindName {
  std::string_view name;
  Kind kind;
};
constexpr KindName kKinds[] = {
    {"exponent-id", Kind::exponent_id},   {"empty-id", Kind::empty_id},
    {"long-id", Kind::long_id},           {"control-id", Kind::control_id},
    {"negative", Kind::negative},         {"zero", Kind::zero},
    {"exponent", Kind::exponent},         {"comma", Kind::comma},
    {"full-width", Kind::full_width},     {"words", Kind::words},
    {"too-large", Kind::too_large},       {"few-columns", Kind::few_columns},
    {"many-columns", Kind::many_columns}, {"quote", Kind::quote},
    {"blank-row", Kind::blank_row},       {"undecodable", Kind::undecodable},
};

enum class Ids : std::uint8_t { member, numeric, lost_zeros, phones };

struct Options {
  std::uint64_t rows = 1000;
  std::uint64_t seed = 1;
  std::string bad = "0";
  std::string duplicates = "0";
  std::string conflicting = "0";
  std::vector<std::string> mess;
  std::vector<std::string> kinds;
  bool counts = false;
};

// The options, understood.
struct Shape {
  std::uint64_t rows = 0;
  std::uint64_t seed = 0;
  std::uint64_t bad = 0;          // in millionths, like those below
  std::uint64_t duplicates = 0;   // of rows
  std::uint64_t conflicting = 0;  // of duplicates
  std::vector<Kind> kinds;
  Ids ids = Ids::member;
  char delimiter = ',';
  std::string_view line_end = "\n";
  const char* encoding = nullptr;  // of iconv; null for UTF-8
  bool bom = false;
  bool chinese = false;
  bool major = false;
  bool newlines = false;
  bool blank_lines = false;
};

// --- output -----------------------------------------------------------------------------------

// Gathers text and writes it in large pieces, encoded where that was asked for.
class Output {
 public:
  explicit Output(const char* encoding)
      : handle_{encoding == nullptr ? nullptr : iconv_open(encoding, "UTF-8")} {
    VOUCH_ASSERT(handle_ != reinterpret_cast<iconv_t>(-1));
    text.reserve(kBufferBytes + 4096);
  }
  ~Output() {
    if (handle_ != nullptr) iconv_close(handle_);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // False when the reader has gone or the disk is full.
  [[nodiscard]] bool end_row() { return text.size() < kBufferBytes || flush(); }
  [[nodiscard]] bool flush() {
    const bool is_written = handle_ == nullptr ? write_all(text) : write_encoded();
    text.clear();
    return is_written;
  }

  std::string text;

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{256} * 1024;

  static bool write_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  bool write_encoded() {
    std::string out(text.size() * 2 + 16, '\0');
    char* in = text.data();
    char* to = out.data();
    std::size_t in_left = text.size();
    std::size_t out_left = out.size();
    VOUCH_ASSERT(iconv(handle_, &in, &in_left, &to, &out_left) != static_cast<std::size_t>(-1));
    return write_all({out.data(), out.size() - out_left});
  }

  iconv_t handle_;
};

void put_number(std::string& out, std::uint64_t value, std::size_t digits = 0) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  const auto size = static_cast<std::size_t>(end - buffer);
  if (size < digits) out.append(digits - size, '0');
  out.append(buffer, size);
}

// --- rows -------------------------------------------------------------------------------------

constexpr std::string_view kNames[] = {"Anna", "Bert", "Chen", "Dora", "Emil",  "Faye",
                                       "Gus",  "Hana", "Ivo",  "Jane", "Kenji", "Lena",
                                       "Mei",  "Nils", "Olga", "Pia"};
constexpr std::string_view kChineseNames[] = {"王伟", "李娜", "张敏", "刘洋",
                                              "陈静", "杨磊", "赵丽", "黄强"};
constexpr std::string_view kCities[] = {"Berlin", "Ulm",    "Hamburg", "Bonn",
                                        "Taipei", "Lisbon", "Osaka",   "Leeds"};
constexpr std::string_view kChineseCities[] = {"北京", "上海", "广州", "深圳",
                                               "成都", "杭州", "武汉", "西安"};

// Numbers below 2^33 in an order that looks like none, each once: multiplication by an odd number
// and shifts that fold the upper half in can both be undone.
std::uint64_t shuffled(std::uint64_t number, std::uint64_t seed) {
  constexpr std::uint64_t kMask = (std::uint64_t{1} << 33) - 1;
  std::uint64_t x = (number + seed * 0x9e3779b9) & kMask;
  x = (x * 0x5851f42d) & kMask;
  x ^= x >> 17;
  x = (x * 0x14057b7f) & kMask;
  return x ^ (x >> 16);
}

struct Counts {
  std::uint64_t good = 0;
  std::uint64_t bad = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t conflicting = 0;
  std::uint64_t sum_minor = 0;  // of the good rows
};

class Writer {
 public:
  explicit Writer(const Shape& shape) : shape_{shape}, chance_{shape.seed}, out_{shape.encoding} {}

  [[nodiscard]] bool run() {
    if (shape_.bom) out_.text += "\xef\xbb\xbf";
    for (const std::string_view name : {"recipient_id", "amount", "name", "city"}) {
      if (name != "recipient_id") out_.text += shape_.delimiter;
      out_.text += name;
    }
    out_.text += shape_.line_end;
    for (std::uint64_t i = 0; i < shape_.rows; ++i) {
      put_row(i);
      out_.text += shape_.line_end;
      if (shape_.blank_lines && chance_.below(500) == 0) out_.text += shape_.line_end;
      if (!out_.end_row()) return false;
    }
    return out_.flush();
  }
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  // A good row's facts follow from its number alone, so that a duplicate can be made of any row
  // without keeping it.
  Chance chance_of(std::uint64_t number) const { return Chance{shape_.seed ^ (number << 8)}; }
  bool is_bad(std::uint64_t number) const { return chance_of(number).happens(shape_.bad); }

  void put_row(std::uint64_t number) {
    if (is_bad(number)) {
      ++counts_.bad;
      return put_bad(number, shape_.kinds[chance_.below(shape_.kinds.size())]);
    }
    if (number > 0 && chance_.happens(shape_.duplicates)) {
      const std::uint64_t first = chance_.below(number);
      if (!is_bad(first) && !was_duplicate(first)) return put_duplicate(number, first);
    }
    ++counts_.good;
    put_good(number);
  }

  // A row that was itself written as a duplicate shows another row's id.
  bool was_duplicate(std::uint64_t number) const {
    return std::binary_search(duplicate_rows_.begin(), duplicate_rows_.end(), number);
  }

  void put_duplicate(std::uint64_t number, std::uint64_t first) {
    duplicate_rows_.push_back(number);
    ++counts_.duplicates;
    if (!chance_.happens(shape_.conflicting)) return put_fields(first, amount_of(first));
    ++counts_.conflicting;
    put_fields(first, amount_of(first) + 1);
  }

  void put_good(std::uint64_t number) {
    const std::uint64_t amount = amount_of(number);
    counts_.sum_minor += amount;
    put_fields(number, amount);
  }

  std::uint64_t amount_of(std::uint64_t number) const {
    Chance chance = chance_of(number);
    (void)chance.next();  // decided whether the row is bad
    return 100 + chance.below(9900);
  }

  void put_fields(std::uint64_t number, std::uint64_t amount) {
    put_id(number);
    out_.text += shape_.delimiter;
    put_amount(amount);
    put_rest(number);
  }

  void put_id(std::uint64_t number) {
    const std::uint64_t id = shuffled(number, shape_.seed);
    switch (shape_.ids) {
      case Ids::member:
        out_.text += 'u';
        return put_number(out_.text, id, 10);
      case Ids::numeric:
        return put_number(out_.text, id, 10);
      case Ids::lost_zeros:
        return put_number(out_.text, id);
      case Ids::phones:
        return put_phone(number, number % 4);
    }
  }

  // 13 to 19 and nine digits, each once.
  void put_phone(std::uint64_t number, std::uint64_t way) {
    constexpr std::uint64_t kPhones = 7'000'000'000;
    const std::uint64_t id = (number * 1'000'000'007 + shape_.seed) % kPhones;
    std::string digits = "1";
    put_number(digits, 3'000'000'000 + id);
    if (way == 0) out_.text += digits;
    if (way == 1) out_.text += "+86" + digits;
    if (way == 2) out_.text += "0086 " + digits;
    if (way == 3) {
      out_.text +=
          "+86 " + digits.substr(0, 3) + "-" + digits.substr(3, 4) + "-" + digits.substr(7);
    }
  }

  void put_amount(std::uint64_t minor) {
    if (!shape_.major) return put_number(out_.text, minor);
    put_number(out_.text, minor / 100);
    out_.text += '.';
    put_number(out_.text, minor % 100, 2);
  }

  // Name and city, each with its delimiter before it.
  void put_rest(std::uint64_t number) {
    const std::uint64_t draw = Chance{shape_.seed + number}.next();
    const std::string_view name = shape_.chinese ? kChineseNames[draw % 8] : kNames[draw % 16];
    const std::string_view city =
        shape_.chinese ? kChineseCities[draw >> 8 & 7] : kCities[draw >> 8 & 7];
    const bool is_quoted = shape_.newlines && (draw >> 16) % 64 == 0;
    out_.text += shape_.delimiter;
    if (is_quoted) out_.text += "\"\"\"";
    out_.text += name;
    if (is_quoted) out_.text += "\"\",\n";
    if (!is_quoted) out_.text += ' ';
    put_number(out_.text, draw >> 24 & 1023);
    if (is_quoted) out_.text += '"';
    out_.text += shape_.delimiter;
    out_.text += city;
  }

  // An amount that is none, in an otherwise good row.
  void put_bad_amount(std::uint64_t number, std::string_view amount) {
    put_id(number);
    out_.text += shape_.delimiter;
    out_.text += amount;
    put_rest(number);
  }

  void put_bad_id(std::uint64_t number, std::string_view id) {
    out_.text += id;
    out_.text += shape_.delimiter;
    put_amount(amount_of(number));
    put_rest(number);
  }

  void put_bad(std::uint64_t number, Kind kind) {
    switch (kind) {
      case Kind::exponent_id:
        return put_bad_id(number, "1.38E+10");
      case Kind::empty_id:
        return put_bad_id(number, "");
      case Kind::long_id:
        return put_bad_id(number, std::string(200, 'x'));
      case Kind::control_id:
        return put_bad_id(number,
                          "u\x07"
                          "1234");
      case Kind::negative:
        return put_bad_amount(number, "-500");
      case Kind::zero:
        return put_bad_amount(number, "0");
      case Kind::exponent:
        return put_bad_amount(number, "1e3");
      case Kind::comma:
        return put_bad_amount(number, "\"1,00\"");
      case Kind::full_width:
        return put_bad_amount(number, "１２３");
      case Kind::words:
        return put_bad_amount(number, "ten");
      case Kind::too_large:
        return put_bad_amount(number, "99999999999999");
      case Kind::few_columns:
        return put_id(number);
      case Kind::many_columns:
        put_fields(number, amount_of(number));
        out_.text += shape_.delimiter;
        out_.text += "more";
        return;
      case Kind::quote:
        put_fields(number, amount_of(number));
        out_.text += "\"s";
        return;
      case Kind::blank_row:
        out_.text.append(3, shape_.delimiter);
        return;
      case Kind::undecodable:
        put_fields(number, amount_of(number));
        out_.text += "\xff";
        return;
    }
  }

  const Shape& shape_;
  Chance chance_;
  Output out_;
  Counts counts_;
  std::vector<std::uint64_t> duplicate_rows_;  // ascending
};

// --- options ----------------------------------------------------------------------------------

// "0.5%" or "0.005", in millionths.
Result<std::uint64_t> parse_share(std::string_view text) {
  const bool is_percent = text.ends_with('%');
  const std::string_view number = is_percent ? text.substr(0, text.size() - 1) : text;
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (is_percent) value /= 100;
  if (error != std::errc{} || end != number.data() + number.size() || value < 0 || value > 1) {
    return fail(Errc::usage, "\"" + std::string{text} + "\" is not a share: write 0.5% or 0.005");
  }
  return static_cast<std::uint64_t>(std::llround(value * 1e6));
}

struct Mess {
  std::string_view name;
  void (*apply)(Shape&);
};
constexpr Mess kMess[] = {
    {"bom", [](Shape& shape) { shape.bom = true; }},
    {"semicolons", [](Shape& shape) { shape.delimiter = ';'; }},
    {"tabs", [](Shape& shape) { shape.delimiter = '\t'; }},
    {"crlf", [](Shape& shape) { shape.line_end = "\r\n"; }},
    {"gb18030", [](Shape& shape) { shape.encoding = "GB18030", shape.chinese = true; }},
    {"utf-16", [](Shape& shape) { shape.encoding = "UTF-16LE", shape.bom = shape.chinese = true; }},
    {"chinese", [](Shape& shape) { shape.chinese = true; }},
    {"numeric", [](Shape& shape) { shape.ids = Ids::numeric; }},
    {"lost-zeros", [](Shape& shape) { shape.ids = Ids::lost_zeros; }},
    {"phones", [](Shape& shape) { shape.ids = Ids::phones; }},
    {"major", [](Shape& shape) { shape.major = true; }},
    {"newlines", [](Shape& shape) { shape.newlines = true; }},
    {"blank-lines", [](Shape& shape) { shape.blank_lines = true; }},
};

Result<void> apply_mess(Shape& shape, std::string_view name) {
  for (const Mess& mess : kMess) {
    if (mess.name != name) continue;
    mess.apply(shape);
    return {};
  }
  return fail(Errc::usage, "no mess is called \"" + std::string{name} + "\"; see --help");
}

Result<Kind> kind_of(std::string_view name) {
  for (const KindName& known : kKinds) {
    if (known.name == name) return known.kind;
  }
  return fail(Errc::usage, "no bad row is called \"" + std::string{name} + "\"; see --help");
}

Result<Shape> understand(const Options& options) {
  Shape shape;
  shape.rows = options.rows;
  shape.seed = options.seed;
  VOUCH_TRY(shape.bad, parse_share(options.bad));
  VOUCH_TRY(shape.duplicates, parse_share(options.duplicates));
  VOUCH_TRY(shape.conflicting, parse_share(options.conflicting));
  for (const std::string& mess : options.mess) VOUCH_CHECK(apply_mess(shape, mess));
  for (const std::string& name : options.kinds) {
    VOUCH_TRY(const Kind kind, kind_of(name));
    shape.kinds.push_back(kind);
  }
  for (const KindName& known : kKinds) {
    const bool is_possible = known.kind != Kind::undecodable || shape.encoding == nullptr;
    if (options.kinds.empty() && is_possible) shape.kinds.push_back(known.kind);
  }
  return shape;
}

int run(const Options& options) {
  const auto shape = understand(options);
  if (!shape) {
    std::cerr << "error: " << shape.error().message << "\n";
    return exit_code_of(shape.error().code);
  }
  Writer writer{*shape};
  if (!writer.run()) {
    std::perror("make-recipients: cannot write");
    return 1;
  }
  const Counts& counts = writer.counts();
  if (options.counts) {
    std::cerr << "rows=" << options.rows << " good=" << counts.good << " bad=" << counts.bad
              << " duplicates=" << counts.duplicates << " conflicting=" << counts.conflicting
              << " sum_minor=" << counts.sum_minor << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace vouch

int main(int argc, char** argv) {
  vouch::Options options;
  CLI::App app{vouch::kDescription, "make-recipients"};
  app.footer(vouch::kFooter);
  app.add_option("--rows", options.rows, "Rows behind the header (1000)")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 32));
  app.add_option("--seed", options.seed, "Another number gives another file (1)");
  app.add_option("--bad", options.bad, "Share of bad rows: 0.5%");
  app.add_option("--kinds", options.kinds, "Kinds of bad rows, instead of all")->delimiter(',');
  app.add_option("--duplicates", options.duplicates, "Share of rows whose recipient came before");
  app.add_option("--conflicting", options.conflicting,
                 "Share of the duplicates that have another amount");
  app.add_option("--mess", options.mess, "Mess of the whole file")->delimiter(',');
  app.add_flag("--counts", options.counts, "Say on standard error what was written");
  CLI11_PARSE(app, argc, argv);
  return vouch::run(options);
}
