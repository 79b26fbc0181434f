#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "cli/command_line.hpp"
#include "cli/output.hpp"
#include "cli/settings.hpp"
#include "cli/stop_file.hpp"
#include "cli/terminal.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::cli;

namespace {

// What a program printed, held in memory.
class Capture {
 public:
  Capture() : file_{open_memstream(&data_, &size_)} { REQUIRE(file_ != nullptr); }
  ~Capture() {
    std::fclose(file_);
    std::free(data_);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  [[nodiscard]] std::FILE* file() const { return file_; }
  [[nodiscard]] std::string text() const {
    std::fflush(file_);
    return {data_, size_};
  }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* file_;
};

struct Printer {
  explicit Printer(OutputOptions options) : output{data.file(), messages.file(), options} {}
  Capture data, messages;
  Output output;
};

OutputOptions in(Format format) {
  OutputOptions options;
  options.format = format;
  return options;
}

// Two rows with every kind of value.
std::string listed(OutputOptions options) {
  Printer printer{std::move(options)};
  auto listing = printer.output.list({{"name", "NAME"},
                                      {"count", "COUNT"},
                                      {"at", "AT"},
                                      {"limit_per_second", "LIMIT"},
                                      {"amount_minor", "AMOUNT"},
                                      {"more", "MORE", Shown::wide}});
  if (!listing) return "error: " + listing.error().message + "; " + listing.error().hint;
  listing->row({"a,\"b", std::int64_t{1234567}, from_ms(1'795'334'400'123), Value::rate(427.5),
                Value::amount(1250, "EUR"), Value::json("{\"x\":[1]}")});
  listing->row({"\x1b[31mred\n", Value{}, Value{}, Value::rate({}), Value::amount({}, ""), true});
  listing->end();
  return printer.data.text();
}

struct Line {
  Line() {
    Group client = line.top().group("client", "clients");
    client
        .leaf({.name = "create", .summary = "Make one", .examples = {"a", "b"}},
              [](Session&) -> Result<int> { return 0; })
        .required("NAME", name, "its name")
        .one_of("--lane", lane, {"internal", "external"}, "lane")
        .rate("--limit", limit, "limit")
        .list("--tag", "TAG", tags, "tags")
        .changes();
    client.leaf({.name = "list", .summary = "List", .examples = {"a", "b"}},
                [](Session&) -> Result<int> { return 0; });
  }
  Result<CommandLine::Parsed> parse(std::vector<const char*> words) {
    words.insert(words.begin(), "vouchctl");
    return line.parse(static_cast<int>(words.size()), words.data());
  }
  std::string error(std::vector<const char*> words) {
    const auto parsed = parse(std::move(words));
    if (parsed) return "accepted";
    CHECK(parsed.error().code == Errc::usage);
    return parsed.error().message + " | " + parsed.error().hint;
  }
  CommandLine line;
  std::string name, lane;
  std::optional<double> limit;
  std::vector<std::string> tags;
};

}  // namespace

TEST_CASE("output: JSON is exact and complete, one object for each row") {
  const std::string text = listed(in(Format::json));
  CHECK(text ==
        "[\n"
        R"({"name":"a,\"b","count":1234567,"at":"2026-11-22T08:00:00.123Z",)"
        R"("limit_per_second":427.5,"amount_minor":1250,"more":{"x":[1]}})"
        ",\n"
        R"({"name":"\u001b[31mred\n","count":null,"at":null,"limit_per_second":null,)"
        R"("amount_minor":null,"more":true})"
        "\n]\n");
  CHECK(parse_json(text));
}

TEST_CASE("output: CSV is RFC 4180, names are the first column") {
  CHECK(listed(in(Format::csv)) ==
        "name,count,at,limit_per_second,amount_minor,more\r\n"
        "\"a,\"\"b\",1234567,2026-11-22T08:00:00.123Z,427.5,1250,\"{\"\"x\"\":[1]}\"\r\n"
        "\"\x1b[31mred\n\",,,,,true\r\n");
  CHECK(listed(in(Format::name)) == "a,\"b\n\x1b[31mred\n\n");
}

TEST_CASE("output: a table is aligned, and nothing in it reaches the terminal as a command") {
  const std::string text = listed(in(Format::table));
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("?[31mred?") != std::string::npos);
  CHECK(text.find("1,234,567") != std::string::npos);
  CHECK(text.find("12.50 EUR") != std::string::npos);
  CHECK(text.find("MORE") == std::string::npos);
  CHECK(listed(in(Format::wide)).find("MORE") != std::string::npos);
  CHECK(text.substr(0, text.find('\n')).find("COUNT") ==
        text.substr(text.find('\n') + 1).find("1,234,567"));
}

TEST_CASE("output: wide characters take two columns, and bad bytes do no harm") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("\xe5\xbc\xa0\xe4\xb8\x89") == 4);  // Zhang San
  CHECK(display_width("e\xcc\x81") == 1);                 // a combining accent
  CHECK(display_width("\xff\xfe") == 2);
  Printer printer{in(Format::json)};
  REQUIRE(printer.output.show({{"name", "Name", "\xff"}}));
  CHECK(parse_json(printer.data.text()));
}

TEST_CASE("output: fields are chosen and ordered by name, in every format") {
  OutputOptions options = in(Format::csv);
  options.fields = {"count", "name"};
  CHECK(listed(options).starts_with("count,name\r\n1234567,\"a,\"\"b\"\r\n"));
  options.fields = {"cuont"};
  CHECK(listed(options) == "error: --fields: there is no field \"cuont\"; did you mean \"count\"?");
  options = in(Format::table);
  options.fields = {"more"};
  CHECK(listed(options) == "MORE\n{\"x\":[1]}\nyes\n");
}

TEST_CASE("output: a table longer than a page keeps the widths of the first") {
  Printer printer{in(Format::table)};
  auto listing = printer.output.list({{"n", "N"}, {"m", "M"}});
  REQUIRE(listing);
  for (int i = 0; i < 2500; ++i) listing->row({i, "x"});
  listing->end();
  const std::string text = printer.data.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 2501);
  CHECK(text.ends_with("2,499  x\n"));
}

TEST_CASE("output: a listing without rows is still an answer") {
  for (const auto& [format, want] : {std::pair{Format::json, "[]\n"},
                                     {Format::ndjson, ""},
                                     {Format::csv, "n\r\n"},
                                     {Format::table, ""}}) {
    Printer printer{in(format)};
    auto listing = printer.output.list({{"n", "N"}});
    listing->end("no rows");
    CHECK(printer.data.text() == want);
    CHECK(printer.messages.text() == (format == Format::table ? "no rows\n" : ""));
  }
}

TEST_CASE("output: changes are told in a sentence or as the object") {
  const Record record = {{"name", "Name", "shop"}, {"weight", "Weight", 10}};
  Printer people{in(Format::table)};
  REQUIRE(people.output.changed("client", "created", record));
  REQUIRE(people.output.changed("client", "created", record, true));
  CHECK(people.data.text() ==
        "client shop created\n"
        "client shop would be created (dry run, nothing was changed)\n");
  Printer json{in(Format::ndjson)};
  REQUIRE(json.output.changed("client", "created", record, true));
  CHECK(json.data.text() == "{\"name\":\"shop\",\"weight\":10,\"dry_run\":true}\n");
  OutputOptions silent = in(Format::table);
  silent.quiet = true;
  Printer quiet{silent};
  REQUIRE(quiet.output.changed("client", "created", record));
  quiet.output.note("something");
  CHECK(quiet.data.text().empty());
  CHECK(quiet.messages.text().empty());
}

TEST_CASE("output: errors are two lines for people, one object for programs") {
  const Error error{Errc::busy, "the store is held\x1b[2J", "try again"};
  Printer people{in(Format::table)};
  people.output.error(error);
  CHECK(people.messages.text() == "error: the store is held?[2J\nhint: try again\n");
  Printer json{in(Format::json)};
  json.output.error(error);
  CHECK(json.messages.text() ==
        R"({"code":"busy","message":"the store is held\u001b[2J","hint":"try again",)"
        R"("retryable":true})"
        "\n");
}

TEST_CASE("output: colour marks cells and nothing else") {
  OutputOptions options = in(Format::table);
  options.data_in_colour = true;
  Printer printer{options};
  auto listing = printer.output.list({{"state", "STATE"}, {"n", "N"}});
  listing->row({Value{"held"}.tone(Tone::warn), 1});
  listing->end();
  CHECK(printer.data.text() == "\x1b[1mSTATE\x1b[0m  \x1b[1mN\x1b[0m\n\x1b[33mheld\x1b[0m   1\n");
}

TEST_CASE("output: a full disk behind stdout is an error") {
  std::FILE* full = std::fopen("/dev/full", "w");
  REQUIRE(full != nullptr);
  Output output{full, stderr, in(Format::json)};
  output.text(std::string(100'000, 'x'));
  const auto finished = output.finish();
  REQUIRE_FALSE(finished);
  CHECK(finished.error().code == Errc::io);
  std::fclose(full);
}

TEST_CASE("command line: words that are nearly known are suggested") {
  Line line;
  CHECK(line.error({"clinet", "list"}) ==
        "unknown command \"vouchctl clinet\" | did you mean \"client\"?");
  CHECK(line.error({"client", "lst"}) ==
        "unknown command \"vouchctl client lst\" | did you mean \"list\"?");
  CHECK(line.error({"client", "create", "x", "--lnae", "internal"}) ==
        "unknown option \"--lnae\" | did you mean \"--lane\"?");
  CHECK(line.error({"client", "list", "--ouput=json"}) ==
        "unknown option \"--ouput\" | did you mean \"--output\"?");
  CHECK(line.error({"client", "create", "x", "y"}) ==
        "unexpected argument \"y\" | see `vouchctl client create --help`");
  CHECK(line.error({}) == "a command is missing | see `vouchctl --help`");
  CHECK(line.error({"client"}) ==
        "a command is missing after \"vouchctl client\" | see `vouchctl client --help`");
  CHECK(line.error({"client", "create"}) ==
        "NAME is required | see `vouchctl client create --help`");
}

TEST_CASE("command line: values are checked where they stand") {
  Line line;
  CHECK(line.error({"client", "create", "x", "--lane", "side"}) ==
        "--lane: \"side\" is none of internal, external | see `vouchctl client create --help`");
  CHECK(line.error({"client", "create", "x", "--limit", "3x"}) ==
        "--limit: \"3x\" is not a rate (write calls per second or minute: 300/s, 20/m) | see "
        "`vouchctl client create --help`");
  const auto parsed = line.parse({"client", "create", "x", "--limit=20/m", "--tag", "a,b", "--tag",
                                  "c", "-o", "json", "--store", "/s", "-q", "--dry-run"});
  REQUIRE_MESSAGE(parsed, (parsed ? "" : parsed.error().message));
  CHECK(line.limit == doctest::Approx(20.0 / 60));
  CHECK(line.tags == std::vector<std::string>{"a", "b", "c"});
  CHECK(parsed->options.settings.at("output") == "json");
  CHECK(parsed->options.settings.at("store") == "/s");
  CHECK(parsed->options.dry_run);
  CHECK(parsed->options.quiet);
}

TEST_CASE("command line: options of every command stand before or behind it") {
  Line first;
  CHECK(first.parse({"-o", "csv", "client", "list"})->options.settings.at("output") == "csv");
  Line last;
  CHECK(last.parse({"client", "list", "-o", "csv"})->options.settings.at("output") == "csv");
  Line help;
  const auto text = help.parse({"client", "create", "--help"})->text;
  CHECK(text.find("Usage: vouchctl client create [OPTIONS] NAME") != std::string::npos);
  CHECK(text.find("Examples:\n  a\n  b\n") != std::string::npos);
}

TEST_CASE("command line: the tree tells its commands, options and words") {
  Line line;
  const auto commands = line.line.commands();
  REQUIRE(commands.size() == 4);
  CHECK(commands[0].path.empty());
  CHECK(commands[1].path == "client");
  CHECK_FALSE(commands[1].leaf);
  CHECK(commands[2].path == "client create");
  CHECK(commands[2].leaf);
  CHECK(commands[2].arguments == std::vector<std::string>{"NAME"});
  const auto& options = commands[2].options;
  const auto lane = std::find_if(options.begin(), options.end(),
                                 [](const OptionInfo& o) { return o.name == "--lane"; });
  REQUIRE(lane != options.end());
  CHECK(lane->words == std::vector<std::string>{"internal", "external"});
}

TEST_CASE("settings: a flag beats the named file, which beats the system's, which beats none") {
  test::TemporaryFolder folder;
  std::ofstream{folder / "system"} << "# for all\nstore = /from/system\ninstance=external\n";
  std::ofstream{folder / "named"} << "\n  store = /from/file  \n";
  SettingSources sources{.flags = {{"output", "csv"}},
                         .config_file = folder / "named",
                         .system_file = folder / "system"};
  const Settings settings = Settings::load(sources).value();
  CHECK(settings.value("store") == "/from/file");
  CHECK(settings.value("instance") == "external");
  CHECK(settings.value("output") == "csv");
  CHECK(settings.value("color") == "auto");
  CHECK(settings.all()[0].origin == (folder / "named") + ":2");
  CHECK(settings.all()[2].origin == "flag");
  CHECK(settings.all()[3].origin == "default");
}

TEST_CASE("settings: a file that cannot be understood is no silent default") {
  test::TemporaryFolder folder;
  const auto load = [&](std::string_view text) {
    std::ofstream{folder / "f"} << text;
    return Settings::load({.flags = {}, .config_file = folder / "f", .system_file = "/nonexistent"})
        .error();
  };
  CHECK(load("stor = /x\n").message == (folder / "f") + ":1: unknown key \"stor\"");
  CHECK(load("stor = /x\n").hint == "did you mean \"store\"?");
  CHECK(load("store\n").message == (folder / "f") + ":1: must read `key = value`");
  CHECK(load("store=a\nstore=b\n").message ==
        (folder / "f") + ":2: \"store\" stands twice in this file");
  CHECK(Settings::load({.flags = {}, .config_file = folder / "none", .system_file = "/none"})
            .error()
            .code == Errc::not_found);
}

TEST_CASE("colours: only where somebody sees them, unless asked for") {
  const Terminal both{true, true, true};
  CHECK(colours("always", {}).value().data);
  CHECK_FALSE(colours("never", both).value().messages);
  CHECK_FALSE(colours("auto", {}).value().data);
  CHECK(colours("sometimes", both).error().code == Errc::usage);
}

TEST_CASE("stop file: entries are put, replaced and taken away") {
  test::TemporaryFolder folder;
  const store::StorePaths paths{folder.path().string()};
  REQUIRE(make_folder(paths.control(), 0770));
  CHECK(read_stops(paths).value().empty());
  REQUIRE(add_stop(paths, {"all", "", "alarm", "jo", "2026-11-22T08:00:00Z"}));
  REQUIRE(add_stop(paths, {"client", "shop", "price", "al", "2026-11-22T08:01:00Z"}));
  REQUIRE(add_stop(paths, {"all", "", "louder alarm", "jo", "2026-11-22T08:02:00Z"}));
  const auto stops = read_stops(paths).value();
  REQUIRE(stops.size() == 2);
  CHECK(describe(stops[0]) == "client shop");
  CHECK(stops[1].reason == "louder alarm");
  CHECK_FALSE(remove_stop(paths, "client", "other").value());
  CHECK(remove_stop(paths, "all", "").value()->reason == "louder alarm");
  CHECK(read_stops(paths).value().size() == 1);
}

TEST_CASE("stop file: a damaged one stops everything, and a further stop still works") {
  test::TemporaryFolder folder;
  const store::StorePaths paths{folder.path().string()};
  REQUIRE(make_folder(paths.control(), 0770));
  for (const char* damage : {"{", "[]", "{\"stops\":1}", "{\"stops\":[{\"name\":\"x\"}]}", ""}) {
    CAPTURE(damage);
    std::ofstream{paths.stop_file(), std::ios::trunc} << damage;
    CHECK_FALSE(read_stops(paths));
    CHECK_FALSE(remove_stop(paths, "all", ""));
    REQUIRE(add_stop(paths, {"client", "shop", "price", "al", "now"}));
    const auto stops = read_stops(paths).value();
    REQUIRE(stops.size() == 2);
    CHECK(stops[0].scope == "all");
  }
}
