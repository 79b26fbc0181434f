// Commands: what vouchctl asks of vouchd, in one order, and what vouchd answered.
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kInsert = R"sql(
  INSERT INTO command (nonce, kind, job, arguments, instance, operator, created_ms, expires_ms)
  VALUES (:nonce, :kind, :job, :arguments, :instance, :operator, :created_ms, :expires_ms)
)sql";
constexpr std::string_view kLastId = "SELECT last_insert_rowid()";
constexpr std::string_view kOne = R"sql(
  SELECT id, kind, job, arguments, instance, operator, created_ms, expires_ms, answered_ms, answer,
         nonce
    FROM command WHERE id = :id
)sql";
constexpr std::string_view kSubmission = R"sql(
  SELECT id, kind, job, arguments, instance, operator, created_ms, expires_ms, answered_ms, answer,
         nonce
    FROM command WHERE job = :job AND kind = 'submit' ORDER BY id LIMIT 1
)sql";
// Uses command_open.
constexpr std::string_view kOpen = R"sql(
  SELECT id, kind, job, arguments, instance, operator, created_ms, expires_ms, answered_ms, answer,
         nonce
    FROM command
   WHERE answered_ms IS NULL AND id > :after AND instance = :instance
   ORDER BY id LIMIT :max
)sql";
constexpr std::string_view kOfKind = R"sql(
  SELECT id, kind, job, arguments, instance, operator, created_ms, expires_ms, answered_ms, answer,
         nonce
    FROM command WHERE kind = :kind ORDER BY id DESC LIMIT :max
)sql";
// What AUTOINCREMENT keeps: it stays when rows are gone, and no row need be there yet.
constexpr std::string_view kLast = "SELECT seq FROM sqlite_sequence WHERE name = 'command'";
constexpr std::string_view kForgetLast = "DELETE FROM sqlite_sequence WHERE name = 'command'";
constexpr std::string_view kSetLast =
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('command', :last)";
constexpr std::string_view kAnswer = R"sql(
  UPDATE command SET answered_ms = :now_ms, answer = :answer
   WHERE id = :id AND answered_ms IS NULL
)sql";

CommandRow read_command(const Statement& row) {
  CommandRow command;
  command.id = row.integer(0);
  command.kind = row.string(1);
  command.job = object_id(row, 2);
  command.arguments_json = row.string(3);
  command.instance = row.string(4);
  command.operator_name = row.string(5);
  command.created = row.wall(6);
  command.expires = row.wall(7);
  if (!row.is_null(8)) command.answered = row.wall(8);
  command.answer_json = row.string(9);
  command.nonce = row.integer(10);
  return command;
}

}  // namespace

Result<std::int64_t> ControlStore::add_command(const Actor& actor, CommandRow row, Random& random) {
  if (row.job != 0) VOUCH_CHECK(job_by_id(row.job).map([](const JobRow&) {}));
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  if (row.campaign != 0) VOUCH_CHECK(bind_campaign(row.campaign, row.instance));
  VOUCH_CHECK(database_.prepared(kInsert)
                  .bind(":nonce", new_nonce(random))
                  .bind(":kind", row.kind)
                  .bind(":job", stored_or_null(row.job))
                  .bind(":arguments", row.arguments_json)
                  .bind(":instance", row.instance)
                  .bind(":operator", actor.operator_name)
                  .bind(":created_ms", actor.now)
                  .bind(":expires_ms", row.expires)
                  .run());
  VOUCH_TRY(const auto id, first_row(database_.prepared(kLastId),
                                     [](const Statement& last) { return last.integer(0); }));
  const std::string object = row.job == 0 ? row.instance : format_id(ObjectKind::job, row.job);
  const std::string detail = Detail{}
                                 .set("command", id.value_or(0))
                                 .set("arguments_sha256", hex(sha256(row.arguments_json)))
                                 .text();
  VOUCH_CHECK(change.commit("command " + row.kind, object, detail));
  return id.value_or(0);
}

Result<std::int64_t> ControlStore::last_command() {
  VOUCH_TRY(const auto last, first_row(database_.prepared(kLast),
                                       [](const Statement& row) { return row.integer(0); }));
  return last.value_or(0);
}

Result<void> ControlStore::skip_commands(const Actor& actor, std::int64_t last) {
  VOUCH_TRY(ControlChange change, ControlChange::begin_unchecked(database_, actor));
  VOUCH_TRY(const std::int64_t before, last_command());
  if (before >= last) return {};
  VOUCH_CHECK(database_.prepared(kForgetLast).run());
  VOUCH_CHECK(database_.prepared(kSetLast).bind(":last", last).run());
  const std::string detail = Detail{}.set("before", before).set("after", last).text();
  return change.commit("command skip", "control store", detail);
}

Result<CommandRow> ControlStore::command(std::int64_t id) {
  VOUCH_TRY(auto row, first_row(database_.prepared(kOne).bind(":id", id), read_command));
  if (row) return std::move(*row);
  return fail(Errc::not_found, "there is no command " + std::to_string(id));
}

Result<CommandRow> ControlStore::submission_of(ObjectId job) {
  VOUCH_TRY(auto row,
            first_row(database_.prepared(kSubmission).bind(":job", stored(job)), read_command));
  if (row) return std::move(*row);
  return fail(Errc::corrupt, format_id(ObjectKind::job, job) + " has no submit command",
              "check the store: vouchctl store check");
}

Result<std::vector<CommandRow>> ControlStore::open_commands(std::string_view instance,
                                                            std::int64_t after, int max) {
  return all_rows(database_.prepared(kOpen)
                      .bind(":instance", instance)
                      .bind(":after", after)
                      .bind(":max", std::int64_t{max}),
                  read_command);
}

Result<std::vector<CommandRow>> ControlStore::commands_of(std::string_view kind, int max) {
  return all_rows(database_.prepared(kOfKind).bind(":kind", kind).bind(":max", std::int64_t{max}),
                  read_command);
}

Result<void> ControlStore::answer_command(std::int64_t id, std::string_view answer_json,
                                          WallTime now) {
  return database_.prepared(kAnswer)
      .bind(":id", id)
      .bind(":answer", answer_json)
      .bind(":now_ms", now)
      .run();
}

}  // namespace vouch::store
