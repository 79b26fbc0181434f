#include "common/store/control_store.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "common/files.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::store;

namespace {

const WallTime kNow = from_ms(1'900'000'000'000);
const Actor kJo{"jo", kNow};

// A store with the operator jo, a coupon and a balance downstream, a client and a campaign.
struct World {
  World() : paths{folder / "store"} {}

  ControlStore fresh() {
    auto made = ControlStore::init(paths, "solo", "jo", random, kNow);
    REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
    return std::move(*made);
  }
  ControlStore filled() {
    ControlStore store = fresh();
    REQUIRE(store.create_downstream(kJo, downstream_row("coupons"), random));
    REQUIRE(store.create_client(kJo, {.name = "shop"}, random));
    REQUIRE(store.create_campaign(kJo, campaign(), random));
    return store;
  }
  static DownstreamRow downstream_row(const std::string& name) {
    DownstreamRow row;
    row.rate_limit = 500;
    row.warning_rate = 450;
    row.definition.name = name;
    row.definition.url = "https://a.example/coupons";
    return row;
  }
  static plan::Campaign campaign(const std::string& name = "birthday") {
    plan::Campaign out;
    out.name = name;
    out.items.push_back({.number = 0,
                         .name = "coupon",
                         .kind = plan::VoucherKind::coupon,
                         .downstream = "coupons",
                         .pool = {},
                         .amount = {},
                         .fields_json = "{}"});
    return out;
  }
  static JobRow job_row(ControlStore& store, std::string key, std::string digest) {
    JobRow row;
    row.campaign = store.campaign("birthday").value().id;
    row.campaign_version = 1;
    row.client = store.client("shop").value().id;
    row.submit_key = std::move(key);
    row.content_digest = std::move(digest);
    row.instance = kDefaultInstance;
    return row;
  }

  test::TemporaryFolder folder;
  StorePaths paths;
  SeededRandom random{7};
};

unsigned mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("control store: init makes folders and files with their modes, and only once") {
  World world;
  ControlStore store = world.fresh();
  CHECK(mode_of(world.paths.control()) == 02770);
  CHECK(mode_of(world.paths.recipients()) == 03770);
  CHECK(mode_of(world.paths.root + "/ledger") == 02750);
  CHECK(mode_of(world.paths.control_db()) == 0660);
  CHECK(mode_of(world.paths.recipient_secret()) == 0640);
  const std::string secret = store.recipient_secret().value();
  CHECK(secret.size() == 32);
  CHECK(store.operator_of_account("jo").value().role == "administrator");
  CHECK(store.operator_of_account("al").error().code == Errc::not_permitted);

  ControlStore again = world.fresh();
  CHECK(again.recipient_secret().value() == secret);
  CHECK(again.store_id().value() == store.store_id().value());
  CHECK(again.operators().value().size() == 1);
  CHECK(again.audit(0, 10).value().size() == 1);
}

TEST_CASE("control store: init keeps the policy of a store, and refuses another") {
  World world;
  REQUIRE(ControlStore::init(world.paths, "four-eyes", "jo", world.random, kNow));
  const auto other = ControlStore::init(world.paths, "solo", "jo", world.random, kNow);
  REQUIRE_FALSE(other);
  CHECK(other.error().code == Errc::conflict);
  auto same = ControlStore::init(world.paths, "", "jo", world.random, kNow);
  REQUIRE(same);
  CHECK(same->policy().value() == "four-eyes");
}

TEST_CASE("control store: a lost recipient secret is not replaced by another") {
  World world;
  (void)world.fresh();
  std::filesystem::remove(world.paths.recipient_secret());
  const auto init = ControlStore::init(world.paths, "solo", "jo", world.random, kNow);
  REQUIRE_FALSE(init);
  CHECK(init.error().code == Errc::store);
}

TEST_CASE("control store: what is not there or too new is said") {
  World world;
  CHECK(ControlStore::open(world.paths).error().code == Errc::store);
  CHECK(ControlStore::init(world.paths, "three-eyes", "jo", world.random, kNow).error().hint ==
        "take solo or four-eyes");
  (void)world.fresh();
  REQUIRE(ControlStore::open(world.paths));
  {
    Database database = Database::open(world.paths.control_db(), {.vfs = {}}).value();
    REQUIRE(database.exec("INSERT INTO migration VALUES ('999_later.sql', 'x', 1)"));
  }
  CHECK(ControlStore::open(world.paths).error().code == Errc::store);
}

TEST_CASE("control store: only registered operators and vouchd change anything") {
  World world;
  ControlStore store = world.fresh();
  const auto refused = store.create_client({"al", kNow}, {.name = "shop"}, world.random);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::not_permitted);
  CHECK(store.clients().value().empty());
  CHECK(store.record({"vouchd", kNow}, "start", "daemon", "{}"));
  REQUIRE(
      store.create_operator(kJo, {.name = "al", .account = "al", .role = "creator"}, world.random));
  CHECK(store.create_client({"al", kNow}, {.name = "shop"}, world.random));
  CHECK(store.create_operator(kJo, {.name = "x", .account = "al", .role = "creator"}, world.random)
            .error()
            .code == Errc::conflict);
}

TEST_CASE("control store: names that nearly match are suggested") {
  World world;
  ControlStore store = world.filled();
  CHECK(store.client("shoop").error().hint == "did you mean \"shop\"?");
  CHECK(store.campaign("birthda").error().hint == "did you mean \"birthday\"?");
  CHECK(store.list("x").error().hint == "list them: vouchctl recipients list");
  const CampaignRow row = store.campaign("birthday").value();
  CHECK(store.campaign(format_id(ObjectKind::campaign, row.id)).value().definition.name ==
        "birthday");
}

TEST_CASE("clients: what changes is kept, what is wrong changes nothing") {
  World world;
  ControlStore store = world.filled();
  ClientRow row = store.client("shop").value();
  row.rate_limit = 12.5;
  row.paused = true;
  row.pause_reason = "audit";
  REQUIRE(store.update_client(kJo, row, "client pause"));
  CHECK(store.client("shop").value().rate_limit == 12.5);
  CHECK(store.client("shop").value().pause_reason == "audit");
  row.weight = 0;
  CHECK(store.update_client(kJo, row, "client update").error().code == Errc::invalid);
  row.weight = 1;
  row.lane = "side";
  CHECK(store.update_client(kJo, row, "client update").error().code == Errc::invalid);
  CHECK(store.create_client(kJo, {.name = "shop"}, world.random).error().code == Errc::conflict);
}

TEST_CASE("downstreams: a changed definition is a new version, a changed rate is not") {
  World world;
  ControlStore store = world.filled();
  DownstreamRow row = store.downstream("coupons").value();
  row.rate_limit = 900;
  row.warning_rate = 800;
  CHECK(store.update_downstream(kJo, row, "downstream limit").value().version == 1);
  row.definition.timeout = Millis{1000};
  CHECK(store.update_downstream(kJo, row, "downstream update").value().version == 2);
  CHECK(store.downstream("coupons").value().definition.timeout == Millis{1000});
  CHECK(store.downstream_version(row.id, 1).value().timeout == Millis{10'000});
  CHECK(store.downstream_version(row.id, 3).error().code == Errc::not_found);

  row.warning_rate = 1000;
  CHECK(store.update_downstream(kJo, row, "x").error().message ==
        "warning: must be above 0 and at most the limit of 900/s");
  row.warning_rate = 100;
  row.definition.kind = plan::VoucherKind::balance;
  CHECK(store.update_downstream(kJo, row, "x").error().code == Errc::conflict);
}

TEST_CASE("campaigns: items fit their downstreams, an end is final") {
  World world;
  ControlStore store = world.filled();
  plan::Campaign other = World::campaign("spring");
  other.items[0].downstream = "cuopons";
  const auto unknown = store.create_campaign(kJo, other, world.random);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message == "/items/0/downstream: no downstream is called \"cuopons\"");
  CHECK(unknown.error().hint == "did you mean \"coupons\"?");
  other.items[0].downstream = "coupons";
  other.items[0].kind = plan::VoucherKind::other;
  CHECK(store.create_campaign(kJo, other, world.random).error().message ==
        "/items/0/kind: \"coupons\" issues vouchers of kind coupon, not other");
  CHECK(store.create_campaign(kJo, World::campaign(), world.random).error().code == Errc::conflict);

  REQUIRE(store.set_campaign_state(kJo, "birthday", "paused", "typing error"));
  CHECK(store.campaign("birthday").value().pause_reason == "typing error");
  REQUIRE(store.set_campaign_state(kJo, "birthday", "ended", "over"));
  REQUIRE(store.set_campaign_state(kJo, "birthday", "ended", "over"));
  CHECK(store.set_campaign_state(kJo, "birthday", "active", "").error().code == Errc::conflict);
  CHECK(store.campaign_version(store.campaign("birthday").value().id, 1).value().items.size() == 1);
}

TEST_CASE("lists: one name and one content are one list, however often it is imported") {
  World world;
  ControlStore store = world.filled();
  const ListRow row{.name = "nov", .digest = "aa", .accepted = 3, .summary_json = "{}"};
  const ListRow first = store.register_list(kJo, row, false, world.random).value();
  CHECK(store.register_list(kJo, row, false, world.random).value().id == first.id);

  ListRow other_content = row;
  other_content.digest = "bb";
  CHECK(store.register_list(kJo, other_content, false, world.random).error().code ==
        Errc::conflict);
  ListRow other_name = row;
  other_name.name = "dec";
  CHECK(store.register_list(kJo, other_name, false, world.random).error().code == Errc::conflict);
  CHECK(store.register_list(kJo, other_name, true, world.random));

  REQUIRE(store.mark_list_deleted(kJo, first.id));
  CHECK(store.list("nov").value().deleted == kNow);
  CHECK(store.list_by_digest("aa").value()->name == "dec");
  CHECK(store.register_list(kJo, row, false, world.random).value().id == first.id);
  CHECK_FALSE(store.list("nov").value().deleted);
}

TEST_CASE("jobs: a submit key is one job, submitted once, and its content does not change") {
  World world;
  ControlStore store = world.filled();
  const auto submit = [&](const std::string& key, const std::string& digest) {
    return store.submit_job(kJo, World::job_row(store, key, digest), world.random);
  };
  const auto first = submit("nightly-1", "d1").value();
  CHECK_FALSE(first.existed);
  CHECK(first.command == 1);
  const auto again = submit("nightly-1", "d1").value();
  CHECK(again.existed);
  CHECK(again.job.id == first.job.id);
  CHECK(again.command == 0);
  CHECK(submit("nightly-1", "d2").error().code == Errc::conflict);
  CHECK(submit("nightly-2", "d1").value().job.id != first.job.id);

  // Without a key every submission is a job of its own.
  CHECK(submit("", "d1").value().job.id != submit("", "d1").value().job.id);
  CHECK(store.jobs().value().size() == 4);
  CHECK(store.job("nightly-1").value().id == first.job.id);
  CHECK(store.job(format_id(ObjectKind::job, first.job.id)).value().submit_key == "nightly-1");
  CHECK(store.job("nightly-3").error().hint.starts_with("did you mean \"nightly-"));
  CHECK(store.command(1).value().expires == from_ms(kNeverMs));
  CHECK(store.open_commands("main", 0, 100).value().size() == 4);
}

// Who has been given what stands in the ledger of one instance alone.
TEST_CASE("campaigns: the first job or single issuance binds one to its instance, for life") {
  World world;
  ControlStore store = world.filled();
  const auto submit = [&](const std::string& key, const std::string& instance) {
    JobRow row = World::job_row(store, key, "d1");
    row.instance = instance;
    return store.submit_job(kJo, row, world.random);
  };
  const CampaignRow birthday = store.campaign("birthday").value();
  CHECK(birthday.instance.empty());
  const auto issue = [&](const std::string& instance) {
    return store.add_command(kJo,
                             {.kind = "issue",
                              .campaign = birthday.id,
                              .arguments_json = "{}",
                              .instance = instance,
                              .expires = kNow + Millis{1000}},
                             world.random);
  };
  SUBCASE("by a job") {
    REQUIRE(submit("one", "internal"));
  }
  SUBCASE("by a single issuance") {
    REQUIRE(issue("internal"));
  }
  CHECK(store.campaign("birthday").value().instance == "internal");
  const auto refused = submit("two", "external");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::conflict);
  CHECK(refused.error().message.find("belongs to the instance \"internal\"") != std::string::npos);
  CHECK(refused.error().hint == "add --instance internal");
  CHECK(issue("external").error().code == Errc::conflict);
  CHECK(submit("three", "internal"));
  CHECK(issue("internal"));
}

// A phone number in one list and the same as an opaque id in another are two keys of one person.
TEST_CASE("campaigns: the first list says what recipient ids are, for life") {
  World world;
  ControlStore store = world.filled();
  const auto submit = [&](const std::string& key, const std::string& id_type) {
    JobRow row = World::job_row(store, key, "d1");
    row.id_type = id_type;
    return store.submit_job(kJo, row, world.random);
  };
  REQUIRE(submit("rerun-of-none", ""));
  CHECK(store.campaign("birthday").value().id_type.empty());
  REQUIRE(submit("one", "phone"));
  CHECK(store.campaign("birthday").value().id_type == "phone");
  const std::size_t jobs = store.jobs().value().size();
  const auto refused = submit("two", "opaque");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::conflict);
  CHECK(refused.error().message.find("could be given two vouchers") != std::string::npos);
  CHECK(refused.error().hint.find("--id-type phone") != std::string::npos);
  CHECK(store.jobs().value().size() == jobs);
  CHECK(submit("three", "phone"));
  CHECK(submit("four", ""));
}

TEST_CASE("jobs: options are stored as they were asked for") {
  JobOptions options;
  options.rate = 2.5;
  options.start_at = kNow;
  options.pilot = 100;
  options.occurrence = 20261122;
  options.for_date = "2026-11-22";
  options.rerun_states = {"failed", "expired"};
  options.tolerate = {"declined=2%"};
  const std::string text = to_json(options);
  CHECK(to_json(parse_job_options(text).value()) == text);
  CHECK(parse_job_options(text).value().start_at == kNow);
  CHECK(to_json(parse_job_options("{}").value()) == R"({"occurrence":0})");
}

TEST_CASE("jobs: options change, the submission they came from does not") {
  World world;
  ControlStore store = world.filled();
  const auto job =
      store.submit_job(kJo, World::job_row(store, "k", "d1"), world.random).value().job;
  JobOptions options = job.options;
  options.rate = 12.5;
  REQUIRE(store.update_job_options({kJo.operator_name, kNow, true}, job.id, options));
  CHECK_FALSE(store.job_by_id(job.id).value().options.rate);
  REQUIRE(store.update_job_options(kJo, job.id, options));
  CHECK(store.job_by_id(job.id).value().options.rate == 12.5);
  CHECK(store.audit(0, 100).value().back().action == "job update");
  CHECK(store.submit_job(kJo, World::job_row(store, "k", "d1"), world.random).value().existed);
  CHECK(store.update_job_options(kJo, job.id + 1, options).error().code == Errc::not_found);

  const auto command = store.submission_of(job.id).value();
  CHECK(command.kind == "submit");
  CHECK_FALSE(command.answered);
  CHECK(store.submission_of(job.id + 1).error().code == Errc::corrupt);
}

TEST_CASE("commands: taken in order, answered once") {
  World world;
  ControlStore store = world.filled();
  const auto add = [&](const std::string& instance) {
    return store
        .add_command(kJo,
                     {.kind = "test_downstream",
                      .arguments_json = R"({"downstream":"coupons"})",
                      .instance = instance,
                      .expires = kNow + Millis{1000}},
                     world.random)
        .value();
  };
  const auto first = add("main");
  (void)add("other");
  const auto third = add("main");
  const auto open = store.open_commands("main", 0, 10).value();
  REQUIRE(open.size() == 2);
  CHECK(open[0].id == first);
  CHECK(open[1].id == third);
  CHECK(open[0].operator_name == "jo");
  REQUIRE(store.answer_command(first, R"({"ok":true})", kNow));
  REQUIRE(store.answer_command(first, R"({"ok":false})", kNow));
  CHECK(store.command(first).value().answer_json == R"({"ok":true})");
  CHECK(store.open_commands("main", 0, 10).value().size() == 1);
  CHECK(store.command(99).error().code == Errc::not_found);

  // A nonce of its own, and ids that go on above those of a ledger that has seen more.
  CHECK(open[0].nonce != open[1].nonce);
  CHECK(open[0].nonce > 0);
  CHECK(store.last_command().value() == third);
  REQUIRE(store.skip_commands({"vouchd", kNow}, 40));
  REQUIRE(store.skip_commands({"vouchd", kNow}, 20));
  CHECK(store.last_command().value() == 40);
  CHECK(add("main") == 41);
  REQUIRE(store.verify_audit());
}

TEST_CASE("control store: every change has its audit row, and a changed row shows") {
  World world;
  ControlStore store = world.filled();
  for (int i = 0; i < 5; ++i) REQUIRE(store.record(kJo, "stop", "all", "{}"));
  REQUIRE(store.verify_audit());
  const auto rows = store.audit(0, 100).value();
  REQUIRE(rows.size() == 9);  // init, downstream, client, campaign, five stops
  CHECK(rows[1].action == "downstream create");
  CHECK(rows[1].operator_name == "jo");
  CHECK(store.audit(8, 100).value().size() == 1);

  const auto version = store.database().pragma("SELECT version FROM control_version");
  CHECK(version.value() == 10);

  for (const char* damage :
       {"UPDATE audit SET detail = '{\"reason\":\"other\"}' WHERE seq = 6",
        "UPDATE audit SET operator = 'al' WHERE seq = 6", "DELETE FROM audit WHERE seq = 6"}) {
    CAPTURE(damage);
    REQUIRE(store.database().exec("SAVEPOINT damage"));
    REQUIRE(store.database().exec(damage));
    const auto verified = store.verify_audit();
    REQUIRE_FALSE(verified);
    CHECK(verified.error().code == Errc::corrupt);
    CHECK(verified.error().message == "audit row 6: changed, or a row is missing");
    REQUIRE(store.database().exec("ROLLBACK TO damage; RELEASE damage"));
  }
  CHECK(store.verify_audit());
}

TEST_CASE("control store: another connection's commit is seen") {
  World world;
  ControlStore writer = world.filled();
  ControlStore reader = ControlStore::open(world.paths).value();
  const auto before = reader.data_version().value();
  CHECK(reader.data_version().value() == before);
  REQUIRE(writer.record(kJo, "stop", "all", "{}"));
  CHECK(reader.data_version().value() != before);
}

TEST_CASE("files: a file is replaced whole or created once") {
  test::TemporaryFolder folder;
  const std::string path = folder / "f";
  CHECK(read_file(path, 10).error().code == Errc::not_found);
  REQUIRE(create_file(path, "one", 0640));
  CHECK(create_file(path, "two", 0640).error().code == Errc::conflict);
  REQUIRE(replace_file(path, "three", 0600));
  CHECK(read_file(path, 5).value() == "three");
  CHECK(read_file(path, 4).error().code == Errc::invalid);
  CHECK(mode_of(path) == 0600);
  CHECK(std::distance(std::filesystem::directory_iterator{folder.path()}, {}) == 1);
  CHECK(replace_file(folder / "none/f", "x", 0600).error().code == Errc::not_found);
}
