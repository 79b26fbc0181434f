#include "common/store/reconciliation_log.hpp"

#include "common/store/control_change.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kInsert = R"sql(
  INSERT INTO reconciliation (at_ms, operator, instance, downstream, source, scope, since_ms,
                              until_ms, verdict, lines, unowned, digest)
  VALUES (:at_ms, :operator, :instance, :downstream, :source, :scope, :since_ms, :until_ms,
          :verdict, :lines, :unowned, :digest)
)sql";
// A ledger's singles have a job that the control store does not know: they are never closed.
constexpr std::string_view kInsertJob = R"sql(
  INSERT INTO reconciliation_job (reconciliation, job, matched, differences, undecided)
  SELECT (SELECT max(id) FROM reconciliation), id, :matched, :differences, :undecided
    FROM job WHERE id = :job
)sql";
// By the primary key of reconciliation_job, newest first.
constexpr std::string_view kLatest = R"sql(
  SELECT r.id, r.at_ms, r.operator, r.instance, r.downstream, r.source, r.scope, r.since_ms,
         r.until_ms, r.verdict, r.lines, r.unowned, r.digest, j.matched, j.differences,
         j.undecided
    FROM reconciliation_job AS j JOIN reconciliation AS r ON r.id = j.reconciliation
   WHERE j.job = :job AND r.downstream = :downstream
   ORDER BY j.reconciliation DESC LIMIT 1
)sql";

JobReconciliation read_latest(const Statement& row) {
  JobReconciliation out;
  out.row.id = row.integer(0);
  out.row.at = row.wall(1);
  out.row.operator_name = row.string(2);
  out.row.instance = row.string(3);
  out.row.downstream = row.string(4);
  out.row.source = row.string(5);
  out.row.scope = row.string(6);
  if (!row.is_null(7)) out.row.since = row.wall(7);
  out.row.until = row.wall(8);
  out.row.verdict = row.string(9);
  out.row.lines = row.integer(10);
  out.row.unowned = row.integer(11);
  out.row.digest = row.string(12);
  out.found.matched = row.integer(13);
  out.found.differences = row.integer(14);
  out.found.undecided = row.integer(15);
  return out;
}

}  // namespace

Result<void> record_reconciliation(ControlStore& control, const Actor& actor,
                                   const ReconciliationRow& row,
                                   const std::vector<ReconciledJob>& jobs) {
  Database& database = control.database();
  VOUCH_TRY(ControlChange change, ControlChange::begin(database, actor));
  VOUCH_CHECK(database.prepared(kInsert)
                  .bind(":at_ms", actor.now)
                  .bind(":operator", actor.operator_name)
                  .bind(":instance", row.instance)
                  .bind(":downstream", row.downstream)
                  .bind(":source", row.source)
                  .bind(":scope", row.scope)
                  .bind(":since_ms", row.since)
                  .bind(":until_ms", row.until)
                  .bind(":verdict", row.verdict)
                  .bind(":lines", row.lines)
                  .bind(":unowned", row.unowned)
                  .bind(":digest", row.digest)
                  .run());
  for (const ReconciledJob& job : jobs) {
    VOUCH_CHECK(database.prepared(kInsertJob)
                    .bind(":job", stored(job.job))
                    .bind(":matched", job.matched)
                    .bind(":differences", job.differences)
                    .bind(":undecided", job.undecided)
                    .run());
  }
  const std::string detail = Detail{}
                                 .set("source", row.source)
                                 .set("scope", row.scope)
                                 .set("verdict", row.verdict)
                                 .set("lines", row.lines)
                                 .set("digest", row.digest)
                                 .text();
  return change.commit("reconcile", row.downstream, detail);
}

Result<std::optional<JobReconciliation>> latest_reconciliation(ControlStore& control, ObjectId job,
                                                               std::string_view downstream) {
  VOUCH_TRY(auto latest, first_row(control.database()
                                       .prepared(kLatest)
                                       .bind(":job", stored(job))
                                       .bind(":downstream", downstream),
                                   read_latest));
  if (latest) latest->found.job = job;
  return latest;
}

}  // namespace vouch::store
