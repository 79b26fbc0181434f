#include <doctest/doctest.h>
#include <zlib.h>

#include <fstream>
#include <string>
#include <vector>

#include "common/store/csv_reader.hpp"
#include "common/store/csv_writer.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::store;
using namespace std::string_literals;

namespace {

struct Read {
  std::int64_t line = 0;
  CsvFault fault = CsvFault::none;
  std::vector<std::string> fields;
  bool operator==(const Read&) const = default;
};

struct Text {
  Error error;  // of the source, if it failed
  std::string encoding;
  std::vector<Read> records;
};

Text read_file(const std::string& path, char delimiter, const std::string& encoding) {
  auto input = InputFile::open(path);
  if (!input) return {.error = input.error(), .encoding = {}, .records = {}};
  auto decoder = TextDecoder::open(std::move(*input), encoding);
  if (!decoder) return {.error = decoder.error(), .encoding = {}, .records = {}};
  Text text{.error = {}, .encoding = decoder->encoding(), .records = {}};
  CsvReader reader{std::move(*decoder), delimiter};
  while (true) {
    const auto more = reader.next();
    if (!more) text.error = more.error();
    if (!more || !*more) return text;
    const CsvRecord& record = reader.record();
    text.records.push_back(
        {record.line, record.fault, {record.fields.begin(), record.fields.end()}});
  }
}

Text read(const std::string& content, char delimiter = ',', const std::string& encoding = "") {
  const test::TemporaryFolder folder;
  std::ofstream{folder / "in.csv", std::ios::binary} << content;
  return read_file(folder / "in.csv", delimiter, encoding);
}

std::string gzipped(const std::string& content) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string in = content;
  std::string out(content.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

constexpr auto kNone = CsvFault::none;

}  // namespace

TEST_CASE("csv_reader: records are read as RFC 4180 says, with the lines where they start") {
  struct Case {
    const char* name;
    std::string text;
    std::vector<Read> want;
  };
  const Case cases[] = {
      {"nothing", "", {}},
      {"plain", "a,b\nc,d\n", {{1, kNone, {"a", "b"}}, {2, kNone, {"c", "d"}}}},
      {"no line end at the end", "a,b\nc,d", {{1, kNone, {"a", "b"}}, {2, kNone, {"c", "d"}}}},
      {"CR LF", "a,b\r\nc,d\r\n", {{1, kNone, {"a", "b"}}, {2, kNone, {"c", "d"}}}},
      {"empty fields", ",\n,a,\n", {{1, kNone, {"", ""}}, {2, kNone, {"", "a", ""}}}},
      {"empty field at the very end", "a,", {{1, kNone, {"a", ""}}}},
      {"empty lines are passed over", "\n\na\n\r\n\nb\n", {{3, kNone, {"a"}}, {6, kNone, {"b"}}}},
      {"quotes", "\"a,b\",\"\"\n", {{1, kNone, {"a,b", ""}}}},
      {"a lone empty quoted field is a record", "\"\"\n\"\"", {{1, kNone, {""}}, {2, kNone, {""}}}},
      {"doubled quotes", "\"a \"\"b\"\"\",\"\"\"\"\n", {{1, kNone, {"a \"b\"", "\""}}}},
      {"quoted line breaks",
       "\"a\nb\r\nc\",d\ne\n",
       {{1, kNone, {"a\nb\r\nc", "d"}}, {4, kNone, {"e"}}}},
      {"blanks belong to the field", " a , b\n", {{1, kNone, {" a ", " b"}}}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CHECK(read(c.text).records == c.want);
  }
}

TEST_CASE("csv_reader: a faulty record is told, and reading goes on at the next physical line") {
  struct Case {
    const char* name;
    std::string text;
    CsvFault fault;
    std::vector<std::string> fields;
  };
  const Case cases[] = {
      {"quote inside a field", "a,b\"c\nd,e\n", CsvFault::stray_quote, {"a", "b\"c"}},
      {"text behind a closing quote", "a,\"b\"c\nd,e\n", CsvFault::stray_quote, {"a", "\"b\"c"}},
      {"blank behind a closing quote", "a,\"b\" \nd,e\n", CsvFault::stray_quote, {"a", "\"b\" "}},
      {"quote never closed", "a,\"b\nd,e\n", CsvFault::unterminated_quote, {"a", "\"b"}},
      {"lone CR", "a,b\rc\nd,e\n", CsvFault::carriage_return, {"a", "b\rc"}},
      {"lone CR behind a quote", "a,\"b\"\rc\nd,e\n", CsvFault::carriage_return, {"a", "\"b\"\rc"}},
      {"NUL", "a,b\0c\nd,e\n"s, CsvFault::nul_byte, {"a", "b\0c"s}},
      {"NUL in quotes", "a,\"b\0c\"\nd,e\n"s, CsvFault::nul_byte, {"a", "\"b\0c\""s}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const auto records = read(c.text).records;
    REQUIRE(records.size() == 2);
    CHECK(records[0] == Read{1, c.fault, c.fields});
    CHECK(records[1] == Read{2, kNone, {"d", "e"}});
  }
}

TEST_CASE("csv_reader: a forgotten quote does not swallow the rows behind it") {
  const auto records = read("h\na,\"b\nc,\"d\"\ne,f\n").records;
  REQUIRE(records.size() == 4);
  CHECK(records[1] == Read{2, CsvFault::stray_quote, {"a", "\"b"}});
  CHECK(records[2] == Read{3, kNone, {"c", "d"}});
  CHECK(records[3] == Read{4, kNone, {"e", "f"}});
}

TEST_CASE("csv_reader: limits of field, record and columns hold exactly") {
  const auto first_fault = [](const std::string& text) { return read(text).records.at(0).fault; };
  const std::string field(kCsvFieldBytesMax, 'x');
  CHECK(first_fault(field + "\n") == kNone);
  CHECK(first_fault(field + "x\n") == CsvFault::field_too_long);
  CHECK(first_fault("\"" + field + "\"\n") == kNone);
  CHECK(first_fault("\"" + field + "x\"\n") == CsvFault::unterminated_quote);

  std::string columns;
  for (std::size_t i = 1; i < kCsvColumnsMax; ++i) columns += ',';
  CHECK(first_fault(columns + "\n") == kNone);
  CHECK(first_fault(columns + ",\n") == CsvFault::too_many_columns);

  std::string record;
  while (record.size() + field.size() + 1 <= kCsvRecordBytesMax) record += field + ",";
  CHECK(first_fault(record + "\nnext\n") == kNone);
  for (const std::size_t fields : {1, 100}) {  // 100: far beyond the reader's buffer
    std::string longer = record;
    for (std::size_t i = 0; i < fields; ++i) longer += field + ",";
    const auto records = read(longer + "\nnext\n").records;
    REQUIRE(records.size() == 2);
    CHECK(records[0].fault == CsvFault::record_too_long);
    CHECK(records[1] == Read{2, kNone, {"next"}});
  }
}

// Goal: where the buffer happens to end makes no difference.  Method: rows of all shapes behind
// a first record of every length around the size in which the reader reads.
TEST_CASE("csv_reader: a record cut by the buffer's end reads like any other") {
  const std::string tail = "\"q,\n\"\"q\"\"\",é\r\nlast,row\r\n";
  const std::vector<std::string> fields{"q,\n\"q\"", "é"};
  for (std::size_t padding = 128 * 1024 - 40; padding < 128 * 1024 + 8; ++padding) {
    CAPTURE(padding);
    std::string text;
    while (text.size() < padding) {
      text += std::string(std::min<std::size_t>(padding - text.size(), 100) - 1, 'x') + "\n";
    }
    const auto records = read(text + tail).records;
    REQUIRE(records.size() >= 2);
    CHECK(records[records.size() - 2].fields == fields);
    CHECK(records.back().fields == std::vector<std::string>{"last", "row"});
    CHECK(records.back().line == records[records.size() - 2].line + 2);
  }
}

TEST_CASE("csv_writer: what it writes, the reader reads back") {
  const std::vector<std::string> fields{"", "a", " b ", "c;d", "e\"f", "g\nh", "i\r", "1,5"};
  for (const char delimiter : {',', ';', '\t'}) {
    std::string text;
    append_csv_row(text, fields, delimiter);
    const auto records = read(text, delimiter).records;
    REQUIRE(records.size() == 1);
    CHECK(records[0].fields == fields);
  }
  std::string lone;
  append_csv_row(lone, std::vector<std::string>{""}, ',');
  CHECK(read(lone).records.size() == 1);
}

TEST_CASE("text_decoder: a byte order mark decides, else the operator's encoding") {
  const std::vector<std::string> want{"é", "中"};
  const auto fields = [](const Text& text) { return text.records.at(0).fields; };
  CHECK(fields(read("é,中\n")) == want);
  CHECK(fields(read("\xef\xbb\xbfé,中\n")) == want);
  CHECK(fields(read("\xef\xbb\xbfé,中\n", ',', "gb18030")) == want);
  CHECK(fields(read("\xff\xfe\xe9\x00,\x00\x2d\x4e\n\x00"s)) == want);
  CHECK(fields(read("\xfe\xff\x00\xe9\x00,\x4e\x2d\x00\n"s)) == want);
  CHECK(fields(read("\xe9\x00,\x00\x2d\x4e\n\x00"s, ',', "UTF-16LE")) == want);
  CHECK(fields(read("\xa8\xa6,\xd6\xd0\n", ',', "gb18030")) == want);
  CHECK(fields(read("\xe9,x\n", ',', "windows-1252")).at(0) == "é");
  CHECK(read("a\n", ',', "utf8").encoding == "UTF-8");
  CHECK(read("a\n", ',', "klingon").error.code == Errc::usage);
  CHECK(read("a\n", ',', "ascii//TRANSLIT").error.code == Errc::usage);
}

TEST_CASE("text_decoder: a byte that cannot be decoded keeps its row and names itself") {
  struct Case {
    const char* name;
    std::string text;
    std::string encoding;
    std::uint8_t byte;
    std::string replaced;
  };
  const Case cases[] = {
      {"UTF-8", "a\xffz,b\nc,d\n", "", 0xff, "a\xef\xbf\xbdz"},
      {"UTF-8, cut short", "a\xe4\xb8,b\nc,d\n", "", 0xe4, "a\xef\xbf\xbd\xef\xbf\xbd"},
      {"gb18030", "a\xff\xffz,b\nc,d\n", "gb18030", 0xff, "a\xef\xbf\xbd\xef\xbf\xbdz"},
      {"windows-1252", "a\x81z,b\nc,d\n", "windows-1252", 0x81, "a\xef\xbf\xbdz"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const auto records = read(c.text, ',', c.encoding).records;
    REQUIRE(records.size() == 2);
    const std::string field = records[0].fields.at(0);
    const auto bad = find_undecodable(field);
    REQUIRE(bad);
    CHECK(bad->offset == 1);
    CHECK(bad->byte == c.byte);
    CHECK(replace_undecodable(field) == c.replaced);
    CHECK(records[1].fields == std::vector<std::string>{"c", "d"});
  }
  // A file that ends in the middle of a letter.
  const auto cut = read("ab,\xd6", ',', "gb18030").records;
  REQUIRE(cut.size() == 1);
  CHECK(find_undecodable(cut[0].fields.at(1))->byte == 0xd6);
  const auto odd = read("\xff\xfe\x61\x00,"s).records;
  REQUIRE(odd.size() == 1);
  CHECK(odd[0].fields.at(0).starts_with("a"));
}

TEST_CASE("input_file: gzip is known by its first bytes, members follow each other") {
  const auto lines = [](const std::string& content) { return read(content).records.size(); };
  CHECK(lines(gzipped("a,b\nc,d\n")) == 2);
  CHECK(lines(gzipped("a,b\n") + gzipped("c,d\n")) == 2);
  CHECK(lines(gzipped("a,b\n") + std::string(100, '\0')) == 1);
  CHECK(lines(gzipped("")) == 0);
  std::string large;
  for (int i = 0; i < 200'000; ++i) large += std::to_string(i) + ",x\n";
  CHECK(lines(gzipped(large)) == 200'000);
}

TEST_CASE("input_file: what is no CSV file at all is refused with what it is") {
  const std::string packed = gzipped(std::string(10'000, 'a') + "\n");
  struct Case {
    const char* name;
    std::string content;
    std::string message;
  };
  const Case cases[] = {
      {"cut short", packed.substr(0, packed.size() / 2), "end too early"},
      {"damaged", packed.substr(0, 12) + "\xff\xff\xff" + packed.substr(15), "damaged"},
      {"rubbish behind", packed + "rubbish", "damaged"},
      {"xlsx", "PK\x03\x04 and so on", ".xlsx"},
      {"xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ".xls"},
      {"pdf", "%PDF-1.4", "PDF"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Text text = read(c.content);
    CHECK(text.error.code == Errc::invalid);
    CHECK(text.error.message.find(c.message) != std::string::npos);
    CHECK_FALSE(text.error.hint.empty());
  }
  const test::TemporaryFolder folder;
  CHECK(read_file(folder / "absent.csv", ',', "").error.code == Errc::not_found);
  CHECK(read_file(folder.path().string(), ',', "").error.code == Errc::invalid);
}

TEST_CASE("input_file: a file that changes while it is read is not taken for the whole") {
  const test::TemporaryFolder folder;
  std::ofstream{folder / "in.csv"} << "a,b\n";
  auto input = InputFile::open(folder / "in.csv");
  REQUIRE(input);
  std::ofstream{folder / "in.csv", std::ios::app} << "c,d\n";
  char buffer[100];
  Result<std::size_t> n = 1;
  while (n && *n > 0) n = input->read(buffer);
  REQUIRE_FALSE(n);
  CHECK(n.error().code == Errc::busy);
}
