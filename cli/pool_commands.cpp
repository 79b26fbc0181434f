// vouchctl pool: redemption codes to hand out, made or imported, sealed.
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/import_list.hpp"
#include "cli/pool_export.hpp"
#include "cli/pool_view.hpp"
#include "cli/run_lock.hpp"
#include "cli/session.hpp"
#include "common/files.hpp"
#include "common/store/code_importer.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

const std::string kNameHelp = "name or id of the pool";

struct CreateOptions {
  std::string name;
  std::optional<std::int64_t> low_water;
  std::string key_file;
};

// The key that is there, or a new one where none is.
Result<store::PoolKey> key_for_new_pool(Session& session, const std::string& path) {
  if (path_exists(path)) return store::PoolKey::read(path);
  auto made = store::PoolKey::create(path, session.random());
  if (made) {
    session.out().note("made " + path +
                       ", the key of the pools: keep a safe copy of it away from the store's; "
                       "without it no code can be read again");
    return made;
  }
  Error error = made.error();
  error.hint =
      "name a file that you can make: --key-file FILE, and set pool-key to it for "
      "vouchctl and vouchd";
  return tl::unexpected<Error>(std::move(error));
}

// One setting names one key: a pool under another could not be read beside the others.
Result<void> check_same_key(store::ControlStore& control, const store::PoolKey& key) {
  VOUCH_TRY(const auto pools, control.pools());
  for (const store::PoolRow& pool : pools) {
    VOUCH_CHECK(key.check(pool.fingerprint, "the pool " + pool.name));
  }
  return {};
}

Result<int> create(Session& session, const CreateOptions& options) {
  VOUCH_CHECK(plan::check_name("pool", options.name));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  const std::string& setting = session.settings().value("pool-key");
  const std::string& path = options.key_file.empty() ? setting : options.key_file;
  store::PoolRow row;
  row.name = options.name;
  row.low_water = options.low_water.value_or(0);
  if (!actor.dry_run || path_exists(path)) {
    VOUCH_TRY(const store::PoolKey key, key_for_new_pool(session, path));
    VOUCH_CHECK(check_same_key(*control, key));
    row.fingerprint = key.fingerprint();
  }
  VOUCH_TRY(row, control->create_pool(actor, row, session.random()));
  VOUCH_TRY(const PoolView view, PoolView::of(session, row));
  VOUCH_CHECK(session.out().changed("pool", "created", view.record(), actor.dry_run));
  if (path != setting) {
    session.out().note("set pool-key = " + path + " in vouchctl.conf and vouchd.conf (or " +
                       "VOUCH_POOL_KEY): the setting names " + setting);
  }
  return 0;
}

// A run that adds codes to a pool: nobody else adds meanwhile, and its key is the right one.
struct Filling {
  RunLock lock;
  store::PoolRow pool;
  store::PoolKey key;
};

Result<Filling> begin_filling(Session& session, const std::string& name) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::PoolRow known, control->pool(name));
  VOUCH_TRY(RunLock lock,
            RunLock::for_pool(session.paths(), known.name, Millis{0}, session.clock()));
  VOUCH_TRY(store::PoolRow pool, control->pool(known.name));  // as it is under the lock
  VOUCH_TRY(store::PoolKey key, store::PoolKey::read(session.settings().value("pool-key")));
  VOUCH_CHECK(key.check(pool.fingerprint, "the pool " + pool.name));
  return Filling{std::move(lock), std::move(pool), std::move(key)};
}

store::PoolPlace place_of(Session& session, const Filling& filling, Progress& progress) {
  return {.folder = session.paths().pools(),
          .pool = filling.pool,
          .key = filling.key,
          .random = session.random(),
          .clock = session.clock(),
          .observe = [&session, &progress](std::int64_t done, std::int64_t total) {
            progress.update(done, total, "", session.clock().now());
          }};
}

// The sealed file becomes part of the pool, or goes again.
Result<store::PoolRow> register_segment(Session& session, const store::Actor& actor,
                                        const store::PoolRow& pool, const store::SegmentMeta& meta,
                                        std::string content, std::string source) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  auto row = control->add_segment(actor, pool.id,
                                  {.digest = meta.digest,
                                   .codes = meta.codes,
                                   .origin = meta.origin,
                                   .content = std::move(content),
                                   .source = std::move(source)});
  if (!row) (void)std::remove(session.paths().pool_file(meta.digest).c_str());
  return row;
}

Result<void> show_filled(Session& session, const store::PoolRow& pool, const char* done,
                         Record more) {
  VOUCH_TRY(const PoolView view, PoolView::of(session, pool));
  Record record = view.record();
  for (Field& field : more) record.push_back(std::move(field));
  Output& out = session.out();
  VOUCH_CHECK(out.changed("pool", done, record, session.dry_run()));
  if (out.is_for_people() && !session.quiet()) VOUCH_CHECK(out.show(record));
  return {};
}

struct GenerateOptions {
  std::string name;
  std::optional<std::int64_t> count;
  std::optional<std::int64_t> up_to;
  std::optional<std::int64_t> letters;
  store::CodeForm::Options form;
};

Result<std::int64_t> codes_wanted(const GenerateOptions& options, const store::PoolRow& pool) {
  if (options.count.has_value() == options.up_to.has_value()) {
    return fail(Errc::usage, "one of --count N and --up-to N says how many codes to make");
  }
  if (options.count) return *options.count;
  return std::min(store::kCodesMax, std::max<std::int64_t>(0, *options.up_to - pool.codes()));
}

Result<int> generate(Session& session, const GenerateOptions& options) {
  store::CodeForm::Options wanted = options.form;
  if (!wanted.pattern.empty() && options.letters) {
    return fail(Errc::usage, "--length and --pattern: each says how many letters are drawn",
                "leave one of them out");
  }
  wanted.letters = static_cast<int>(options.letters.value_or(store::kCodeLettersDefault));
  VOUCH_TRY(const store::CodeForm form, store::CodeForm::make(wanted));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(const Filling filling, begin_filling(session, options.name));
  VOUCH_TRY(const std::int64_t count, codes_wanted(options, filling.pool));
  const std::int64_t codes = filling.pool.codes() + count;
  VOUCH_CHECK(form.check_density(codes));
  Record more = {{"made", "Made", count},
                 {"keyspace", "Keyspace", Value::real(form.keyspace())},
                 {"guesses_per_hit", "Guesses per hit", Value::real(form.guesses_per_hit(codes))}};
  if (actor.dry_run || count == 0) {
    VOUCH_CHECK(show_filled(session, filling.pool,
                            count == 0 ? "has as many codes already" : "filled", std::move(more)));
    return 0;
  }
  Progress progress{session.out(), session.terminal(), "making codes"};
  VOUCH_TRY(const store::SegmentMeta meta,
            store::generate_codes(place_of(session, filling, progress), form, count));
  progress.clear();
  const std::string source = std::to_string(form.letters()) + " letters of " +
                             std::to_string(wanted.charset.size()) +
                             (wanted.check ? ", check character" : "");
  VOUCH_TRY(const store::PoolRow pool,
            register_segment(session, actor, filling.pool, meta, "", source));
  VOUCH_CHECK(show_filled(session, pool, "filled", std::move(more)));
  return 0;
}

struct ImportCodesOptions {
  std::string name;
  std::string file;
  std::vector<std::string> mappings;
  std::string encoding;
  std::string delimiter;
  std::string on_error;
  std::string rejects_file;
};

Result<store::CodeImportRequest> request_of(const ImportCodesOptions& options, bool dry_run) {
  store::CodeImportRequest request;
  request.input = options.file;
  request.encoding = options.encoding;
  request.rejects_file = options.rejects_file;
  request.dry_run = dry_run;
  if (options.on_error == "skip") request.on_error = store::OnError::skip;
  VOUCH_TRY(request.delimiter, delimiter_of(options.delimiter));
  VOUCH_TRY(const auto mappings, mappings_of(options.mappings));
  for (const store::ColumnMapping& mapping : mappings) {
    if (mapping.ours != store::kCodeColumn) {
      return fail(Errc::usage, "--map: a file of codes has one column of ours, code, not \"" +
                                   mapping.ours + "\"");
    }
    request.code_column = mapping.partner;
  }
  return request;
}

void tell_refused(Output& out, const store::CodeImportSummary& summary) {
  if (!out.is_for_people()) return;
  for (const store::RefusedCode& row : summary.first_refused) {
    out.note("line " + std::to_string(row.line) + ": " + row.message + " (" + row.code + ")");
  }
  const std::int64_t more =
      summary.refused - static_cast<std::int64_t>(summary.first_refused.size());
  if (more > 0) out.note("and " + format_count(more) + " more refused rows");
}

Result<int> import_file(Session& session, const ImportCodesOptions& options) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(const auto request, request_of(options, actor.dry_run));
  VOUCH_TRY(const Filling filling, begin_filling(session, options.name));
  Progress progress{session.out(), session.terminal(), "reading codes"};
  VOUCH_TRY(const store::CodeImportSummary summary,
            store::import_codes(place_of(session, filling, progress), request));
  progress.clear();
  tell_refused(session.out(), summary);
  if (summary.refusal) return tl::unexpected<Error>(*summary.refusal);
  Record more = {{"rows", "Rows", summary.rows},
                 {"accepted", "Accepted", summary.accepted},
                 {"rejected", "Rejected", summary.refused},
                 {"existed", "Existed", !summary.was_imported.empty(), Shown::wide}};
  store::PoolRow pool = filling.pool;
  if (summary.segment) {
    VOUCH_TRY(pool, register_segment(session, actor, filling.pool, *summary.segment,
                                     summary.content, summary.source));
  }
  const char* done = summary.was_imported.empty() ? "filled" : "has the codes of this file already";
  VOUCH_CHECK(show_filled(session, pool, done, std::move(more)));
  return 0;
}

Result<int> list(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto rows, control->pools());
  VOUCH_TRY(const PoolView sample, PoolView::of(session, {}));
  VOUCH_TRY(Listing listing, session.out().list(columns_of(sample.record())));
  for (const store::PoolRow& row : rows) {
    VOUCH_TRY(const PoolView view, PoolView::of(session, row));
    listing.row(values_of(view.record()));
  }
  listing.end("no pools; make one with `vouchctl pool create NAME`");
  return 0;
}

Result<int> show(Session& session, const std::string& name) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::PoolRow row, control->pool(name));
  VOUCH_TRY(const PoolView view, PoolView::of(session, row));
  Record record = view.record();
  record.push_back({"segments", "Segments", Value::json(view.segments_json())});
  VOUCH_CHECK(session.out().show(record));
  if (view.is_low()) session.out().warn(view.low_words());
  return 0;
}

void add_create(Group& group) {
  auto options = std::make_shared<CreateOptions>();
  group
      .leaf({.name = "create",
             .summary = "Make a pool, still empty",
             .description =
                 "Codes are kept encrypted under a key whose file stands outside the store: the "
                 "one that the setting pool-key names, or FILE.  It is made where it is missing.",
             .examples = {"vouchctl pool create summer --low-water 10000",
                          "vouchctl pool create summer --dry-run -o json"}},
            [options](Session& session) { return create(session, *options); })
      .required("NAME", options->name, "what to call it")
      .number("--low-water", "N", options->low_water, 0, INT64_MAX,
              "warn when fewer codes than this are left")
      .option("--key-file", "FILE", options->key_file,
              "of the key, instead of the setting pool-key")
      .changes();
}

void add_generate(Group& group) {
  auto options = std::make_shared<GenerateOptions>();
  group
      .leaf({.name = "generate",
             .summary = "Make codes and add them to a pool",
             .description =
                 "Letters are drawn at random from 2-9 and A-Z without I, L, O and U unless "
                 "--charset names others; no code of the pool comes twice.  Refused with exit 7 "
                 "where more than one guess in 100,000,000 would hit.  Stopped at any point it has "
                 "added nothing, and can be run again.",
             .examples = {"vouchctl pool generate vip --count 1000 --prefix VIP- --check",
                          "vouchctl pool generate vip --up-to 5000 --pattern '####-####-####' "
                          "--dry-run"}},
            [options](Session& session) { return generate(session, *options); })
      .required("POOL", options->name, kNameHelp)
      .number("--count", "N", options->count, 1, store::kCodesMax, "so many more codes")
      .number("--up-to", "N", options->up_to, 1, INT64_MAX,
              "as many as the pool lacks to have N in all; run again it makes none")
      .number("--length", "N", options->letters, 1, 100, "letters to draw; 12 unless said")
      .option("--pattern", "TEXT", options->form.pattern,
              "where # stands a letter is drawn; the rest stands in every code")
      .option("--prefix", "TEXT", options->form.prefix, "stands before every code")
      .option("--charset", "LETTERS", options->form.charset, "to draw from")
      .flag("--check", options->form.check,
            "append a check character (ISO/IEC 7064, MOD N+1,N), by which typing errors are found")
      .changes();
}

void add_import(Group& group) {
  auto options = std::make_shared<ImportCodesOptions>();
  group
      .leaf({.name = "import",
             .summary = "Add a partner's codes from a CSV file",
             .description =
                 "The header must have the column code, or --map one to it; other columns are "
                 "passed over.  A code that stands twice in the file, or that the pool has, is a "
                 "refused row.  All or nothing unless --on-error skip.  The same file again is "
                 "the same codes, exit 0.",
             .examples = {"vouchctl pool import vip codes.csv",
                          "vouchctl pool import vip codes.csv --dry-run -o json"}},
            [options](Session& session) { return import_file(session, *options); })
      .required("POOL", options->name, kNameHelp)
      .required("FILE", options->file, "the partner's file; - is standard input")
      .list("--map", "THEIRS=code", options->mappings, "the partner's column of codes")
      .option("--encoding", "NAME", options->encoding, "of the file; UTF-8 unless said")
      .option("--delimiter", "WORD", options->delimiter, "comma (unless said), semicolon or tab")
      .one_of("--on-error", options->on_error, {"stop", "skip"},
              "skip: import the good rows; stop: all or nothing (unless said)")
      .option("--rejects", "FILE", options->rejects_file,
              "write the refused rows to FILE, codes and all, to be mended and imported again")
      .changes();
}

void add_export(Group& group) {
  auto options = std::make_shared<PoolExport>();
  group
      .leaf({.name = "export",
             .summary = "Write codes to a file, with their recipients",
             .description =
                 "For administrators, who are asked for a yes; recorded in the audit trail before "
                 "the file is there.  The file is made anew, readable by its owner alone.  Rows "
                 "that wait for an export get their codes by this, and are issued when the file is "
                 "on the disk; stopped at any point, it is run again and writes the same codes.  "
                 "Codes that are out already are in it too.",
             .examples = {"vouchctl pool export vip --to codes-out.csv --dry-run",
                          "vouchctl pool export vip --to codes-out.csv --yes"}},
            [options](Session& session) { return export_codes(session, *options); })
      .required("POOL", options->pool, kNameHelp)
      .required_option("--to", "FILE", options->file, "to make; it must not exist")
      .option("--job", "JOB", options->job,
              "the codes of this job's issuances alone; those of all unless said")
      .changes();
}

}  // namespace

void add_pool_commands(CommandLine& line) {
  Group group = line.top().group("pool", "Redemption codes to hand out");
  add_create(group);
  add_generate(group);
  add_import(group);
  group.leaf({.name = "list",
              .summary = "List the pools",
              .examples = {"vouchctl pool list", "vouchctl pool list -o csv --fields name,codes"}},
             list);
  auto shown = std::make_shared<std::string>();
  group
      .leaf({.name = "show",
             .summary = "Show a pool: how many codes, from where",
             .examples = {"vouchctl pool show vip", "vouchctl pool show vip -o json"}},
            [shown](Session& session) { return show(session, *shown); })
      .required("POOL", *shown, kNameHelp);
  add_export(group);
}

}  // namespace vouch::cli
