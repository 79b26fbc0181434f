// vouchctl recipients: partners' files, imported and sealed.
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/commands.hpp"
#include "cli/import_list.hpp"
#include "cli/job_view.hpp"
#include "cli/recipient_display.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/store/csv_writer.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr int kPageRows = 1000;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
const std::string kNameHelp = "name or id of the list";

// Names of campaigns by id, for lists that were checked against one.
Result<std::string> campaign_name(Session& session, ObjectId campaign) {
  if (campaign == 0) return std::string{};
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto row, control->campaign(format_id(ObjectKind::campaign, campaign)));
  return row.definition.name;
}

Result<int> import_file(Session& session, const ImportOptions& options) {
  VOUCH_TRY(ImportedList imported, seal_list(session, options, DryRunSeals::nothing));
  tell_findings(session, imported);
  if (!imported.summary.refusal) VOUCH_CHECK(register_list(session, options, imported));
  VOUCH_TRY(const std::string campaign, campaign_name(session, imported.list.campaign));
  Output& out = session.out();
  const bool for_people = out.is_for_people();
  Record record = record_of(imported.list, campaign, for_people);
  record.push_back({"existed", "Existed", imported.existed, Shown::wide});
  if (imported.summary.refusal) {
    if (!for_people) VOUCH_CHECK(out.show(record));
    return tl::unexpected<Error>(*imported.summary.refusal);
  }
  const char* done = imported.existed ? "is there already" : "imported";
  VOUCH_CHECK(out.changed("list", done, record, session.dry_run()));
  if (for_people && !session.quiet()) VOUCH_CHECK(out.show(record));
  return 0;
}

Result<int> list_all(Session& session, bool deleted_too) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto rows, control->lists());
  const bool for_people = session.out().is_for_people();
  const auto row_of = [&](const store::ListRow& row) -> Result<Record> {
    VOUCH_TRY(const std::string campaign, campaign_name(session, row.campaign));
    Record record = record_of(row, campaign, for_people);
    for (Field& field : record) {
      const bool wide = field.key == "amounts" || field.key == "digest" || field.key == "took_ms" ||
                        field.key == "conflicting" || field.key == "rows" ||
                        (field.key == "deleted_at" && !deleted_too);
      if (wide) field.shown = Shown::wide;
    }
    return record;
  };
  VOUCH_TRY(Record sample, row_of({}));
  VOUCH_TRY(Listing listing, session.out().list(columns_of(sample)));
  for (const store::ListRow& row : rows) {
    if (row.deleted && !deleted_too) continue;
    VOUCH_TRY(Record record, row_of(row));
    listing.row(values_of(std::move(record)));
  }
  listing.end("no lists; import one with `vouchctl recipients import FILE --name NAME`");
  return 0;
}

Result<int> show(Session& session, const std::string& name) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::ListRow row, control->list(name));
  VOUCH_TRY(const std::string campaign, campaign_name(session, row.campaign));
  VOUCH_CHECK(session.out().show(record_of(row, campaign, session.out().is_for_people())));
  return 0;
}

struct RejectsOptions {
  std::string name;
  bool duplicates = false;
  bool reveal = false;
};

Result<store::SealedList> open_list(Session& session, const store::ListRow& row) {
  if (row.deleted) {
    return fail(Errc::not_found, "the list " + row.name + " was deleted: its rows are gone",
                "its counts are still there: vouchctl recipients show " + row.name);
  }
  return store::SealedList::open(session.paths().list_file(row.digest));
}

// The refused rows as a file like the partner's own, to be mended and imported again.
Result<void> print_rejects_file(Session& session, store::SealedList& list) {
  const store::ListMeta& meta = list.meta();
  std::vector<std::string> fields{std::string{store::kRejectLineColumn},
                                  std::string{store::kRejectErrorColumn}};
  for (const store::ListColumn& column : meta.columns) fields.push_back(column.name);
  std::string text{kByteOrderMark};
  store::append_csv_row(text, fields, meta.delimiter);
  std::int64_t after = 0;
  while (true) {
    VOUCH_TRY(auto rows, list.rejects(after, kPageRows));
    for (store::RejectedRow& row : rows) {
      fields = std::move(row.fields);
      const std::string where = row.column.empty() ? "" : row.column + ": ";
      fields.insert(fields.begin(), {std::to_string(row.line), where + row.message});
      store::append_csv_row(text, fields, meta.delimiter);
      after = row.line;
    }
    session.out().text(text);
    text.clear();
    if (rows.empty()) return {};
  }
}

Result<void> list_rejects(Session& session, store::SealedList& list) {
  VOUCH_TRY(Listing listing, session.out().list({{"line", "LINE"},
                                                 {"column", "COLUMN"},
                                                 {"code", "CODE"},
                                                 {"message", "MESSAGE"},
                                                 {"fields", "FIELDS", Shown::wide}}));
  std::int64_t after = 0;
  while (true) {
    VOUCH_TRY(const auto rows, list.rejects(after, kPageRows));
    if (rows.empty()) break;
    for (const store::RejectedRow& row : rows) {
      const std::string fields =
          Json(row.fields).dump(-1, ' ', false, Json::error_handler_t::replace);
      listing.row({row.line, row.column, row.code, row.message, Value::json(fields)});
      after = row.line;
    }
  }
  listing.end("no row was refused");
  return {};
}

Result<void> list_duplicates(Session& session, store::SealedList& list,
                             const RecipientDisplay& display) {
  VOUCH_TRY(Listing listing, session.out().list({{"line", "LINE"},
                                                 {"first_line", "FIRST LINE"},
                                                 {"recipient", "RECIPIENT"},
                                                 {"conflicting", "CONFLICTING"}}));
  std::int64_t after = 0;
  while (true) {
    VOUCH_TRY(const auto rows, list.duplicates(after, kPageRows));
    if (rows.empty()) break;
    for (const store::DuplicateRow& row : rows) {
      listing.row({row.line, row.first_line, display.of(row.recipient_id), row.is_conflicting});
      after = row.line;
    }
  }
  listing.end("no recipient stands in the file twice");
  return {};
}

Result<int> rejects(Session& session, const RejectsOptions& options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::ListRow row, control->list(options.name));
  VOUCH_TRY(store::SealedList list, open_list(session, row));
  VOUCH_TRY(const auto display,
            RecipientDisplay::choose(session, options.reveal, "list " + row.name));
  const OutputOptions& output = session.out().options();
  if (options.duplicates) {
    VOUCH_CHECK(list_duplicates(session, list, display));
  } else if (output.format == Format::csv && output.fields.empty()) {
    VOUCH_CHECK(print_rejects_file(session, list));
  } else {
    VOUCH_CHECK(list_rejects(session, list));
  }
  return 0;
}

// A list is needed as long as a row of a job over it may still change.
Result<void> check_unused(Session& session, const store::ListRow& row) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(const auto views, board.all());
  for (const JobView& view : views) {
    if (view.list_id != row.id || view.is_settled()) continue;
    return fail(
        Errc::conflict,
        "the list " + row.name + " is still needed by " + view.id() + ", which is " + view.state(),
        view.is_at_rest()
            ? "it has rows in doubt or held: see `vouchctl job show " + view.id() + "`"
            : "wait for it, or cancel it: vouchctl job cancel " + view.id());
  }
  return {};
}

Result<void> remove_file(Session& session, const store::ListRow& row) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto still_known, control->list_by_digest(row.digest));
  if (still_known) return {};  // imported under another name too
  const std::string path = session.paths().list_file(row.digest);
  if (std::remove(path.c_str()) != 0 && errno != ENOENT) {
    return fail(Errc::not_permitted, path + ": " + std::strerror(errno),
                "run this again as the account that imported it, or as the store's owner");
  }
  return sync_folder(session.paths().recipients());
}

Result<int> remove(Session& session, const std::string& name) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(store::ListRow row, control->list(name));
  VOUCH_CHECK(check_unused(session, row));
  if (!actor.dry_run && !row.deleted) {
    VOUCH_CHECK(session.require_yes("delete the rows of the list " + row.name + " (" +
                                    format_count(row.accepted) + " recipients) for ever?"));
  }
  VOUCH_CHECK(control->mark_list_deleted(actor, row.id));
  if (!actor.dry_run) VOUCH_CHECK(remove_file(session, row));
  if (!row.deleted) row.deleted = actor.now;
  VOUCH_TRY(const std::string campaign, campaign_name(session, row.campaign));
  VOUCH_CHECK(session.out().changed(
      "list", "deleted", record_of(row, campaign, session.out().is_for_people()), actor.dry_run));
  return 0;
}

void add_import(Group& group) {
  auto options = std::make_shared<ImportOptions>();
  Arguments arguments = group.leaf(
      {.name = "import",
       .summary = "Check a partner's CSV file and seal it as a recipient list",
       .description =
           "The header must have the column recipient_id (or --map one to it) and what the "
           "campaign's items ask for; other columns are kept.  All or nothing unless --on-error "
           "skip: exit 7 then means that nothing was imported.  The same name and content again "
           "is the same list, exit 0; other content under the name is refused with exit 6.",
       .examples = {"vouchctl recipients import november.csv --campaign birthday "
                    "--amount-unit major --name november-2 --again",
                    "vouchctl recipients import november.csv --name checked --dry-run -o json"}},
      [options](Session& session) { return import_file(session, *options); });
  arguments.required("FILE", options->file, "the partner's file; - is standard input")
      .required_option("--name", "NAME", options->name, "what to call the list")
      .option("--campaign", "C", options->campaign,
              "check columns and amounts against what this campaign asks for")
      .number("--min-rows", "N", options->rows_min, 0, INT64_MAX,
              "refuse a file with fewer good rows (exit 7)");
  add_import_arguments(arguments, *options);
  arguments.changes();
}

void add_views(Group& group) {
  auto deleted_too = std::make_shared<bool>(false);
  group
      .leaf({.name = "list",
             .summary = "List the recipient lists",
             .examples = {"vouchctl recipients list",
                          "vouchctl recipients list --deleted -o csv --fields name,accepted"}},
            [deleted_too](Session& session) { return list_all(session, *deleted_too); })
      .flag("--deleted", *deleted_too, "also those whose rows were deleted");

  auto shown = std::make_shared<std::string>();
  group
      .leaf({.name = "show",
             .summary = "Show what an import found",
             .examples = {"vouchctl recipients show november",
                          "vouchctl recipients show november -o json"}},
            [shown](Session& session) { return show(session, *shown); })
      .required("LIST", *shown, kNameHelp);

  auto options = std::make_shared<RejectsOptions>();
  group
      .leaf({.name = "rejects",
             .summary = "Give the refused rows of a list back",
             .description = "With -o csv they come as a file like the partner's own, whole, with "
                            "two columns before its own that say where and why; mended, it can be "
                            "imported as it is.",
             .examples = {"vouchctl recipients rejects november -o csv",
                          "vouchctl recipients rejects november --duplicates"}},
            [options](Session& session) { return rejects(session, *options); })
      .required("LIST", options->name, kNameHelp)
      .flag("--duplicates", options->duplicates,
            "instead: rows whose recipient stands on an earlier line")
      .flag("--reveal", options->reveal, kRevealHelp);
}

}  // namespace

void add_recipients_commands(CommandLine& line) {
  Group group = line.top().group("recipients", "Partners' files, imported and sealed");
  add_import(group);
  add_views(group);
  auto deleted = std::make_shared<std::string>();
  group
      .leaf({.name = "delete",
             .summary = "Delete the rows of a list for ever",
             .description = "Ids and attributes are gone then; counts, digest and the ledger stay. "
                            " Refused with exit 6 while a job over the list is not settled.",
             .examples = {"vouchctl recipients delete november --dry-run",
                          "vouchctl recipients delete november --yes"}},
            [deleted](Session& session) { return remove(session, *deleted); })
      .required("LIST", *deleted, kNameHelp)
      .changes();
}

}  // namespace vouch::cli
