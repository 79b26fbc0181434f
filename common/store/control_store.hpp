// control_store.hpp: who may act, what may be issued, where, and what was asked for.
//
// One class over control/control.db for both programs.  Every change is one transaction that also
// adds an audit row and bumps the control version.  Reads copy everything before they return, so
// that a slow printer never blocks a writer.
//
// Threads: one ControlStore per thread.
// Errors:  not_found with the nearest name; conflict for a name or key that exists with other
//          content; invalid; busy after the busy timeout; not_permitted for unknown operators.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/plan/campaign.hpp"
#include "common/plan/downstream.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"
#include "common/store/pool_row.hpp"

namespace vouch::store {

// Where things lie below a store's root folder.
struct StorePaths {
  std::string root;
  [[nodiscard]] std::string control() const { return root + "/control"; }
  [[nodiscard]] std::string control_db() const { return control() + "/control.db"; }
  [[nodiscard]] std::string recipient_secret() const { return control() + "/recipient.key"; }
  [[nodiscard]] std::string stop_file() const { return control() + "/stop.json"; }
  [[nodiscard]] std::string recipients() const { return root + "/recipients"; }
  [[nodiscard]] std::string list_file(std::string_view digest) const {
    return recipients() + "/" + std::string{digest} + ".db";
  }
  [[nodiscard]] std::string pools() const { return root + "/pools"; }
  [[nodiscard]] std::string pool_file(std::string_view digest) const {
    return pools() + "/" + std::string{digest} + ".db";
  }
  [[nodiscard]] std::string ledger_folder(std::string_view instance) const {
    return root + "/ledger/" + std::string{instance};
  }
  [[nodiscard]] std::string ledger_db(std::string_view instance) const {
    return ledger_folder(instance) + "/ledger.db";
  }
};
inline constexpr std::string_view kDefaultInstance = "main";

struct OperatorRow {
  ObjectId id = 0;
  std::string name{}, account{}, role{};
  WallTime created{};
  std::string created_by{};
};

struct ClientRow {
  ObjectId id = 0;
  std::string name{}, lane = "internal";
  int weight = 10;
  std::optional<double> rate_limit{};
  bool paused = false;
  std::string pause_reason{}, contact{};
  WallTime created{};
};

struct DownstreamRow {
  ObjectId id = 0;
  int version = 0;
  double rate_limit = 0;
  double warning_rate = 0;
  bool paused = false;
  std::string pause_reason{};
  WallTime created{};
  plan::Downstream definition{};
};

struct CampaignRow {
  ObjectId id = 0;
  int version = 0;
  std::string state{};  // active, paused, ended
  std::string pause_reason{};
  WallTime created{};
  plan::Campaign definition{};
  std::string instance{};  // the only vouchd that may issue it; empty before its first job
  std::string id_type{};   // of all its lists: opaque or phone; empty before the first
};

struct ListRow {
  ObjectId id = 0;
  std::string name{}, digest{};
  ObjectId campaign = 0;  // 0: checked against none
  std::int64_t accepted = 0, rejected = 0, duplicates = 0;
  std::string summary_json{};
  WallTime imported{};
  std::string imported_by{};
  std::optional<WallTime> deleted{};
};

// What a submission may ask for; stored as JSON.
struct JobOptions {
  std::optional<double> rate;  // calls per second of this job's own
  std::optional<WallTime> start_at;
  std::optional<WallTime> finish_by;
  std::optional<std::int64_t> pilot;
  std::optional<std::int64_t> failures_percent_max;  // more without a voucher pause the job
  std::uint64_t occurrence = 0;  // from once_per and for_date; unused under OncePer::column
  std::string for_date;          // as given or derived, "2026-11-22"
  std::vector<std::string> rerun_states;
  std::vector<std::string> tolerate;  // "declined=2%": what `job wait` counts as success
  bool accept_uncertain = false;      // calls of contract `none`: what is in doubt stays so
};
[[nodiscard]] std::string to_json(const JobOptions& options);
[[nodiscard]] Result<JobOptions> parse_job_options(std::string_view json_text);

struct JobRow {
  ObjectId id = 0;
  ObjectId campaign = 0;
  int campaign_version = 0;
  ObjectId client = 0;
  ObjectId list = 0;      // 0: none
  ObjectId rerun_of = 0;  // 0: none
  std::string submit_key{}, content_digest{};
  std::string id_type{};  // to submit: of its list, opaque or phone; not stored with the job
  JobOptions options{};
  std::string instance{};
  WallTime submitted{};
  std::string submitted_by{};
};

// What vouchctl asks of vouchd.  Kinds and their arguments:
//   submit, pause, resume   a job; {"reason":text}
//   cancel                  {"settle_by_repeat":bool,"reason":text}
//   update                  {"rate":..,"finish_by":..}
//   issue                   a single issuance:
//                           {"campaign","client","recipient_id","attributes":{},"idempotency_key"}
//   test_downstream         {"downstream":name}
//   settle                  by a statement, at most 500 rows:
//                           {"statement":name,
//                            "rows":[{"id","executed","amount_minor","reference"}]}
//   close                   a job that balances
struct CommandRow {
  std::int64_t id = 0;
  std::int64_t nonce = 0;  // set by the store
  std::string kind{};
  ObjectId job = 0;       // 0: none
  ObjectId campaign = 0;  // of an issue: bound to the instance with it; not kept in the row
  std::string arguments_json{};
  std::string instance{};
  std::string operator_name{};
  WallTime created{}, expires{};
  std::optional<WallTime> answered{};
  std::string answer_json{};  // {"ok":true,...} or {"ok":false,"code","message","hint"}
};

struct AuditRow {
  std::int64_t seq = 0;
  WallTime at;
  std::string operator_name, action, object, detail_json;
};

// An expiry that never comes: 9999-12-31T23:59:59Z.
inline constexpr std::int64_t kNeverMs = 253'402'300'799'000;

// Who acts and when; every change carries one.
struct Actor {
  std::string operator_name{};  // registered operator, or "vouchd"
  WallTime now{};
  bool dry_run = false;  // do everything, check everything, then undo it
};

class ControlStore {
 public:
  // Makes the folders with their modes, the store, the recipient secret and the first operator
  // (`account`, administrator) when they are not there; does nothing to what is there.  An empty
  // policy is that of the store, solo for a new one; another than the store's is a conflict.
  [[nodiscard]] static Result<ControlStore> init(const StorePaths& paths, std::string_view policy,
                                                 std::string_view account, Random& random,
                                                 WallTime now);
  [[nodiscard]] static Result<void> check_policy(std::string_view of_store,
                                                 std::string_view wanted);
  // Errc::store when there is none, or one of another version.
  [[nodiscard]] static Result<ControlStore> open(const StorePaths& paths,
                                                 Millis busy_timeout = Millis{5000});

  [[nodiscard]] Result<std::string> policy();
  // 128 random bits as hexadecimal digits: tells one store from a copy under another name.
  [[nodiscard]] Result<std::string> store_id();
  // The secret under which recipient keys are made.
  [[nodiscard]] Result<std::string> recipient_secret() const;
  // The operator whose operating system account this is; not_permitted when there is none.
  [[nodiscard]] Result<OperatorRow> operator_of_account(std::string_view account);

  [[nodiscard]] Result<OperatorRow> create_operator(const Actor&, OperatorRow row, Random&);
  [[nodiscard]] Result<std::vector<OperatorRow>> operators();

  [[nodiscard]] Result<ClientRow> create_client(const Actor&, ClientRow row, Random&);
  // Replaces what may change of the client: lane, weight, rate, contact, paused and its reason.
  [[nodiscard]] Result<void> update_client(const Actor&, const ClientRow& row,
                                           std::string_view action);
  [[nodiscard]] Result<std::vector<ClientRow>> clients();
  [[nodiscard]] Result<ClientRow> client(std::string_view name_or_id);

  [[nodiscard]] Result<DownstreamRow> create_downstream(const Actor&, DownstreamRow row, Random&);
  // A new version of the definition when it differs; rates and pause always as in `row`.
  [[nodiscard]] Result<DownstreamRow> update_downstream(const Actor&, const DownstreamRow& row,
                                                        std::string_view action);
  [[nodiscard]] Result<std::vector<DownstreamRow>> downstreams();
  [[nodiscard]] Result<DownstreamRow> downstream(std::string_view name_or_id);
  // An older version of the definition.
  [[nodiscard]] Result<plan::Downstream> downstream_version(ObjectId id, int version);

  // Refuses items whose downstream is unknown or of another kind, and a name that is taken.
  [[nodiscard]] Result<void> check_campaign(const plan::Campaign&);
  [[nodiscard]] Result<void> check_target(const plan::Item& item, const std::string& where);
  // The same, then creates it.
  [[nodiscard]] Result<CampaignRow> create_campaign(const Actor&, const plan::Campaign&, Random&);
  [[nodiscard]] Result<void> set_campaign_state(const Actor&, std::string_view name_or_id,
                                                std::string_view state, std::string_view reason);
  [[nodiscard]] Result<std::vector<CampaignRow>> campaigns();
  [[nodiscard]] Result<CampaignRow> campaign(std::string_view name_or_id);
  [[nodiscard]] Result<plan::Campaign> campaign_version(ObjectId id, int version);
  // conflict when the campaign belongs to another instance.
  [[nodiscard]] static Result<void> check_instance(const CampaignRow&, std::string_view instance);
  // conflict for a list whose recipient ids are taken for something else than those of the
  // campaign's other lists: one person would have two keys there.  Empty fits all.
  [[nodiscard]] static Result<void> check_id_type(const CampaignRow&, std::string_view id_type);

  // A sealed list becomes known.  Same name and digest: the list that is there, which is how a
  // run repeated by cron ends; other digest: conflict; other name and same digest: conflict
  // unless `again`.
  [[nodiscard]] Result<ListRow> register_list(const Actor&, ListRow row, bool again, Random&);
  [[nodiscard]] Result<std::vector<ListRow>> lists();
  [[nodiscard]] Result<ListRow> list(std::string_view name_or_id);
  [[nodiscard]] Result<std::optional<ListRow>> list_by_digest(std::string_view digest);
  [[nodiscard]] Result<void> mark_list_deleted(const Actor&, ObjectId id);

  // A pool without codes; `row.name`, `low_water` and `fingerprint` are taken.
  [[nodiscard]] Result<PoolRow> create_pool(const Actor&, PoolRow row, Random&);
  // A sealed segment becomes part of the pool, behind those it has; `first` is given here.
  [[nodiscard]] Result<PoolRow> add_segment(const Actor&, ObjectId pool, PoolSegmentRow segment);
  [[nodiscard]] Result<std::vector<PoolRow>> pools();
  [[nodiscard]] Result<PoolRow> pool(std::string_view name_or_id);
  // conflict when the pool belongs to another instance.
  [[nodiscard]] static Result<void> check_pool_instance(const PoolRow&, std::string_view instance);

  struct Submission {
    JobRow job;
    std::int64_t command = 0;  // 0 when the job was there already
    bool existed = false;
  };
  // The job and its "submit" command, which never expires, in one transaction.  The same submit
  // key with the same content is the job that is there; with other content it is a conflict.
  // Takes `row.id` when it is not 0: under once_per: job the id is part of the options.
  // A campaign's first job binds it to the job's instance, for life; one of another instance is a
  // conflict, since the ledger that knows who has been given what is not there.
  [[nodiscard]] Result<Submission> submit_job(const Actor&, JobRow row, Random&);
  [[nodiscard]] Result<std::vector<JobRow>> jobs();
  [[nodiscard]] Result<JobRow> job(std::string_view id_or_submit_key);
  [[nodiscard]] Result<JobRow> job_by_id(ObjectId id);
  // Replaces what a job that is there was asked to keep to (its rate, its finish_by); the content
  // digest stays, since its submit key still means the same submission.
  [[nodiscard]] Result<void> update_job_options(const Actor&, ObjectId id,
                                                const JobOptions& options);

  // Adds a command; it is void when vouchd has not taken it before `expires`.  An issue binds
  // its campaign to the instance, as a job does.
  [[nodiscard]] Result<std::int64_t> add_command(const Actor&, CommandRow row, Random&);
  [[nodiscard]] Result<CommandRow> command(std::int64_t id);
  // The greatest id that was ever given; 0 when none was.
  [[nodiscard]] Result<std::int64_t> last_command();
  // Ids up to `last` are not given again.
  [[nodiscard]] Result<void> skip_commands(const Actor&, std::int64_t last);
  // The "submit" command of a job: what vouchd said to it.
  [[nodiscard]] Result<CommandRow> submission_of(ObjectId job);
  // Open commands of an instance with a greater id, in order; at most `max`.
  [[nodiscard]] Result<std::vector<CommandRow>> open_commands(std::string_view instance,
                                                              std::int64_t after, int max);
  // The newest commands of a kind, newest first.
  [[nodiscard]] Result<std::vector<CommandRow>> commands_of(std::string_view kind, int max);
  // The first answer stays.  No audit row and no new control version: the command has them, and
  // nothing that vouchd reads has changed.
  [[nodiscard]] Result<void> answer_command(std::int64_t id, std::string_view answer_json,
                                            WallTime now);

  // Changes when any connection has committed; cheap enough to ask five times a second.
  [[nodiscard]] Result<std::int64_t> data_version();
  [[nodiscard]] Result<std::vector<AuditRow>> audit(std::int64_t after, int max);
  [[nodiscard]] Result<void> verify_audit();
  // When anything was last changed; nothing in a store without rows.
  [[nodiscard]] Result<std::optional<WallTime>> last_audit_time();
  // An audit row of its own, for what changes no table here ("stop", "start").
  [[nodiscard]] Result<void> record(const Actor&, std::string_view action, std::string_view object,
                                    std::string_view detail_json);
  [[nodiscard]] Database& database() { return database_; }

 private:
  // Within a transaction of the caller's.
  [[nodiscard]] Result<void> bind_campaign(ObjectId id, std::string_view instance,
                                           std::string_view id_type = {});
  [[nodiscard]] Result<void> bind_pool(ObjectId id, std::string_view instance);
  explicit ControlStore(Database database, StorePaths paths)
      : database_{std::move(database)}, paths_{std::move(paths)} {}
  Database database_;
  StorePaths paths_;
};

}  // namespace vouch::store
