// vouchctl downstream outcomes: what answers mean, tried out and changed.
#include "cli/outcome_commands.hpp"

#include <unistd.h>

#include <cstdlib>

#include "cli/outcome_words.hpp"
#include "cli/session.hpp"
#include "common/environment.hpp"
#include "common/files.hpp"
#include "common/plan/reply_reading.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kFileBytesMax = 1024 * 1024;

struct TestOptions {
  std::string name;
  std::string file;
  std::string table_file;
  std::optional<std::int64_t> status;
  std::string body_file;
  std::string content_type = "application/json";
  std::string request_id;
  std::optional<std::int64_t> amount_minor;
  std::string currency;
  bool asks = false;
};

using Table = std::vector<plan::OutcomeRule>;

Result<Table> parse_table(const std::string& text, bool asks) {
  return asks ? plan::parse_query_outcomes(text) : plan::parse_outcomes(text);
}

Result<Table> read_table(Session& session, const std::string& file, bool asks) {
  VOUCH_TRY(const std::string text, session.read_input(file, kFileBytesMax));
  auto table = parse_table(text, asks);
  if (!table) return within(name_of_input(file), table.error());
  return table;
}

Result<void> require_query(const plan::Downstream& downstream) {
  if (downstream.query) return {};
  return fail(Errc::usage, "\"" + downstream.name + "\" cannot be asked: it has no query",
              "leave out --query, or say how to ask: vouchctl downstream update " +
                  downstream.name + " --query-url URL --query-outcomes FILE");
}

Table& table_to_change(plan::Downstream& downstream, bool asks) {
  return asks ? downstream.query->outcomes : downstream.outcomes;
}

// The definition that the answer is held to.
Result<plan::Downstream> definition_to_test(Session& session, const TestOptions& options) {
  if (options.name.empty() == options.file.empty()) {
    return fail(Errc::usage, "one of DOWNSTREAM and --file is required",
                "such as: vouchctl downstream outcomes test coupons --status 422 --body -");
  }
  plan::Downstream definition;
  if (options.file.empty()) {
    VOUCH_TRY(store::ControlStore * control, session.control());
    VOUCH_TRY(const store::DownstreamRow row, control->downstream(options.name));
    definition = row.definition;
  } else {
    VOUCH_TRY(const std::string text, session.read_input(options.file, kFileBytesMax));
    auto parsed = plan::parse_downstream(text);
    if (!parsed) return within(name_of_input(options.file), parsed.error());
    definition = std::move(*parsed);
  }
  if (options.asks) VOUCH_CHECK(require_query(definition));
  if (options.table_file.empty()) return definition;
  VOUCH_TRY(table_to_change(definition, options.asks),
            read_table(session, options.table_file, options.asks));
  return definition;
}

Record record_of(const plan::Downstream& downstream, const TestOptions& options,
                 const plan::ReplyReading& reading) {
  const plan::OutcomeRule* rule =
      reading.row ? &plan::table_of(downstream, options.asks)[*reading.row] : nullptr;
  const int status = reading.result_status.value_or(static_cast<int>(*options.status));
  const bool issued = reading.outcome == Outcome::issued;
  return {{"name", "Name", downstream.name},
          {"http_status", "HTTP status", status},
          {"outcome", "Outcome", plan::word_of(reading.outcome)},
          {"decided_by", "Decided by", decided_by(downstream, reading, status, options.asks)},
          {"rule", "Rule", rule == nullptr ? Value{} : Value{int(*reading.row) + 1}, Shown::wide},
          {"pointer", "Pointer", rule == nullptr ? Value{} : Value{rule->pointer}, Shown::wide},
          {"value", "Value", rule == nullptr ? Value{} : Value{rule->value}, Shown::wide},
          {"detail", "Detail", issued ? Value{} : Value{reading.detail}},
          {"reference", "Reference", issued ? Value{reading.reference} : Value{}},
          {"follows", "What follows", consequence(downstream, reading.outcome, options.asks)}};
}

Result<void> check(const TestOptions& options) {
  if (!options.status) {
    return fail(Errc::usage, "--status is required", "the answer's HTTP status, such as 422");
  }
  if (options.amount_minor.has_value() == options.currency.empty()) {
    return fail(Errc::usage, "--amount-minor and --currency go together");
  }
  if (options.body_file == "-" && (options.file == "-" || options.table_file == "-")) {
    return fail(Errc::usage, "standard input can be read once", "name a file for the other");
  }
  return {};
}

plan::ReplyReading reading_of(const plan::Downstream& downstream, const TestOptions& options,
                              const plan::Reply& reply) {
  plan::CallFacts call{.request_id = options.request_id,
                       .amount_minor = options.amount_minor,
                       .currency = options.currency,
                       .asks = options.asks};
  plan::ReplyReader reader;
  plan::ReplyReading reading = reader.read(downstream, reply, call);
  const std::string* told = reader.value(downstream.id_pointer);
  if (!options.request_id.empty() || told == nullptr) return reading;
  // Nobody said which call it was: then it is the one that the answer is about.
  const std::string request_id = *told;
  call.request_id = request_id;
  return reader.read(downstream, reply, call);
}

// One line for each result, or for the call that was named.
Result<void> list_results(Session& session, const plan::Downstream& downstream,
                          const TestOptions& options, const plan::Reply& reply) {
  plan::ReplyReader reader;
  std::vector<std::string> ids = reader.calls_in(downstream, reply);
  if (!options.request_id.empty()) ids = {options.request_id};
  if (ids.empty()) {
    session.out().note("the answer holds no results: so it would be for each of its calls");
    ids.emplace_back();
  }
  std::vector<plan::CallFacts> calls;
  for (const std::string& id : ids) {
    calls.push_back(
        {.request_id = id, .amount_minor = options.amount_minor, .currency = options.currency});
  }
  const auto readings = reader.read_batch(downstream, reply, calls);
  const auto record = [&](std::size_t i) {
    Record out = record_of(downstream, options, readings[i]);
    out.front() = {"request_id", "Request id", ids[i]};
    return out;
  };
  VOUCH_TRY(Listing listing, session.out().list(columns_of(record(0))));
  for (std::size_t i = 0; i < ids.size(); ++i) listing.row(values_of(record(i)));
  listing.end();
  return {};
}

void note_amount(Session& session, const TestOptions& options) {
  if (options.amount_minor) return;
  session.out().note("the amount was not looked at; give --amount-minor and --currency for that");
}

Result<int> test(Session& session, const TestOptions& options) {
  VOUCH_CHECK(check(options));
  VOUCH_TRY(const plan::Downstream definition, definition_to_test(session, options));
  std::string body;
  if (!options.body_file.empty()) {
    VOUCH_TRY(body, session.read_input(options.body_file, kFileBytesMax));
  }
  const plan::Reply reply{.status = static_cast<int>(*options.status),
                          .content_type = options.content_type,
                          .body = body};
  if (definition.batch && !options.asks) {
    VOUCH_CHECK(list_results(session, definition, options, reply));
    note_amount(session, options);
    return 0;
  }
  const plan::ReplyReading reading = reading_of(definition, options, reply);
  VOUCH_CHECK(session.out().show(record_of(definition, options, reading)));
  if (reading.outcome == Outcome::issued) note_amount(session, options);
  return 0;
}

struct EditOptions {
  std::string name;
  std::string file;
  bool asks = false;
};

// A file with the table, for an editor; nobody else may read or change it.
Result<std::string> write_draft(const Table& table) {
  std::string path = environment("TMPDIR").value_or("/tmp") + "/vouch-outcomes-XXXXXX";
  const bool quotable = path.find('\'') == std::string::npos;  // see run_editor
  const FileDescriptor file{quotable ? ::mkstemp(path.data()) : -1};
  if (!file.is_open()) return fail(Errc::io, path + ": cannot be made", "set TMPDIR to a folder");
  VOUCH_CHECK(write_all(file, plan::to_json_lines(table), path));
  return path;
}

Result<void> run_editor(const std::string& path) {
  std::string editor = environment("VISUAL").value_or("");
  if (editor.empty()) editor = environment("EDITOR").value_or("");
  if (editor.empty()) editor = "vi";
  // As git and crontab do: the variable may hold options, and the path is no part of the words.
  const std::string command = "set -- '" + path + "'; " + editor + " \"$@\"";
  if (std::system(command.c_str()) == 0) return {};
  return fail(Errc::failure, "the editor \"" + editor + "\" failed; nothing was changed",
              "your text is in " + path + "; name another editor in EDITOR");
}

Result<Table> edited(Session& session, const Table& before, bool asks) {
  if (!session.terminal().in || !session.terminal().out) {
    return fail(Errc::usage, "an editor needs a terminal, and there is none",
                "give the new table: --file FILE");
  }
  VOUCH_TRY(const std::string path, write_draft(before));
  VOUCH_CHECK(run_editor(path));
  VOUCH_TRY(const std::string text, read_file(path, kFileBytesMax));
  auto table = parse_table(text, asks);
  if (!table) {
    Error error = table.error();
    error.hint =
        "nothing was changed; your text is in " + path + ": mend it and give it with " + "--file";
    return within(path, std::move(error));
  }
  ::unlink(path.c_str());
  return table;
}

Result<int> edit(Session& session, const EditOptions& options) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(store::DownstreamRow row, control->downstream(options.name));
  if (options.asks) VOUCH_CHECK(require_query(row.definition));
  Table& table = table_to_change(row.definition, options.asks);
  const int before = row.version;
  VOUCH_TRY(table, options.file.empty() ? edited(session, table, options.asks)
                                        : read_table(session, options.file, options.asks));
  VOUCH_TRY(row, control->update_downstream(actor, row, "downstream outcomes edit"));
  const auto rules =
      static_cast<std::int64_t>(table_to_change(row.definition, options.asks).size());
  const std::string done = row.version == before ? "unchanged: the table says what it said before"
                                                 : "has version " + std::to_string(row.version) +
                                                       " with " + std::to_string(rules) + " rules";
  VOUCH_CHECK(session.out().changed("downstream", done,
                                    {{"name", "Name", row.definition.name},
                                     {"version", "Version", row.version},
                                     {"changed", "Changed", row.version != before},
                                     {"rules", "Rules", rules}},
                                    session.dry_run()));
  return 0;
}

void add_test(Group& group) {
  auto options = std::make_shared<TestOptions>();
  group
      .leaf({.name = "test",
             .summary = "Say how an answer would be classed, by which rule, and what follows",
             .description = "Nothing is called or changed.  Without --request-id the answer is "
                            "taken to be about the call that it names; one to a batch is taken "
                            "apart, a line for each result.",
             .examples = {"vouchctl downstream outcomes test coupons --status 503",
                          "echo '{\"code\":\"BLOCKED\"}' | vouchctl downstream outcomes test "
                          "coupons --outcomes outcomes.json --status 422 --body -"}},
            [options](Session& session) { return test(session, *options); })
      .optional("DOWNSTREAM", options->name, "name or id of the downstream, unless --file is given")
      .option("-f,--file", "FILE", options->file, "a definition as JSON that is in no store yet")
      .option("--outcomes", "FILE", options->table_file, "a table to try in the place of its own")
      .number("--status", "N", options->status, 100, 599, "of the answer")
      .option("--body", "FILE", options->body_file, "the answer's body, or - for standard input")
      .option("--content-type", "TYPE", options->content_type, "of the answer (application/json)")
      .option("--request-id", "ID", options->request_id, "of the call")
      .number("--amount-minor", "N", options->amount_minor, 1, plan::kAmountMinorMax,
              "what the call was to give")
      .option("--currency", "CODE", options->currency, "of that amount")
      .flag("--query", options->asks, "the answer to a query, by the queries' table");
}

void add_edit(Group& group) {
  auto options = std::make_shared<EditOptions>();
  group
      .leaf({.name = "edit",
             .summary = "Change a downstream's outcome table: a new version of its definition",
             .description = "From a file, or in an editor on a terminal.  The table is checked "
                            "first.  Calls that are out, or in doubt, keep the version they began "
                            "with.",
             .examples = {"vouchctl downstream outcomes edit coupons --file outcomes.json",
                          "vouchctl downstream outcomes edit balances --file outcomes.json "
                          "--dry-run"}},
            [options](Session& session) { return edit(session, *options); })
      .required("DOWNSTREAM", options->name, "name or id of the downstream")
      .option("-f,--file", "FILE", options->file, "the new table as JSON, or - for standard input")
      .flag("--query", options->asks, "the table for the answers to queries")
      .changes();
}

}  // namespace

void add_outcome_commands(Group& downstream) {
  Group group = downstream.group("outcomes", "What a downstream's answers mean");
  add_test(group);
  add_edit(group);
}

}  // namespace vouch::cli
