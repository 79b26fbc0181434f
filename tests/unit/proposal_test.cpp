// Goal: people's decisions about rows in doubt or held reach exactly the rows that were proposed,
// once, with the authority that the policy asks for, whatever is stopped in between.  Method: the
// ledger writer with every step of a proposal, on a real file and on a disk that loses power.
#include <doctest/doctest.h>

#include <numeric>

#include "common/set_digest.hpp"
#include "tests/support/crash_vfs.hpp"
#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using data::Intent;
using data::Proposal;
using data::ProposalState;
using data::ProposedRow;
using E = IssuanceEvent;
using S = IssuanceState;

namespace {

constexpr ObjectId kId = 0x77;
const data::Authority kJo{"jo", "jo", 1001};
const data::Authority kAl{"al", "al", 1002};
constexpr std::string_view kGrants = "SELECT count(*) FROM grant";
constexpr std::string_view kResolved = "SELECT count(*) FROM event WHERE kind = 11";
constexpr std::string_view kHeld = "SELECT count(*) FROM issuance WHERE state = 4";
constexpr std::string_view kFailed = "SELECT count(*) FROM issuance WHERE state = 7";
constexpr std::string_view kProposedRows = "SELECT count(*) FROM proposal_row";

struct ProposalWorld : WriterWorld {
  explicit ProposalWorld(std::string vfs = {}) : WriterWorld{std::move(vfs)} { submit(); }

  Proposal stored() { return data::read_proposal(life->durable, kId).value().value(); }

  // Rows whose calls have ended so.
  std::vector<Intent> rows_after(std::vector<int> recipients, E step) {
    std::vector<Intent> rows = start(std::move(recipients));
    data::AttemptsEnded ended;
    for (const Intent& intent : rows) {
      life->ready.release(owner_of(intent), 1);
      ended.ends.push_back(sample_end(intent, step, clock.wall_now()));
    }
    write(std::move(ended));
    return rows;
  }
  ProposedRow seen(const Intent& intent, std::string reference = {}) {
    const auto row = row_of(life->durable, intent);
    return {.request_id = format_request_id(intent.key, intent.round),
            .state = row->state,
            .last_event = row->last_event,
            .reference = std::move(reference)};
  }
  void draft(S to, std::string evidence = {}, std::string statement = {}) {
    Proposal proposal;
    proposal.statement = std::move(statement);
    proposal.id = kId;
    proposal.job = kSampleJob;
    proposal.to = to;
    proposal.reason = "asked them";
    proposal.evidence = std::move(evidence);
    proposal.scope = "held rows";
    proposal.by = kJo;
    proposal.at = clock.wall_now();
    write(data::DraftProposal{proposal});
  }
  void propose(S to, const std::vector<ProposedRow>& rows, std::string evidence = {}) {
    draft(to, std::move(evidence));
    for (std::size_t i = 0; i < rows.size(); i += data::kProposalRowsPage) {
      const auto end = std::min(rows.size(), i + data::kProposalRowsPage);
      write(data::AddProposedRows{kId,
                                  {rows.begin() + static_cast<std::ptrdiff_t>(i),
                                   rows.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
    write(data::OpenProposal{kId});
  }
  data::DecideProposal decision(const data::Authority& by, bool granted = true,
                                bool four_eyes = false) {
    return {{.id = kId,
             .grant = {.granted = granted, .by = by, .at = clock.wall_now(), .words = "so"},
             .digest = stored().digest,
             .four_eyes = four_eyes}};
  }
};

}  // namespace

TEST_CASE("proposal: each decision, from doubt and from held") {
  struct Case {
    const char* name;
    E step;
    S to;
    const char* reference;
  };
  const Case cases[] = {
      {"held, issued", E::hold, S::issued, "c-1"},  {"held, failed", E::hold, S::failed, ""},
      {"held, waiting", E::hold, S::waiting, ""},   {"in doubt, issued", E::lose, S::issued, ""},
      {"in doubt, failed", E::lose, S::failed, ""}, {"in doubt, waiting", E::lose, S::waiting, ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ProposalWorld world;
    world.start({9});  // a row that is out keeps the job open
    const Intent intent = world.rows_after({1}, c.step).front();
    const S before = world.state_of(intent);
    world.propose(c.to, {world.seen(intent, c.reference)}, c.to == S::issued ? "by hand" : "");
    CHECK(world.stored().state == ProposalState::open);
    CHECK(world.stored().rows == 1);
    CHECK(world.state_of(intent) == before);  // nothing happens without a yes
    world.write(world.decision(kJo));
    CHECK(world.state_of(intent) == c.to);
    const auto history = events_of(world.life->durable, intent);
    CHECK(history.back().kind == EventKind::resolved);
    CHECK(history.back().from == before);
    CHECK(history.back().reference == c.reference);
    CHECK(history.back().detail.find("asked them (prp_") != std::string::npos);
    const auto row = row_of(world.life->durable, intent);
    CHECK(row->round == intent.round);  // the same request id, for ever
    CHECK(row->next_at_ms.has_value() == (c.to == S::waiting));
    if (c.to != S::issued) CHECK_FALSE(row->doubt_ms);
    CHECK(world.stored().state == ProposalState::done);
    CHECK(world.stored().rows_applied == 1);
    CHECK(world.count(kGrants) == 1);
    CHECK(world.count(kProposedRows) == 0);
  }
}

TEST_CASE("proposal: what a statement says goes as the statement would have it, once confirmed") {
  constexpr std::int64_t kRight = 500;
  struct Case {
    const char* name;
    E step;
    S to;
    std::optional<std::int64_t> amount_minor;
    bool changed;  // another event of the row since
    S want;
  };
  const Case cases[] = {
      {"held, there", E::hold, S::issued, kRight, false, S::issued},
      {"in doubt, there", E::lose, S::issued, kRight, false, S::issued},
      {"there, without amounts", E::hold, S::issued, {}, false, S::issued},
      {"there, with another amount", E::hold, S::issued, kRight + 1, false, S::held},
      {"there, repeated since", E::lose, S::issued, kRight, true, S::issued},
      {"not there, called again", E::hold, S::waiting, {}, false, S::waiting},
      {"not there, given up", E::lose, S::failed, {}, false, S::failed},
      {"not there, repeated since", E::lose, S::failed, {}, true, S::in_doubt},
      {"refused meanwhile", E::decline, S::issued, kRight, true, S::declined},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ProposalWorld world;
    world.start({9});
    const Intent intent = world.rows_after({1}, c.step).front();
    const S before = world.state_of(intent);
    ProposedRow row = world.seen(intent, c.to == S::issued ? "c-1\nwith a second line" : "");
    row.amount_minor = c.amount_minor;
    if (c.changed) row.last_event = *row.last_event - 1;
    world.draft(c.to, {}, "june.csv");
    world.write(data::AddProposedRows{kId, {row}});
    world.write(data::OpenProposal{kId});
    CHECK(world.stored().statement == "june.csv");
    world.write(world.decision(kJo, true, true));  // who gave the statement
    CHECK(world.state_of(intent) == before);
    CHECK(world.count(kGrants) == 0);
    world.write(world.decision(kAl, true, true));
    CHECK(world.state_of(intent) == c.want);
    CHECK(world.stored().rows_applied == (before == c.want ? 0 : 1));
    CHECK(world.count(kResolved) == 0);
    if (before == c.want) continue;
    const auto history = events_of(world.life->durable, intent);
    CHECK(history.back().kind == EventKind::statement);
    CHECK(history.back().reference == row.reference);
    CHECK(history.back().detail.starts_with("statement june.csv, given by jo (prp_"));
    CHECK(history.back().detail.ends_with(", confirmed by al)"));
  }
}

TEST_CASE("proposal: what has changed since is left alone, and counted") {
  ProposalWorld world;
  world.start({9});
  std::vector<Intent> rows = world.rows_after({1, 2, 3}, E::hold);
  const Intent other = world.rows_after({4}, E::confirm).front();
  std::vector<ProposedRow> proposed;
  for (const Intent& intent : rows) proposed.push_back(world.seen(intent));
  ProposedRow never = world.seen(other);
  never.state = S::held;
  proposed.push_back(never);  // issued: in no state that people decide about
  world.propose(S::failed, proposed);
  // One is settled by a statement before the yes.
  world.write(data::SettleByStatement{
      .command = 3,
      .words = "statement",
      .rows = {
          {.key = rows[1].key, .was_executed = true, .amount_minor = {}, .reference = "c-9"}}});
  world.write(world.decision(kAl));
  CHECK(world.state_of(rows[0]) == S::failed);
  CHECK(world.state_of(rows[1]) == S::issued);
  CHECK(world.state_of(rows[2]) == S::failed);
  CHECK(world.state_of(other) == S::issued);
  CHECK(world.stored().rows == 4);
  CHECK(world.stored().rows_applied == 2);
  CHECK(world.stored().rows_left_alone() == 2);
}

// Whoever asked about the first call has asked nothing about the second.
TEST_CASE("proposal: what was called again since is left alone, although it is in doubt again") {
  ProposalWorld world;
  world.start({9});
  std::vector<Intent> rows = world.rows_after({1, 2}, E::lose);
  world.propose(S::failed, {world.seen(rows[0]), world.seen(rows[1])});
  Intent again = rows[0];
  again.fresh = false;
  again.from = S::in_doubt;
  again.doubt_since = again.intent_at;
  REQUIRE(world.life->ready.reserve({{owner_of(again), 1}}));
  world.write(data::SendAgain{{again}});
  again = world.take_ready().front();
  world.write(world.ended(again, E::lose));
  REQUIRE(world.state_of(again) == S::in_doubt);
  world.write(world.decision(kAl));
  CHECK(world.state_of(rows[0]) == S::in_doubt);
  CHECK(world.state_of(rows[1]) == S::failed);
  CHECK(world.stored().rows_applied == 1);
  CHECK(world.stored().rows_left_alone() == 1);
}

TEST_CASE("proposal: the yes is given once, to this digest, by whom the policy lets") {
  ProposalWorld world;
  world.start({9});
  const Intent intent = world.rows_after({1}, E::hold).front();
  world.propose(S::failed, {world.seen(intent)});
  CHECK(world.stored().digest == [&] {
    SetDigest digest;
    digest.add(format_request_id(intent.key, intent.round));
    return digest.value();
  }());
  data::DecideProposal other = world.decision(kAl);
  other.decision.digest[0] ^= 1;
  world.write(other);
  world.write(world.decision(kJo, true, true));                       // his own
  world.write(world.decision({"jo", "other", 1003}, true, true));     // the same name
  world.write(world.decision({"al", "other", kJo.uid}, true, true));  // the same account
  CHECK(world.stored().state == ProposalState::open);
  CHECK(world.count(kGrants) == 0);
  CHECK(world.state_of(intent) == S::held);
  world.write(world.decision(kAl, true, true));
  CHECK(world.stored().grant->by.operator_name == "al");
  CHECK(world.stored().grant->by.uid == kAl.uid);
  CHECK(world.state_of(intent) == S::failed);
  world.write(world.decision(kAl, true, true));
  world.write(world.decision(kAl, false));
  CHECK(world.count(kGrants) == 1);
  CHECK(world.count(kResolved) == 1);
  CHECK(world.stored().state == ProposalState::done);
}

TEST_CASE("proposal: a no changes nothing, and no yes can follow it") {
  ProposalWorld world;
  world.start({9});
  const Intent intent = world.rows_after({1}, E::hold).front();
  world.propose(S::waiting, {world.seen(intent)});
  world.write(world.decision(kAl, false));
  world.write(world.decision(kAl, true));
  CHECK(world.stored().state == ProposalState::refused);
  CHECK(world.state_of(intent) == S::held);
  CHECK(world.count(kProposedRows) == 0);
  CHECK(world.count(kGrants) == 1);
}

TEST_CASE("proposal: rows of another job are not taken, and a draft does not outlive a stop") {
  ProposalWorld world;
  world.start({9});
  const Intent intent = world.rows_after({1}, E::hold).front();
  world.draft(S::failed);
  ProposedRow unknown = world.seen(intent);
  Intent nobody = sample_intent(77);
  unknown.request_id = format_request_id(nobody.key, 0);
  world.write(data::AddProposedRows{kId, {world.seen(intent), unknown}});
  CHECK(world.stored().rows == 1);
  CHECK(world.stored().items.size() == 1);
  CHECK(world.stored().items.front().amount_minor == intent.amount_minor.value_or(0));
  world.write(world.decision(kAl));  // it is not open yet
  CHECK(world.state_of(intent) == S::held);
  world.restart();
  CHECK(world.stored().state == ProposalState::refused);
  CHECK(data::unfinished_proposal(world.life->durable).value() == kId);
  world.write(data::ProposalPage{kId});
  CHECK(world.count(kProposedRows) == 0);
  CHECK(data::unfinished_proposal(world.life->durable).value() == 0);
}

TEST_CASE("proposal: rows that are cleared set an unsettled job going, but no cancelled one") {
  for (const bool cancelled : {false, true}) {
    for (const bool restarted : {false, true}) {
      CAPTURE(cancelled);
      CAPTURE(restarted);
      ProposalWorld world;
      data::PlanPage page = world.page({1});
      page.range_done = true;
      world.write(std::move(page));
      const Intent intent = world.take_ready().front();
      world.write(world.ended(intent, E::hold));
      CHECK(world.job_state() == JobState::unsettled);
      if (cancelled) world.write(world.change(data::JobAction::cancel, 5));
      if (restarted) world.restart();
      world.propose(S::waiting, {world.seen(intent)});
      world.write(world.decision(kJo));
      CHECK(world.state_of(intent) == S::waiting);
      CHECK(world.job_state() == (cancelled ? JobState::cancelling : JobState::running));
    }
  }
}

namespace {

// Held rows of more than two pages, and a proposal about all of them.
std::vector<ProposedRow> many_held(ProposalWorld& world) {
  std::vector<int> recipients(2 * data::kProposalRowsPage + 2);
  std::iota(recipients.begin(), recipients.end(), 1);
  std::vector<ProposedRow> proposed;
  for (const Intent& intent : world.rows_after(recipients, E::hold)) {
    proposed.push_back(world.seen(intent));
  }
  return proposed;
}

}  // namespace

TEST_CASE("proposal: a large set goes a page a transaction, and on after a stop between them") {
  ProposalWorld world;
  const auto proposed = many_held(world);
  const auto all = static_cast<std::int64_t>(proposed.size());
  world.propose(S::failed, proposed);
  world.write(world.decision(kJo));
  CHECK(world.stored().state == ProposalState::granted);
  CHECK(world.stored().rows_left == all - data::kProposalRowsPage);
  CHECK(world.count(kFailed) == data::kProposalRowsPage);
  world.restart();
  for (int page = 2; page <= 3; ++page) {
    CHECK(data::unfinished_proposal(world.life->durable).value() == kId);
    world.write(data::ProposalPage{kId});
    CHECK(world.count(kFailed) == std::min(all, std::int64_t{page} * data::kProposalRowsPage));
  }
  CHECK(world.stored().state == ProposalState::done);
  CHECK(world.stored().rows_applied == all);
  CHECK(data::unfinished_proposal(world.life->durable).value() == 0);
  world.write(data::ProposalPage{kId});  // one too many does nothing
  CHECK(world.count(kResolved) == all);
  CHECK(world.count(kGrants) == 1);
}

TEST_CASE("proposal: the power goes in the middle of a page: each row is settled once") {
  for (const std::int64_t after : {0, 3, 9, 40}) {
    CAPTURE(after);
    CrashVfs vfs{static_cast<std::uint64_t>(after) + 1};
    ProposalWorld world{vfs.name()};
    const auto proposed = many_held(world);
    const auto all = static_cast<std::int64_t>(proposed.size());
    world.propose(S::failed, proposed);
    world.write(world.decision(kJo));
    vfs.power_cut_after(after);
    world.writer().push(data::ProposalPage{kId});
    world.run();
    if (vfs.is_off()) vfs.crash(Survival::none);
    world.restart();
    // Whole pages, and what is left says how many.
    const std::int64_t left = world.stored().rows_left;
    CHECK(world.count(kFailed) == all - left);
    CHECK(world.count(kHeld) == left);
    CHECK((all - left) % data::kProposalRowsPage == 0);
    while (world.stored().state == ProposalState::granted) world.write(data::ProposalPage{kId});
    CHECK(world.count(kFailed) == all);
    CHECK(world.count(kResolved) == all);
    CHECK(world.stored().rows_applied == all);
    CHECK(world.count(kGrants) == 1);
  }
}
