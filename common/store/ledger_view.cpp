#include "common/store/ledger_view.hpp"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

#include "common/files.hpp"
#include "common/store/ledger_view_rows.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kCodesOut = "SELECT next_ordinal FROM pool WHERE id = :id";
constexpr std::string_view kJobs = R"sql(
  SELECT j.id, j.state, j.pause_reason, j.pause_detail, j.rows_accepted, j.items, j.pilot_left,
         j.submitted_ms, j.started_ms, j.ended_ms,
         coalesce(sum(r.rows_planned), 0), coalesce(sum(r.repeats), 0), coalesce(sum(r.moved), 0),
         coalesce(sum(r.issued_minor), 0),
         coalesce(sum(r.planned), 0), coalesce(sum(r.sending), 0), coalesce(sum(r.waiting), 0),
         coalesce(sum(r.in_doubt), 0), coalesce(sum(r.held), 0), coalesce(sum(r.issued), 0),
         coalesce(sum(r.declined), 0), coalesce(sum(r.failed), 0), coalesce(sum(r.cancelled), 0),
         coalesce(sum(r.expired), 0), coalesce(sum(r.skipped), 0)
    FROM job AS j LEFT JOIN job_range AS r ON r.job = j.number
   GROUP BY j.number ORDER BY j.number
)sql";
constexpr std::string_view kJob = R"sql(
  SELECT j.id, j.state, j.pause_reason, j.pause_detail, j.rows_accepted, j.items, j.pilot_left,
         j.submitted_ms, j.started_ms, j.ended_ms,
         coalesce(sum(r.rows_planned), 0), coalesce(sum(r.repeats), 0), coalesce(sum(r.moved), 0),
         coalesce(sum(r.issued_minor), 0),
         coalesce(sum(r.planned), 0), coalesce(sum(r.sending), 0), coalesce(sum(r.waiting), 0),
         coalesce(sum(r.in_doubt), 0), coalesce(sum(r.held), 0), coalesce(sum(r.issued), 0),
         coalesce(sum(r.declined), 0), coalesce(sum(r.failed), 0), coalesce(sum(r.cancelled), 0),
         coalesce(sum(r.expired), 0), coalesce(sum(r.skipped), 0)
    FROM job AS j LEFT JOIN job_range AS r ON r.job = j.number
   WHERE j.id = :id GROUP BY j.number
)sql";
constexpr int kFirstStateColumn = 14;

constexpr std::string_view kCampaignOfJob =
    "SELECT c.id FROM job AS j JOIN campaign AS c ON c.number = j.campaign WHERE j.id = :job";

constexpr std::string_view kDownstreams =
    "SELECT downstream, condition, since_ms, next_ms, detail FROM downstream_state";
constexpr std::string_view kMeta = "SELECT value FROM ledger_meta WHERE key = :key";

JobProgress read_job(const Statement& row) {
  JobProgress job;
  job.id = static_cast<ObjectId>(row.integer(0));
  job.state = static_cast<JobState>(row.integer(1));
  job.pause_reason = static_cast<PauseReason>(row.integer(2));
  job.pause_detail = row.string(3);
  job.rows_accepted = row.integer(4);
  job.items = static_cast<int>(row.integer(5));
  job.pilot_left = row.integer_or_null(6);
  job.submitted = row.wall(7);
  job.started = wall_or_null(row, 8);
  job.ended = wall_or_null(row, 9);
  job.rows_planned = row.integer(10);
  job.repeats = row.integer(11);
  job.moved = row.integer(12);
  job.issued_minor = row.integer(13);
  for (int i = 0; i < kIssuanceStates; ++i) {
    job.by_state[static_cast<std::size_t>(i)] = row.integer(kFirstStateColumn + i);
  }
  return job;
}

std::string group_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "the store's group";
  const group* entry = ::getgrgid(status.st_gid);
  return entry != nullptr ? std::string{"the group "} + entry->gr_name
                          : "the group " + std::to_string(status.st_gid);
}

}  // namespace

std::int64_t JobProgress::total() const {
  return std::accumulate(by_state.begin(), by_state.end(), std::int64_t{0}) + repeats + moved +
         not_planned();
}

bool JobProgress::balanced() const {
  return rows_accepted * items == total();
}

Result<LedgerView> LedgerView::open(const StorePaths& paths, std::string_view instance) {
  const std::string path = paths.ledger_db(instance);
  if (::access(path.c_str(), R_OK) != 0) {
    if (errno == EACCES) {
      return fail(Errc::not_permitted, path + ": this account may not read it",
                  "join " + group_of(paths.root + "/ledger") + ", then log in again");
    }
    return fail(Errc::store, "the instance \"" + std::string{instance} + "\" has no ledger yet",
                "it is made when its vouchd first starts");
  }
  VOUCH_TRY(Database database, Database::open(path, {.mode = OpenMode::read_only, .vfs = {}}));
  VOUCH_CHECK(check_migrated(database, embedded::ledger_migrations));
  return LedgerView{std::move(database)};
}

Result<std::optional<JobProgress>> LedgerView::job(ObjectId id) {
  VOUCH_TRY(
      auto rows,
      copy_rows(database_.prepared(kJob).bind(":id", static_cast<std::int64_t>(id)), read_job));
  return first_of(std::move(rows));
}

Result<std::vector<JobProgress>> LedgerView::jobs() {
  return copy_rows(database_.prepared(kJobs), read_job);
}

Result<std::int64_t> LedgerView::codes_out(ObjectId pool) {
  Statement& select = database_.prepared(kCodesOut);
  select.bind(":id", static_cast<std::int64_t>(pool));
  VOUCH_TRY(const bool found, select.step());
  const std::int64_t out = found ? select.integer(0) : 0;
  select.reset();
  return out;
}

Result<ObjectId> LedgerView::campaign_of(ObjectId job) {
  VOUCH_TRY(
      const auto ids,
      copy_rows(database_.prepared(kCampaignOfJob).bind(":job", static_cast<std::int64_t>(job)),
                [](const Statement& row) { return static_cast<ObjectId>(row.integer(0)); }));
  return ids.empty() ? 0 : ids.front();
}

Result<std::vector<DownstreamState>> LedgerView::downstreams() {
  return copy_rows(database_.prepared(kDownstreams), [](const Statement& row) {
    return DownstreamState{.downstream = static_cast<ObjectId>(row.integer(0)),
                           .condition = static_cast<DownstreamCondition>(row.integer(1)),
                           .since = row.wall(2),
                           .next = wall_or_null(row, 3),
                           .detail = row.string(4)};
  });
}

Result<std::string> LedgerView::meta(std::string_view key) {
  VOUCH_TRY(auto rows, copy_rows(database_.prepared(kMeta).bind(":key", key),
                                 [](const Statement& row) { return row.string(0); }));
  return first_of(std::move(rows)).value_or("");
}

}  // namespace vouch::store
