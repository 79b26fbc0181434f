// vouchctl log: the events of a ledger, as they were and as they come.
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/identity.hpp"
#include "common/text.hpp"
#include "common/wire/transport.hpp"

namespace vouch::cli {
namespace {

using store::EventRow;
using store::LedgerView;

constexpr Millis kFollowPoll{250};
// A ledger that cannot be read for this long is not coming back by itself.
constexpr Millis kReconnectMax{60'000};
constexpr std::int64_t kLinesDefault = 100;

struct LogOptions {
  bool follow = false;
  std::string since, until, job, campaign, recipient, state, kind;
  std::optional<std::int64_t> lines;
  std::optional<std::int64_t> after;
};

// Which events are wanted; what is not set matches all.
struct Wanted {
  std::optional<WallTime> since, until;
  ObjectId job = 0;
  ObjectId campaign = 0;
  std::optional<RecipientKey> recipient;
  std::optional<int> state;
  std::optional<EventKind> kind;

  [[nodiscard]] bool fits(const EventRow& event) const {
    if (since && event.at < *since) return false;
    if (until && event.at >= *until) return false;
    if (job != 0 && event.job != job) return false;
    if (campaign != 0 && (!event.key || event.key->campaign != campaign)) return false;
    if (recipient && (!event.key || event.key->recipient != *recipient)) return false;
    if (state && event.to_state != state) return false;
    return !kind || event.kind == *kind;
  }
};

Result<Wanted> wanted_of(Session& session, const LogOptions& options) {
  Wanted wanted;
  if (!options.since.empty()) {
    VOUCH_TRY(wanted.since, session.time("--since", options.since));
  }
  if (!options.until.empty()) {
    VOUCH_TRY(wanted.until, session.time("--until", options.until));
  }
  for (std::size_t i = 0; i < kEventKindNames.size(); ++i) {
    const bool named = !options.kind.empty() && kEventKindNames[i] == options.kind;
    if (named) wanted.kind = static_cast<EventKind>(i);
  }
  if (!options.state.empty()) {
    wanted.state = static_cast<int>(*issuance_state_of(options.state));
  }
  if (options.job.empty() && options.campaign.empty() && options.recipient.empty()) return wanted;
  VOUCH_TRY(store::ControlStore * control, session.control());
  if (!options.job.empty()) {
    VOUCH_TRY(const store::JobRow job, control->job(options.job));
    wanted.job = job.id;
  }
  if (!options.campaign.empty()) {
    VOUCH_TRY(const store::CampaignRow campaign, control->campaign(options.campaign));
    wanted.campaign = campaign.id;
  }
  if (!options.recipient.empty()) {
    VOUCH_TRY(const std::string secret, control->recipient_secret());
    auto normal = normalise_recipient(options.recipient);
    if (!normal) return usage("--recipient", normal.error());
    wanted.recipient = RecipientKeys{secret}.of(*normal);
  }
  return wanted;
}

// The last event before `time`: numbers rise with time, but for a clock that was set back.
Result<std::int64_t> last_before(LedgerView& ledger, WallTime time) {
  std::int64_t low = 0;  // before `time`
  VOUCH_TRY(std::int64_t high, ledger.last_event());
  ++high;  // at or after it
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    VOUCH_TRY(const auto event, ledger.event(middle));
    if (event && event->at < time) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// The last `count` events that fit, in order: pages are read from the end backwards.
Result<std::deque<EventRow>> last_lines(LedgerView& ledger, const Wanted& wanted, std::int64_t end,
                                        std::size_t count) {
  std::deque<EventRow> lines;
  while (end > 0 && lines.size() < count) {
    const std::int64_t start = std::max<std::int64_t>(0, end - store::kPageRows);
    VOUCH_TRY(auto page, ledger.events(start, static_cast<int>(end - start)));
    for (auto event = page.rbegin(); event != page.rend() && lines.size() < count; ++event) {
      if (wanted.fits(*event)) lines.push_front(std::move(*event));
    }
    if (wanted.since && !page.empty() && page.front().at < *wanted.since) break;
    end = start;
  }
  return lines;
}

// The events of one recipient: found by the recipient's issuances, not by reading the log.
Result<std::deque<EventRow>> lines_of_recipient(Session& session, LedgerView& ledger,
                                                const Wanted& wanted, std::size_t count) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto campaigns, control->campaigns());
  std::deque<EventRow> lines;
  for (const store::CampaignRow& campaign : campaigns) {
    if (wanted.campaign != 0 && wanted.campaign != campaign.id) continue;
    VOUCH_TRY(const auto issuances, ledger.of_recipient(campaign.id, *wanted.recipient));
    for (const store::IssuanceRow& issuance : issuances) {
      VOUCH_TRY(const auto history, ledger.history(issuance));
      for (const EventRow& event : history) {
        if (wanted.fits(event)) lines.push_back(event);
      }
    }
  }
  std::ranges::sort(lines, {}, &EventRow::seq);
  while (lines.size() > count) lines.pop_front();
  return lines;
}

Value state_value(std::optional<int> state) {
  if (!state || *state < 0 || *state >= kIssuanceStates) return {};
  const auto known = static_cast<IssuanceState>(*state);
  const Tone tone = known == IssuanceState::issued ? Tone::good
                    : known == IssuanceState::held || known == IssuanceState::in_doubt ||
                            known == IssuanceState::waiting
                        ? Tone::warn
                    : is_final(known) ? Tone::bad
                                      : Tone::plain;
  return Value{name_of(known)}.tone(tone);
}

Value outcome_value(std::optional<int> outcome) {
  if (!outcome || *outcome < 0 || *outcome >= static_cast<int>(kOutcomeNames.size())) return {};
  return name_of(static_cast<Outcome>(*outcome));
}

Value transport_value(std::optional<int> number) {
  return number ? Value{std::string{wire::transport_name(*number)}} : Value{};
}

Value number_value(std::optional<int> number) {
  return number ? Value{*number} : Value{};
}

Record record_of(const EventRow& event) {
  const auto round = static_cast<std::uint8_t>(event.round.value_or(0));
  return {{"seq", "Seq", event.seq},
          {"at", "At", event.at},
          {"kind", "Kind", name_of(event.kind)},
          {"job", "Job", event.job == 0 ? Value{} : format_id(ObjectKind::job, event.job)},
          {"issuance", "Issuance", event.key ? format_request_id(*event.key, round) : Value{}},
          {"from_state", "From", state_value(event.from_state), Shown::wide},
          {"to_state", "State", state_value(event.to_state)},
          {"outcome", "Outcome", outcome_value(event.outcome)},
          {"http_status", "HTTP", number_value(event.http_status)},
          {"transport", "Transport", transport_value(event.transport), Shown::wide},
          {"sends", "Sends", number_value(event.sends), Shown::wide},
          {"shared_by", "Shared by", number_value(event.shared_by), Shown::wide},
          {"duration_us", "Microseconds", Value{event.duration_us}, Shown::wide},
          {"reference", "Reference", event.reference},
          {"detail", "Detail", event.detail},
          {"reply_digest", "Reply digest", event.reply_digest, Shown::wide},
          {"prev_seq", "Previous", Value{event.prev_seq}, Shown::wide}};
}

// Follows a ledger through restarts of vouchd.  What it returns is an error: it never ends well.
class Follower {
 public:
  Follower(Session& session, Wanted wanted, Listing& listing, std::int64_t cursor)
      : session_{session}, wanted_{std::move(wanted)}, listing_{listing}, cursor_{cursor} {}

  Result<int> run() {
    VOUCH_CHECK(connect());
    Instant lost_at{};
    while (true) {
      const Instant now = session_.clock().now();
      const auto more = step();
      if (more) {
        lost_at = Instant{};
        if (!*more) sleep_until(session_.clock(), now + kFollowPoll);
        continue;
      }
      const Error& error = more.error();
      if (error.code == Errc::conflict) return tl::unexpected<Error>(error);
      if (lost_at == Instant{}) {
        lost_at = now;
        session_.out().note("cannot read the ledger, trying again: " + error.message);
      }
      if (now - lost_at > kReconnectMax) return tl::unexpected<Error>(error);
      ledger_.reset();
      sleep_until(session_.clock(), now + kFollowPoll);
    }
  }

 private:
  // One page; false when there was nothing new.
  Result<bool> step() {
    if (!ledger_) VOUCH_CHECK(connect());
    VOUCH_TRY(const auto page, ledger_->events(cursor_, store::kPageRows));
    if (page.empty()) {
      // Its file may have been replaced under us: then this connection would be silent for ever.
      if (file_of_ledger() != file_) ledger_.reset();
      return false;
    }
    for (const EventRow& event : page) {
      if (wanted_.fits(event)) listing_.row(values_of(record_of(event)));
    }
    cursor_ = page.back().seq;
    listing_.flush();
    return true;
  }

  // The same ledger as before, not a restored copy that is older than what was shown.
  Result<void> connect() {
    VOUCH_TRY(LedgerView ledger, LedgerView::open(session_.paths(), session_.instance()));
    VOUCH_TRY(const std::string id, ledger.meta("ledger_id"));
    VOUCH_TRY(const std::int64_t last, ledger.last_event());
    if ((!ledger_id_.empty() && id != ledger_id_) || last < cursor_) {
      return fail(Errc::conflict, "this is another ledger, or an older copy, than a moment ago",
                  "see `vouchctl doctor`; then follow again");
    }
    ledger_id_ = id;
    file_ = file_of_ledger();
    ledger_ = std::move(ledger);
    return {};
  }

  [[nodiscard]] std::pair<dev_t, ino_t> file_of_ledger() const {
    struct stat status {};
    const std::string path = session_.paths().ledger_db(session_.instance());
    if (::stat(path.c_str(), &status) != 0) return {};
    return {status.st_dev, status.st_ino};
  }

  Session& session_;
  Wanted wanted_;
  Listing& listing_;
  std::int64_t cursor_;
  std::optional<LedgerView> ledger_;
  std::string ledger_id_;
  std::pair<dev_t, ino_t> file_{};
};

// From `cursor` to the end, page by page.  Returns the last number that was read.
Result<std::int64_t> print_from(LedgerView& ledger, const Wanted& wanted, Listing& listing,
                                std::int64_t cursor, std::int64_t lines) {
  while (lines > 0) {
    VOUCH_TRY(const auto page, ledger.events(cursor, store::kPageRows));
    for (const EventRow& event : page) {
      if (lines == 0) break;
      cursor = event.seq;
      if (!wanted.fits(event)) continue;
      listing.row(values_of(record_of(event)));
      --lines;
    }
    if (page.empty() || (wanted.until && page.back().at >= *wanted.until)) break;
  }
  return cursor;
}

Result<int> show_log(Session& session, const LogOptions& options) {
  if (options.follow && !options.until.empty()) {
    return fail(Errc::usage, "--follow goes on without end, --until ends",
                "leave one of them away");
  }
  VOUCH_TRY(Wanted wanted, wanted_of(session, options));
  VOUCH_TRY(Listing listing, session.out().list(columns_of(record_of({}))));
  VOUCH_TRY(LedgerView * ledger, session.ledger());
  std::int64_t cursor = 0;
  const auto count = static_cast<std::size_t>(options.lines.value_or(kLinesDefault));
  if (wanted.recipient && !options.after) {
    VOUCH_TRY(cursor, ledger->last_event());
    VOUCH_TRY(const auto lines, lines_of_recipient(session, *ledger, wanted, count));
    for (const EventRow& event : lines) listing.row(values_of(record_of(event)));
  } else if (options.after || wanted.since) {
    if (options.after) cursor = *options.after;
    if (!options.after) {
      VOUCH_TRY(cursor, last_before(*ledger, *wanted.since));
    }
    VOUCH_TRY(cursor,
              print_from(*ledger, wanted, listing, cursor, options.lines.value_or(INT64_MAX)));
  } else {
    VOUCH_TRY(cursor, ledger->last_event());
    VOUCH_TRY(const auto lines, last_lines(*ledger, wanted, cursor, count));
    for (const EventRow& event : lines) listing.row(values_of(record_of(event)));
  }
  if (options.follow) {
    listing.flush();
    return Follower{session, std::move(wanted), listing, cursor}.run();
  }
  listing.end("no events");
  return 0;
}

std::vector<std::string> kind_words() {
  std::vector<std::string> words;
  for (const std::string_view name : kEventKindNames) {
    if (!name.empty()) words.emplace_back(name);
  }
  return words;
}

}  // namespace

void add_log_commands(CommandLine& line) {
  auto options = std::make_shared<LogOptions>();
  const std::vector<std::string> states{kIssuanceStateNames.begin(), kIssuanceStateNames.end()};
  line.top()
      .leaf({.name = "log",
             .summary = "Show what happened: attempts, job and downstream events",
             .description = "The last 100 events, or all since a time.  Every event has a number; "
                            "--after continues behind it.",
             .examples = {"vouchctl log --since 1h --state declined",
                          "vouchctl log -n 20 -o ndjson --fields seq,at,kind,detail"}},
            [options](Session& session) { return show_log(session, *options); })
      .flag("-f,--follow", options->follow, "go on with what comes, until interrupted")
      .option("--since", "TIME", options->since, "1h, yesterday, 2026-11-22T10:00+02:00")
      .option("--until", "TIME", options->until, "up to this time")
      .number("-n,--lines", "N", options->lines, 1, INT64_MAX, "at most so many (100)")
      .number("--after", "SEQ", options->after, 0, INT64_MAX, "behind the event of this number")
      .option("--job", "JOB", options->job, "only of this job, by id or submit key")
      .option("--campaign", "CAMPAIGN", options->campaign, "only issuances of this campaign")
      .option("--recipient", "ID", options->recipient, "only issuances of this recipient")
      .one_of("--state", options->state, states, "only what led to this state")
      .one_of("--kind", options->kind, kind_words(), "only this kind of event");
}

}  // namespace vouch::cli
