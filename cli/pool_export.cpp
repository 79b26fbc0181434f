#include "cli/pool_export.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "cli/code_export.hpp"
#include "cli/job_view.hpp"
#include "common/failpoint.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/secret_box.hpp"
#include "common/store/code_segment.hpp"
#include "common/store/code_view.hpp"
#include "common/store/csv_writer.hpp"
#include "common/store/sealed_list.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// A file that goes again unless it was completed.
class NewFile {
 public:
  [[nodiscard]] static Result<NewFile> create(const std::string& path) {
    FileDescriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!file.is_open()) return system_error(path, errno, "create");
    return NewFile{path, std::move(file)};
  }
  NewFile(NewFile&&) noexcept = default;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile() {
    if (file_.is_open() && !is_complete_) (void)::unlink(path_.c_str());
  }
  [[nodiscard]] Result<void> write(std::string_view text) const {
    if (!text.empty() && failpoint_is_now("export-half-page")) {
      VOUCH_CHECK(write_all(file_, text.substr(0, text.size() / 2), path_));
      die_at_failpoint();
    }
    VOUCH_CHECK(write_all(file_, text, path_));
    if (!text.empty()) reach_failpoint("export-page-written");
    return {};
  }
  // When it returns, text and name are on the disk.
  [[nodiscard]] Result<void> complete() {
    reach_failpoint("export-not-synced");
    reach_failpoint_soon("export-syncing");
    if (::fsync(file_.get()) != 0) return system_error(path_, errno, "write");
    const std::string folder = std::filesystem::path{path_}.parent_path();
    VOUCH_CHECK(sync_folder(folder.empty() ? "." : folder));
    is_complete_ = true;
    reach_failpoint("export-complete");
    return {};
  }

 private:
  NewFile(std::string path, FileDescriptor file) : path_{std::move(path)}, file_{std::move(file)} {}
  std::string path_;
  FileDescriptor file_;
  bool is_complete_ = false;
};

// Codes by their ordinal in the pool, in growing order.
class PoolReader {
 public:
  PoolReader(std::string folder, const store::PoolRow& pool, const store::PoolKey& key)
      : folder_{std::move(folder)}, pool_{pool}, key_{key} {}

  [[nodiscard]] Result<std::string_view> code(std::int64_t ordinal) {
    while (!segment_ || ordinal >= pool_.segments[at_].first + pool_.segments[at_].codes) {
      if (segment_) ++at_;
      if (at_ == pool_.segments.size()) return fail(Errc::corrupt, "the pool has too few codes");
      const std::string path = store::segment_path(folder_, pool_.segments[at_].digest);
      VOUCH_TRY(segment_, store::CodeSegment::open(path));
      VOUCH_CHECK(segment_->unlock(key_));
    }
    return segment_->code(ordinal - pool_.segments[at_].first);
  }

 private:
  std::string folder_;
  const store::PoolRow& pool_;
  const store::PoolKey& key_;
  std::size_t at_ = 0;
  std::optional<store::CodeSegment> segment_;
};

// Who a recipient is in the list of a job, and what an item is called.
class Names {
 public:
  [[nodiscard]] static Result<Names> open(Session& session, store::LedgerView& ledger) {
    VOUCH_TRY(JobBoard board, JobBoard::open(session));
    VOUCH_TRY(const auto views, board.all());
    Names names{session, ledger};
    for (const JobView& view : views) names.lists_[view.row.id] = view.list_id;
    return names;
  }

  // Empty for a single issuance that is final, and where the list's rows were deleted.
  [[nodiscard]] Result<std::string> recipient(const store::CodeOwner& owner) {
    if (owner.job == owner.key.campaign) return ledger_.single_recipient(owner.key);
    VOUCH_TRY(store::SealedList * list, list_of(owner.job));
    if (list == nullptr) return std::string{};
    VOUCH_TRY(const auto rows, list->find(owner.key.recipient));
    return rows.empty() ? std::string{} : std::string{rows.front().recipient_id};
  }
  [[nodiscard]] Result<std::string> item(const IssuanceKey& key) {
    auto known = campaigns_.find(key.campaign);
    if (known == campaigns_.end()) {
      VOUCH_TRY(store::ControlStore * control, session_.control());
      VOUCH_TRY(auto row, control->campaign(format_id(ObjectKind::campaign, key.campaign)));
      known = campaigns_.emplace(key.campaign, std::move(row.definition)).first;
    }
    return known->second.items.at(key.item).name;
  }

 private:
  Names(Session& session, store::LedgerView& ledger) : session_{session}, ledger_{ledger} {}

  [[nodiscard]] Result<store::SealedList*> list_of(ObjectId job) {
    const auto known = lists_.find(job);
    if (known == lists_.end() || known->second == 0) return nullptr;
    if (const auto open = open_.find(known->second); open != open_.end()) return &open->second;
    VOUCH_TRY(store::ControlStore * control, session_.control());
    VOUCH_TRY(const auto row, control->list(format_id(ObjectKind::list, known->second)));
    if (row.deleted) return nullptr;
    VOUCH_TRY(store::SealedList list,
              store::SealedList::open(session_.paths().list_file(row.digest)));
    return &open_.emplace(known->second, std::move(list)).first->second;
  }

  Session& session_;
  store::LedgerView& ledger_;
  std::map<ObjectId, ObjectId> lists_;  // by job
  std::map<ObjectId, store::SealedList> open_;
  std::map<ObjectId, plan::Campaign> campaigns_;
};

Result<store::Actor> administrator(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::OperatorRow who, control->operator_of_account(session.account()));
  if (who.role == "administrator") return session.actor();
  return fail(Errc::not_permitted, "only administrators may take codes out of Vouch",
              "you are a " + who.role + "; ask one of those whom `vouchctl operator list` shows");
}

struct Exported {
  std::int64_t codes = 0;
  std::int64_t issued = 0;    // by this file, once it is confirmed
  std::int64_t nameless = 0;  // recipients that are in no list any more
};

// Calls `take` with each page of owners of the job's codes, or of all.
template <typename Take>
Result<void> each_page(store::LedgerView& ledger, ObjectId pool, ObjectId job, Take take) {
  VOUCH_TRY(const std::int64_t out, ledger.codes_out(pool));
  for (std::int64_t from = 0; from < out; from += store::kCodesPage) {
    VOUCH_TRY(auto owners, store::code_owners(ledger, pool, from));
    std::erase_if(owners, [&](const auto& owner) { return job != 0 && owner.job != job; });
    VOUCH_CHECK(take(owners));
  }
  return {};
}

// What this file will have delivered when it is confirmed: so that it is the same, byte by byte,
// however often it must be begun anew.
bool is_delivered_by_file(const store::CodeOwner& owner) {
  return owner.by_export && next_state(owner.state, IssuanceEvent::confirm).has_value();
}

Result<Exported> write_codes(Session& session, store::LedgerView& ledger,
                             const store::PoolRow& pool, ObjectId job, const NewFile& file,
                             CodeExport& to_confirm) {
  VOUCH_TRY(const store::PoolKey key, store::PoolKey::read(session.settings().value("pool-key")));
  PoolReader codes{session.paths().pools(), pool, key};
  VOUCH_TRY(Names names, Names::open(session, ledger));
  Exported exported;
  std::string text = "recipient_id,item,code,state,issuance\n";
  const auto write_page = [&](const auto& owners) -> Result<void> {
    for (const store::CodeOwner& owner : owners) {
      VOUCH_TRY(const std::string recipient, names.recipient(owner));
      VOUCH_TRY(const std::string item, names.item(owner.key));
      VOUCH_TRY(const std::string_view code, codes.code(owner.ordinal));
      const bool delivers = is_delivered_by_file(owner);
      if (delivers) to_confirm.note(owner.ordinal);
      const IssuanceState state = delivers ? IssuanceState::issued : owner.state;
      const std::vector<std::string> fields{recipient, item, std::string{code},
                                            std::string{name_of(state)},
                                            format_request_id(owner.key, 0)};
      store::append_csv_row(text, fields, ',');
      ++exported.codes;
      if (recipient.empty()) ++exported.nameless;
    }
    VOUCH_CHECK(file.write(text));
    wipe(text);
    return {};
  };
  VOUCH_CHECK(each_page(ledger, pool.id, job, write_page));
  VOUCH_CHECK(file.write(text));
  return exported;
}

Result<ObjectId> job_of(Session& session, const std::string& name) {
  if (name.empty()) return ObjectId{0};
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::JobRow row, control->job(name));
  return row.id;
}

// What is about to be done, as the question and the answer have it.
std::string question_of(const CodeExport& exported, std::int64_t codes, const std::string& pool,
                        const std::string& file) {
  std::string text;
  if (exported.waiting() > 0) {
    text += "take " + format_count(exported.waiting()) + " codes for rows that wait, and ";
  }
  return text + "write " + format_count(codes) + " codes of the pool " + pool + ", whole, to " +
         file + "?";
}

// The file is there and stays, whatever comes: rows of it may be confirmed already.
Result<std::int64_t> confirm(Session& session, CodeExport& exported, const std::string& file) {
  Progress progress{session.out(), session.terminal(), "confirming"};
  auto issued = exported.confirm(session, [&](std::int64_t done, std::int64_t total) {
    progress.update(done, total, "", session.clock().now());
  });
  if (issued) return issued;
  Error error = issued.error();
  error.message = file + " is complete, but not all of its rows are confirmed: " + error.message;
  error.hint = "export again, to another file: it will hold the same codes, and confirm them";
  return tl::unexpected<Error>(std::move(error));
}

Result<void> take(Session& session, CodeExport& exported) {
  Progress progress{session.out(), session.terminal(), "taking"};
  auto taken = exported.take([&](std::int64_t done, std::int64_t total) {
    progress.update(done, total, "", session.clock().now());
  });
  if (taken) return {};
  Error error = taken.error();
  error.message += "; rows that have a code keep it";
  if (error.hint.empty()) error.hint = "export again when the cause is gone";
  return tl::unexpected<Error>(std::move(error));
}

// Codes that the file will hold, with those that are still to be taken.
Result<std::int64_t> codes_of_file(store::LedgerView& ledger, const store::PoolRow& pool,
                                   ObjectId job, const CodeExport& exported) {
  std::int64_t codes = exported.codes_wanted();
  VOUCH_CHECK(each_page(ledger, pool.id, job, [&](const auto& owners) -> Result<void> {
    codes += static_cast<std::int64_t>(owners.size());
    return {};
  }));
  return codes;
}

// What is done: on record, taken, written, confirmed.
Result<Exported> deliver(Session& session, store::LedgerView& ledger, const store::PoolRow& pool,
                         ObjectId job, const PoolExport& options, std::int64_t codes,
                         CodeExport& exported) {
  VOUCH_TRY(NewFile file, NewFile::create(options.file));
  reach_failpoint("export-created");
  const Json detail{{"job", options.job},
                    {"codes", codes},
                    {"export", exported.id()},
                    {"taken", exported.waiting()},
                    {"file", options.file}};
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_CHECK(control->record(actor, "pool export", pool.name,
                              detail.dump(-1, ' ', false, Json::error_handler_t::replace)));
  VOUCH_CHECK(take(session, exported));
  reach_failpoint("export-taken");
  VOUCH_TRY(Exported done, write_codes(session, ledger, pool, job, file, exported));
  VOUCH_CHECK(file.complete());
  VOUCH_TRY(done.issued, confirm(session, exported, options.file));
  reach_failpoint("export-confirmed");
  return done;
}

// Whatever is left is told: rows of a list that was still being planned, for instance.
Result<void> tell_rest(Session& session, store::LedgerView& ledger, const store::PoolRow& pool,
                       ObjectId job, const CodeExport& exported, const Exported& done) {
  if (done.nameless > 0) {
    session.out().warn(format_count(done.nameless) +
                       " of them belong to recipients whose ids Vouch does not keep: single "
                       "issuances, or lists whose rows were deleted");
  }
  if (done.issued < exported.noted()) {
    session.out().warn(format_count(exported.noted() - done.issued) +
                       " codes of the file are of rows that people settled meanwhile");
  }
  VOUCH_TRY(const CodeExport rest, CodeExport::find(session, ledger, pool, job));
  if (rest.unknown() > 0) {
    session.out().warn(format_count(rest.unknown()) +
                       " rows are in doubt since before this copy of the ledger: their codes are "
                       "not known, and people decide about them: vouchctl issuance resolve");
  }
  for (const std::string& why : exported.left_out()) session.out().warn("left out: " + why);
  if (rest.waiting() > 0 && exported.left_out().empty()) {
    session.out().warn(format_count(rest.waiting()) +
                       " more rows have come to wait meanwhile: export again");
  }
  return {};
}

// For people all that would be done, since they asked for nothing else.
Result<int> show_dry_run(Session& session, const Record& record) {
  if (!session.out().is_for_people()) {
    VOUCH_CHECK(session.out().changed("pool", "exported", record, true));
    return 0;
  }
  VOUCH_CHECK(session.out().show(record));
  session.out().note("dry run: no code was taken, and nothing was written");
  return 0;
}

}  // namespace

Result<int> export_codes(Session& session, const PoolExport& options) {
  VOUCH_TRY(const store::Actor actor, administrator(session));
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::PoolRow pool, control->pool(options.pool));
  VOUCH_TRY(const ObjectId job, job_of(session, options.job));
  // Before its first job no ledger knows the pool, and no code of it is out.
  const std::string& instance = pool.instance.empty() ? session.instance() : pool.instance;
  VOUCH_TRY(store::LedgerView ledger, store::LedgerView::open(session.paths(), instance));
  VOUCH_TRY(CodeExport exported, CodeExport::find(session, ledger, pool, job));
  VOUCH_TRY(const std::int64_t out, ledger.codes_out(pool.id));
  VOUCH_CHECK(exported.check(session, pool.codes() - out));
  VOUCH_TRY(const std::int64_t codes, codes_of_file(ledger, pool, job, exported));
  // Rows in doubt since before a copy of the ledger may have codes: what is left is told below.
  if (job != 0 && codes == 0 && exported.unknown() == 0) {
    return fail(Errc::invalid,
                "the job " + options.job + " has no code of the pool " + pool.name +
                    ", and no row of it waits for one",
                "see what it is about: vouchctl job show " + options.job);
  }
  Record record = {{"pool", "Pool", pool.name},
                   {"codes", "Codes", codes},
                   {"issued", "Issued", exported.waiting() + exported.taken()},
                   {"left", "Left", pool.codes() - out - exported.codes_wanted()},
                   {"file", "File", options.file}};
  if (actor.dry_run) return show_dry_run(session, record);
  VOUCH_CHECK(session.require_yes(question_of(exported, codes, pool.name, options.file)));
  VOUCH_TRY(const Exported done, deliver(session, ledger, pool, job, options, codes, exported));
  VOUCH_TRY(const std::int64_t now_out, ledger.codes_out(pool.id));
  record[1].value = done.codes;
  record[2].value = done.issued;
  record[3].value = pool.codes() - now_out;
  VOUCH_CHECK(tell_rest(session, ledger, pool, job, exported, done));
  const std::string words = "exported: " + format_count(done.codes) +
                            (done.codes == 1 ? " code" : " codes") + " in " + options.file + ", " +
                            format_count(done.issued) + " issued by it";
  VOUCH_CHECK(session.out().changed("pool", words, record));
  return 0;
}

}  // namespace vouch::cli
