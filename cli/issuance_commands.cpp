// vouchctl issuance list, show, explain: what has become of vouchers that are owed.
#include <algorithm>
#include <functional>

#include "cli/commands.hpp"
#include "cli/issuance_create.hpp"
#include "cli/issuance_facts.hpp"
#include "cli/issuance_view.hpp"
#include "cli/issuance_words.hpp"
#include "cli/lock_service.hpp"
#include "cli/resolve_command.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::int64_t kLimitUsual = 100;
constexpr int kHistoryMax = 200;
const std::string kIdHelp = "its 40 letters, as every list shows them";

struct ListOptions {
  std::string campaign, job, recipient, state, after;
  std::optional<std::int64_t> limit;
  bool reveal = false;
};

// Reads what is asked for page after page, prints each before it reads the next, and knows where
// to go on when a limit is reached.
class Reader {
 public:
  using Emit = std::function<Result<void>(store::IssuanceRow)>;
  Reader(IssuanceBook& book, std::int64_t limit, Emit emit)
      : book_{book}, limit_{limit}, emit_{std::move(emit)} {}

  // False when the limit is reached.
  [[nodiscard]] Result<bool> take(std::vector<store::IssuanceRow>& rows) {
    for (store::IssuanceRow& row : rows) {
      if (limit_ != 0 && count_ == limit_) {
        has_more_ = true;
        return false;
      }
      ++count_;
      last_ = format_request_id(row.key, row.round);
      VOUCH_CHECK(emit_(std::move(row)));
    }
    return true;
  }
  [[nodiscard]] Result<void> by_state_index(ObjectId job, IssuanceState state,
                                            std::optional<IssuanceKey> after) {
    while (true) {
      VOUCH_TRY(auto rows, book_.ledger().unissued(job, state, after));
      const bool last = static_cast<int>(rows.size()) < store::kPageRows;
      if (!rows.empty()) after = rows.back().key;
      VOUCH_TRY(const bool more_wanted, take(rows));
      if (!more_wanted || last) return {};
    }
  }
  [[nodiscard]] Result<void> by_campaign(ObjectId campaign, const store::LedgerView::Filter& filter,
                                         std::optional<IssuanceKey> after) {
    while (true) {
      VOUCH_TRY(auto page, book_.ledger().page(campaign, after, filter));
      VOUCH_TRY(const bool more_wanted, take(page.rows));
      if (!more_wanted || !page.next_after) return {};
      after = page.next_after;
    }
  }
  [[nodiscard]] bool has_more() const { return has_more_; }
  // The id of the last row printed.
  [[nodiscard]] const std::string& last() const { return last_; }

 private:
  IssuanceBook& book_;
  std::int64_t limit_;
  Emit emit_;
  std::int64_t count_ = 0;
  std::string last_;
  bool has_more_ = false;
};

bool has_index(IssuanceState state) {
  return state == IssuanceState::held || (is_final(state) && state != IssuanceState::issued);
}

bool is_due_state(IssuanceState state) {
  return state == IssuanceState::planned || state == IssuanceState::waiting ||
         state == IssuanceState::in_doubt;
}

struct Wanted {
  ObjectId campaign = 0;  // 0: not said
  ObjectId job = 0;
  std::optional<IssuanceState> state;
  std::optional<RecipientKey> recipient;
  std::optional<IssuanceKey> after;
};

Result<Wanted> resolve(Session& session, const ListOptions& options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  Wanted wanted;
  if (!options.campaign.empty()) {
    VOUCH_TRY(const auto campaign, control->campaign(options.campaign));
    wanted.campaign = campaign.id;
  }
  if (!options.job.empty()) {
    VOUCH_TRY(const auto job, control->job(options.job));
    wanted.job = job.id;
    wanted.campaign = job.campaign;
  }
  if (!options.state.empty()) wanted.state = issuance_state_of(options.state);
  if (!options.recipient.empty()) {
    VOUCH_TRY(const std::string normalised, normalise_recipient(options.recipient));
    VOUCH_TRY(const std::string secret, control->recipient_secret());
    wanted.recipient = RecipientKeys{secret}.of(normalised);
  }
  if (!options.after.empty()) {
    auto parsed = parse_issuance_id(options.after);
    if (!parsed) return usage("--after", parsed.error());
    wanted.after = parsed->key;
  }
  if (wanted.campaign != 0 || wanted.recipient) return wanted;
  return fail(Errc::usage, "which issuances?", "say --campaign, --job or --recipient");
}

Result<void> of_recipient(Session& session, IssuanceBook& book, const Wanted& wanted,
                          Reader& reader) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto campaigns, control->campaigns());
  for (const store::CampaignRow& campaign : campaigns) {
    if (wanted.campaign != 0 && campaign.id != wanted.campaign) continue;
    VOUCH_TRY(auto rows, book.ledger().of_recipient(campaign.id, *wanted.recipient));
    std::erase_if(rows, [&](const store::IssuanceRow& row) {
      return (wanted.job != 0 && row.job != wanted.job) ||
             (wanted.state && row.state != *wanted.state);
    });
    VOUCH_TRY(const bool more_wanted, reader.take(rows));
    if (!more_wanted) return {};
  }
  return {};
}

Result<void> read(Session& session, IssuanceBook& book, const Wanted& wanted, Reader& reader) {
  if (wanted.recipient) return of_recipient(session, book, wanted, reader);
  if (wanted.job != 0 && wanted.state && has_index(*wanted.state)) {
    return reader.by_state_index(wanted.job, *wanted.state, wanted.after);
  }
  if (wanted.job != 0 && wanted.state && is_due_state(*wanted.state) && !wanted.after) {
    VOUCH_TRY(auto rows, book.ledger().due(wanted.job));
    // All that are due have been seen: no need to walk through the campaign.
    if (static_cast<int>(rows.size()) < store::kPageRows) {
      std::erase_if(rows, [&](const auto& row) { return row.state != *wanted.state; });
      return reader.take(rows).map([](bool) {});
    }
  }
  return reader.by_campaign(wanted.campaign, {.job = wanted.job, .state = wanted.state},
                            wanted.after);
}

Result<int> list(Session& session, const ListOptions& options) {
  VOUCH_TRY(const Wanted wanted, resolve(session, options));
  VOUCH_TRY(RecipientDisplay display,
            RecipientDisplay::choose(session, options.reveal, "issuance list"));
  VOUCH_TRY(IssuanceBook book, IssuanceBook::open(session, std::move(display)));
  VOUCH_TRY(Listing listing, session.out().list(columns_of(summary_of(IssuanceView{}))));
  Reader reader{book, options.limit.value_or(kLimitUsual),
                [&](store::IssuanceRow row) -> Result<void> {
                  VOUCH_TRY(const IssuanceView view, book.view_of(std::move(row)));
                  listing.row(values_of(summary_of(view)));
                  return {};
                }};
  VOUCH_CHECK(read(session, book, wanted, reader));
  listing.end("no such issuance");
  if (reader.has_more()) {
    session.out().note("there are more: --after " + reader.last() + ", or a larger --limit");
  }
  return 0;
}

struct ShowOptions {
  std::string id;
  bool timeline = false;
  bool reveal = false;
};

std::string state_name(const std::optional<int>& state) {
  return state ? std::string{name_of(static_cast<IssuanceState>(*state))} : std::string{};
}

Record event_record(const store::EventRow& event) {
  return {{"at", "At", event.at},
          {"event", "Event", name_of(event.kind)},
          {"from", "From", state_name(event.from_state)},
          {"to", "To", state_name(event.to_state)},
          {"round", "Round", Value{event.round}, Shown::wide},
          {"words", "What happened", words_of(event)},
          {"http_status", "HTTP", Value{event.http_status}, Shown::wide},
          {"sends", "Sends", Value{event.sends}, Shown::wide},
          {"shared_by", "Shared by", Value{event.shared_by}, Shown::wide},
          {"duration_us", "Microseconds", Value{event.duration_us}, Shown::wide},
          {"reference", "Reference", event.reference, Shown::wide},
          {"reply_digest", "Reply digest", event.reply_digest, Shown::wide},
          {"seq", "Seq", event.seq, Shown::wide}};
}

std::string event_json(const store::EventRow& event) {
  const auto number = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
  const Json json{{"at", format_time_utc(event.at)},
                  {"event", name_of(event.kind)},
                  {"from", state_name(event.from_state)},
                  {"to", state_name(event.to_state)},
                  {"round", number(event.round)},
                  {"words", words_of(event)},
                  {"http_status", number(event.http_status)},
                  {"sends", number(event.sends)},
                  {"shared_by", number(event.shared_by)},
                  {"duration_us", number(event.duration_us)},
                  {"reference", event.reference},
                  {"reply_digest", event.reply_digest},
                  {"seq", event.seq}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Record details_of(const IssuanceView& view, bool for_people) {
  Record record = summary_of(view);
  const store::IssuanceRow& row = view.row;
  record.push_back({"words", "Which means", words_of(row)});
  record.push_back({"downstream", "Downstream", view.downstream});
  // A year or a day is no quantity: people read 2026, not 2,026.
  const auto occurrence = static_cast<std::int64_t>(row.key.occurrence);
  record.push_back({"occurrence", "Occurrence",
                    for_people ? Value{std::to_string(occurrence)} : Value{occurrence}});
  record.push_back({"round", "Round", int{row.round}});
  record.push_back({"strikes", "Strikes", row.strikes});
  record.push_back({"campaign_version", "Campaign version", row.campaign_version});
  record.push_back({"downstream_version", "Downstream version", row.downstream_version});
  record.push_back({"intent_at", "Intent", row.intent});
  record.push_back({"doubt_since", "Doubt since", Value{row.doubt}});
  record.push_back({"http_status", "Last HTTP", Value{}});
  record.push_back({"reply_digest", "Reply digest", Value{}});
  if (view.last) {
    record[record.size() - 2].value = Value{view.last->http_status};
    record.back().value = view.last->reply_digest;
  }
  return record;
}

Result<int> show(Session& session, const ShowOptions& options) {
  VOUCH_CHECK(parse_issuance_id(options.id).map([](const RequestId&) {}));
  VOUCH_TRY(RecipientDisplay display,
            RecipientDisplay::choose(session, options.reveal, "issuance " + options.id));
  VOUCH_TRY(IssuanceBook book, IssuanceBook::open(session, std::move(display)));
  VOUCH_TRY(const IssuanceView view, book.find(options.id));
  Output& out = session.out();
  Record record = details_of(view, out.is_for_people());
  if (!options.timeline) {
    VOUCH_CHECK(out.show(record));
    return 0;
  }
  VOUCH_TRY(auto history, book.ledger().history(view.row, kHistoryMax));
  std::reverse(history.begin(), history.end());
  if (!out.is_for_people()) {
    std::vector<std::string> events;
    for (const store::EventRow& event : history) events.push_back(event_json(event));
    record.push_back({"timeline", "Timeline", Value::json("[" + join(events, ",") + "]")});
    VOUCH_CHECK(out.show(record));
    return 0;
  }
  VOUCH_CHECK(out.show(record));
  out.text("\n");
  VOUCH_TRY(Listing events, out.list(columns_of(event_record({}))));
  for (const store::EventRow& event : history) events.row(values_of(event_record(event)));
  events.end("nothing has happened to it yet");
  return 0;
}

// A call or a query of an issuance, for `issuance explain`.
Record try_record(const store::EventRow& event) {
  const bool has_outcome = event.outcome.has_value();
  return {{"at", "At", event.at},
          {"what", "What", event.kind == EventKind::asked ? "query" : "call"},
          {"outcome", "Outcome",
           has_outcome ? Value{name_of(static_cast<Outcome>(*event.outcome))} : Value{"unknown"}},
          {"http_status", "HTTP", Value{event.http_status}},
          {"bytes_left", "Bytes left", event.sends ? Value{*event.sends > 0} : Value{}},
          {"reference", "Reference", event.reference},
          {"words", "What happened", words_of(event)}};
}

std::string try_json(const store::EventRow& event) {
  Json json{{"at", format_time_utc(event.at)},
            {"what", event.kind == EventKind::asked ? "query" : "call"},
            {"outcome", "unknown"},
            {"http_status", event.http_status ? Json(*event.http_status) : Json(nullptr)},
            {"bytes_left", event.sends ? Json(*event.sends > 0) : Json(nullptr)},
            {"reference", event.reference},
            {"words", words_of(event)}};
  if (event.outcome) json["outcome"] = name_of(static_cast<Outcome>(*event.outcome));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<void> show_tries(Session& session, const std::vector<store::EventRow>& tries) {
  session.out().text("\n");
  VOUCH_TRY(Listing listing, session.out().list(columns_of(try_record({}))));
  for (const store::EventRow& event : tries) listing.row(values_of(try_record(event)));
  listing.end();
  return {};
}

Result<int> explain_issuance(Session& session, const ShowOptions& options) {
  VOUCH_CHECK(parse_issuance_id(options.id).map([](const RequestId&) {}));
  VOUCH_TRY(RecipientDisplay display,
            RecipientDisplay::choose(session, options.reveal, "issuance " + options.id));
  VOUCH_TRY(IssuanceBook book, IssuanceBook::open(session, std::move(display)));
  VOUCH_TRY(const IssuanceView view, book.find(options.id));
  VOUCH_TRY(const auto history, book.ledger().history(view.row, kHistoryMax));
  VOUCH_TRY(const auto job, book.job_of(view.row));
  VOUCH_TRY(const plan::Campaign campaign, book.campaign_of(view.row));
  VOUCH_TRY(const IssuanceFacts facts, facts_of(session, book.jobs(), view.row, campaign, job));
  const Explanation words = explain(view.row, history, facts, session.now());
  VOUCH_TRY(const auto locks, lock_service_of(&book.ledger(), session.daemon(session.instance())));
  std::vector<store::EventRow> tries{history.rbegin(), history.rend()};
  std::erase_if(tries, [](const store::EventRow& event) { return !is_try(event); });
  Record record{{"id", "Issuance", view.id()},
                {"state", "State", name_of(view.row.state)},
                {"recipient", "Recipient", view.recipient},
                {"where", "Where it is", words.where},
                {"why", "Why", words.why},
                {"tried", "What was tried", words.tried},
                {"next", "What comes next", words.next},
                {"locks", "Locks", words_of(locks)},
                {"advice", "What you can do", words.advice}};
  const bool for_people = session.out().is_for_people();
  if (!for_people) {
    std::vector<std::string> all;
    for (const store::EventRow& event : tries) all.push_back(try_json(event));
    record.push_back({"attempts", "Attempts", Value::json("[" + join(all, ",") + "]")});
  }
  VOUCH_CHECK(session.out().show(record));
  if (for_people && !tries.empty()) VOUCH_CHECK(show_tries(session, tries));
  return 0;
}

void add_list(Group& group) {
  std::vector<std::string> states;
  for (const std::string_view name : kIssuanceStateNames) states.emplace_back(name);
  auto options = std::make_shared<ListOptions>();
  group
      .leaf({.name = "list",
             .summary = "List issuances of a campaign, a job or a recipient",
             .description = "In the order of their ids.  Where there are more than --limit, the "
                            "line on stderr says how to go on.",
             .examples = {"vouchctl issuance list --job birthday-november --state declined",
                          "vouchctl issuance list --campaign birthday --limit 20 -o ndjson"}},
            [options](Session& session) { return list(session, *options); })
      .option("--campaign", "C", options->campaign, "of this campaign")
      .option("--job", "JOB", options->job, "for which this job is responsible")
      .option("--recipient", "R", options->recipient, "of this recipient")
      .one_of("--state", options->state, states, "only those in this state")
      .number("--limit", "N", options->limit, 0, INT64_MAX, "at most so many (100); 0: all")
      .option("--after", "ID", options->after, "go on behind this issuance")
      .flag("--reveal", options->reveal, kRevealHelp);
}

}  // namespace

void add_issuance_commands(CommandLine& line) {
  Group group = line.top().group("issuance", "Vouchers owed to recipients, one by one");
  add_issuance_create(group);
  add_list(group);
  const std::string first =
      "\"$(vouchctl issuance list --job birthday-november --limit 1 -o name)\"";
  auto shown = std::make_shared<ShowOptions>();
  group
      .leaf({.name = "show",
             .summary = "Show one issuance",
             .examples = {"vouchctl issuance show " + first,
                          "vouchctl issuance show " + first + " --timeline -o json"}},
            [shown](Session& session) { return show(session, *shown); })
      .required("ID", shown->id, kIdHelp)
      .flag("--timeline", shown->timeline, "and everything that happened to it")
      .flag("--reveal", shown->reveal, kRevealHelp);

  auto explained = std::make_shared<ShowOptions>();
  group
      .leaf({.name = "explain",
             .summary = "Say in plain words where an issuance is, why, and what comes next",
             .examples = {"vouchctl issuance explain " + first,
                          "vouchctl issuance explain " + first + " -o json"}},
            [explained](Session& session) { return explain_issuance(session, *explained); })
      .required("ID", explained->id, kIdHelp)
      .flag("--reveal", explained->reveal, kRevealHelp);
  add_issuance_resolve(group);
}

}  // namespace vouch::cli
