// vouchctl issuance resolve: people decide about rows in doubt or held.
#include "cli/resolve_command.hpp"

#include "cli/issuance_view.hpp"
#include "cli/resolve_rows.hpp"
#include "common/policy.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kPagePoll{100};
constexpr std::string_view kByHand = "by hand";
constexpr std::string_view kByReference = "by reference";

struct ResolveLine {
  std::string issuance, job, state, as, reason, reference, references, note;
  std::vector<std::string> where;
  std::string confirm, refuse, digest;
  bool by_hand = false;
  bool list = false;
};

// What is to be proposed: the rows, and what is said of them.
struct Wish {
  ObjectId job = 0;
  plan::Campaign campaign;
  IssuanceState to = IssuanceState::failed;
  std::string scope;
  ResolveRows rows;
};

Result<plan::Campaign> campaign_of_job(Session& session, ObjectId job) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  if (const auto row = control->job_by_id(job)) {
    return control->campaign_version(row->campaign, row->campaign_version);
  }
  // Single issuances share a job that has their campaign's id.
  VOUCH_TRY(const store::CampaignRow campaign,
            control->campaign(format_id(ObjectKind::campaign, job)));
  return campaign.definition;
}

// --- showing -------------------------------------------------------------------------------------

struct Sum {
  std::int64_t rows = 0, amount_minor = 0;
};
std::map<std::string, Sum> by_currency(const std::map<int, ItemSum>& items,
                                       const plan::Campaign& campaign) {
  std::map<std::string, Sum> sums;
  for (const auto& [item, sum] : items) {
    const auto at = static_cast<std::size_t>(item);
    Sum& into = sums[at < campaign.items.size() ? campaign.items[at].amount.currency : ""];
    into.rows += sum.rows;
    into.amount_minor += sum.amount_minor;
  }
  return sums;
}

Value amounts_value(Session& session, const std::map<std::string, Sum>& sums) {
  std::vector<std::string> words;
  Json json = Json::array();
  for (const auto& [currency, sum] : sums) {
    json.push_back(
        {{"currency", currency}, {"rows", sum.rows}, {"amount_minor", sum.amount_minor}});
    words.push_back(currency.empty() ? format_count(sum.rows) + " without a value"
                                     : format_amount(sum.amount_minor, currency));
  }
  return session.out().is_for_people() ? Value{join(words, ", ")} : Value::json(json.dump());
}

std::optional<WallTime> time_in(const Json& json, const char* key) {
  if (!json.contains(key)) return std::nullopt;
  return from_ms(json.at(key).get<std::int64_t>());
}

std::string text_in(const Json& json, const char* key) {
  return json.value(key, std::string{});
}

Result<Record> record_of(Session& session, const Json& proposal) {
  VOUCH_TRY(const ObjectId job, parse_id(ObjectKind::job, text_in(proposal, "job")));
  VOUCH_TRY(const plan::Campaign campaign, campaign_of_job(session, job));
  std::map<int, ItemSum> items;
  for (const Json& item : proposal.at("items")) {
    items[item.value("item", 0)] = {item.value("rows", std::int64_t{0}),
                                    item.value("amount_minor", std::int64_t{0})};
  }
  const Json grant = proposal.value("grant", Json::object());
  const std::int64_t rows = proposal.value("rows", std::int64_t{0});
  const std::int64_t applied = proposal.value("applied", std::int64_t{0});
  const std::int64_t left = proposal.value("left", std::int64_t{0});
  const bool is_done = text_in(proposal, "state") == "done";
  const Json nobody = Json::object();
  return Record{{"id", "Proposal", text_in(proposal, "id")},
                {"state", "State", text_in(proposal, "state")},
                {"as", "As", text_in(proposal, "as")},
                {"rows", "Rows", rows},
                {"amounts", "Amounts", amounts_value(session, by_currency(items, campaign))},
                {"job", "Job", text_in(proposal, "job")},
                {"scope", "Which", text_in(proposal, "scope")},
                {"reason", "Reason", text_in(proposal, "reason")},
                {"evidence", "Evidence", text_in(proposal, "evidence"), Shown::wide},
                {"statement", "Statement", text_in(proposal, "statement"), Shown::wide},
                {"digest", "Digest", text_in(proposal, "digest"), Shown::wide},
                {"by", "By", text_in(proposal.value("by", nobody), "operator")},
                {"at", "At", Value{time_in(proposal, "at_ms")}, Shown::wide},
                {"decided_by", "Decided by", text_in(grant.value("by", nobody), "operator")},
                {"decided_at", "Decided at", Value{time_in(grant, "at_ms")}, Shown::wide},
                {"words", "Words", text_in(grant, "words"), Shown::wide},
                {"applied", "Applied", applied},
                {"left_alone", "Left alone", is_done ? Value{rows - left - applied} : Value{}},
                {"ended_at", "Ended", Value{time_in(proposal, "ended_ms")}, Shown::wide}};
}

Result<Record> record_of(Session& session, const Wish& wish, const ResolveLine& line) {
  return Record{
      {"id", "Proposal", Value{}},
      {"state", "State", "wanted"},
      {"as", "As", name_of(wish.to)},
      {"rows", "Rows", wish.rows.size()},
      {"amounts", "Amounts", amounts_value(session, by_currency(wish.rows.items(), wish.campaign))},
      {"job", "Job", format_id(ObjectKind::job, wish.job)},
      {"scope", "Which", wish.scope},
      {"reason", "Reason", line.reason},
      {"digest", "Digest", wish.rows.digest()}};
}

// --- asking --------------------------------------------------------------------------------------

std::string rows_text(std::int64_t rows) {
  return format_count(rows) + (rows == 1 ? " row" : " rows");
}

// For people the whole proposal: it is what the dry run was asked for.
Result<int> show_dry_run(Session& session, const Record& record, const std::string& done) {
  if (!session.out().is_for_people()) {
    VOUCH_CHECK(session.out().changed("proposal", done, record, true));
    return 0;
  }
  VOUCH_CHECK(session.out().show(record));
  session.out().note("dry run: the proposal would be " + done + "; nothing was changed");
  return 0;
}

// What the answer "yes" means, said before the question.
void say_what_it_means(Session& session, IssuanceState to, std::int64_t count) {
  const std::string rows = rows_text(count);
  if (to == IssuanceState::waiting) {
    session.out().warn(
        "as waiting: " + rows +
        " will be CALLED AGAIN, each under the request id it has.  Say this "
        "only when it is proven that none of them was executed: if one was, its recipient gets a "
        "second voucher wherever the downstream does not know the request id any more");
  } else if (to == IssuanceState::failed) {
    session.out().warn("as failed: " + rows + (count == 1 ? " ends" : " end") +
                       " as not executed.  A later `job rerun --state failed` calls them again");
  } else {
    session.out().warn("as issued: " + rows +
                       (count == 1 ? " counts as given, and is never called again"
                                   : " count as given, and are never called again"));
  }
}

Result<void> check_words(const ResolveLine& line) {
  const bool is_set = !line.job.empty();
  if (line.issuance.empty() == !is_set) {
    return fail(Errc::usage, "which rows?", "one ISSUANCE, or a set: --job J --state held");
  }
  if (is_set && line.state.empty()) return fail(Errc::usage, "--state: held or in_doubt?");
  if (!is_set && (!line.state.empty() || !line.where.empty() || !line.references.empty())) {
    return fail(Errc::usage, "--state, --where and --references are about a set",
                "say --job J as well, and no ISSUANCE");
  }
  if (line.as.empty()) return fail(Errc::usage, "--as: issued, failed or waiting?");
  if (trim_blanks(line.reason).empty()) return fail(Errc::usage, "--reason: why? it is kept");
  const bool has_evidence = !line.reference.empty() || !line.references.empty() || line.by_hand;
  if (line.as != "issued") {
    if (!has_evidence && line.note.empty()) return {};
    return fail(Errc::usage, "evidence is asked for with --as issued, and only then");
  }
  if (is_set && !line.reference.empty()) {
    return fail(Errc::usage, "--reference names one voucher, and this is a set",
                "--references FILE has one for each row");
  }
  if (line.by_hand && !(line.reference.empty() && line.references.empty())) {
    return fail(Errc::usage, "--by-hand says that there is no reference, and one is given",
                "settle those with references first, then the rest with --by-hand");
  }
  if (has_evidence) return {};
  return fail(Errc::usage, "nothing is called issued without evidence",
              is_set ? "--references FILE, a CSV of request_id and reference; or --by-hand, which "
                       "says that there is none but people's word"
                     : "--reference REF as the downstream names it; or --by-hand, which says that "
                       "there is none but people's word");
}

std::string evidence_of(const ResolveLine& line) {
  if (line.as != "issued") return "";
  std::string text{line.by_hand ? kByHand : kByReference};
  return line.note.empty() ? text : text + ", " + line.note;
}

// --- gathering -----------------------------------------------------------------------------------

Result<Wish> one_row(Session& session, const ResolveLine& line) {
  VOUCH_CHECK(parse_issuance_id(line.issuance).map([](const RequestId&) {}));
  VOUCH_TRY(RecipientDisplay display, RecipientDisplay::choose(session, false, "issuance resolve"));
  VOUCH_TRY(IssuanceBook book, IssuanceBook::open(session, std::move(display)));
  VOUCH_TRY(const IssuanceView view, book.find(line.issuance));
  const IssuanceState state = view.row.state;
  if (state != IssuanceState::held && state != IssuanceState::in_doubt) {
    return fail(Errc::conflict,
                view.id() + " is " + std::string{name_of(state)} + ": there is nothing to decide",
                "see vouchctl issuance explain " + view.id());
  }
  VOUCH_TRY(ResolveRows rows, ResolveRows::create());
  VOUCH_CHECK(rows.add(view.row, line.reference));
  VOUCH_TRY(plan::Campaign campaign, book.campaign_of(view.row));
  return Wish{view.row.job, std::move(campaign), IssuanceState::failed,
              std::string{name_of(state)} + " " + view.id(), std::move(rows)};
}

Result<Wish> a_set(Session& session, const ResolveLine& line) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(const JobView view, board.find(line.job));
  VOUCH_CHECK(check_instance(session, view));
  VOUCH_TRY(plan::Campaign campaign, campaign_of_job(session, view.row.id));
  VOUCH_TRY(const ResolveFilter filter, parse_resolve_filter(line.where, campaign, session));
  std::optional<References> references;
  if (!line.references.empty()) {
    VOUCH_TRY(references, References::read(session, line.references));
  }
  VOUCH_TRY(store::LedgerView * ledger, session.ledger());
  VOUCH_TRY(ResolveRows rows, ResolveRows::create());
  const IssuanceState state = *issuance_state_of(line.state);
  VOUCH_CHECK(
      rows.gather(*ledger, view.row.id, state, filter, references ? &*references : nullptr));
  if (references && static_cast<std::int64_t>(references->size()) > rows.referenced()) {
    session.out().warn(
        format_count(static_cast<std::int64_t>(references->size()) - rows.referenced()) +
        " lines of " + line.references + " fit none of the " + line.state + " rows");
  }
  std::string scope = line.state + " rows of " + view.id();
  if (!line.where.empty()) scope += " where " + join(line.where, " and ");
  return Wish{view.row.id, std::move(campaign), IssuanceState::failed, std::move(scope),
              std::move(rows)};
}

// A cancelled job calls nobody again, and one that is over takes no row back.
Result<void> check_job_goes_on(Session& session, ObjectId job) {
  VOUCH_TRY(store::LedgerView * ledger, session.ledger());
  VOUCH_TRY(const auto progress, ledger->job(job));
  const bool ends =
      progress && (progress->state == JobState::cancelling || is_over(progress->state));
  if (!ends) return {};
  const std::string id = format_id(ObjectKind::job, job);
  return fail(Errc::conflict,
              id + " is " + std::string{name_of(progress->state)} + ": it calls nobody again",
              "resolve them as failed, then: vouchctl job rerun " + id + " --state failed");
}

// --- deciding ------------------------------------------------------------------------------------

// Until every row has been gone through.
Result<Json> await_end(Session& session, const ControlCall& vouchd, Json proposal) {
  const std::string path = "/proposals/" + text_in(proposal, "id");
  Progress progress{session.out(), session.terminal(), "resolving"};
  while (text_in(proposal, "state") == "granted") {
    const std::int64_t rows = proposal.value("rows", std::int64_t{0});
    progress.update(rows - proposal.value("left", std::int64_t{0}), rows, "",
                    session.clock().now());
    sleep_until(session.clock(), session.clock().now() + kPagePoll);
    VOUCH_TRY(const Json answer, vouchd.get(path));
    proposal = answer.at("proposal");
  }
  progress.clear();
  return proposal;
}

Result<int> show_end(Session& session, const Json& proposal) {
  VOUCH_TRY(const Record record, record_of(session, proposal));
  const std::int64_t rows = proposal.value("rows", std::int64_t{0});
  const std::int64_t applied = proposal.value("applied", std::int64_t{0});
  const std::int64_t alone = rows - applied;
  const std::string done = applied == 0 ? "no row was changed"
                                        : rows_text(applied) + (applied == 1 ? " is " : " are ") +
                                              text_in(proposal, "as");
  VOUCH_CHECK(session.out().changed("proposal", "carried out: " + done, record));
  if (alone > 0) {
    session.out().warn(rows_text(alone) + " had changed since the proposal was made, and " +
                       (alone == 1 ? "was" : "were") + " left alone");
  }
  return 0;
}

Result<int> confirm_it(Session& session, const ControlCall& vouchd, const Json& proposal) {
  const Json body{{"digest", text_in(proposal, "digest")}};
  VOUCH_TRY(const Json answer,
            vouchd.post("/proposals/" + text_in(proposal, "id") + "/confirm", body));
  VOUCH_TRY(const Json ended, await_end(session, vouchd, answer.at("proposal")));
  return show_end(session, ended);
}

Result<int> propose(Session& session, const ResolveLine& line) {
  VOUCH_CHECK(check_words(line));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(Wish wish, line.job.empty() ? one_row(session, line) : a_set(session, line));
  wish.to = *issuance_state_of(line.as);
  if (wish.rows.size() == 0) {
    session.out().note("no such rows: nothing is to be decided");
    return 0;
  }
  if (wish.to == IssuanceState::waiting) VOUCH_CHECK(check_job_goes_on(session, wish.job));
  VOUCH_TRY(const Record wanted, record_of(session, wish, line));
  if (actor.dry_run) return show_dry_run(session, wanted, "made");
  const std::string rows = rows_text(wish.rows.size());
  if (session.out().is_for_people() && !session.quiet()) VOUCH_CHECK(session.out().show(wanted));
  say_what_it_means(session, wish.to, wish.rows.size());
  VOUCH_CHECK(session.require_yes("resolve " + rows + " as " + line.as + "?"));
  VOUCH_TRY(const ControlCall vouchd, ControlCall::open(session));
  const Json draft{{"job", format_id(ObjectKind::job, wish.job)},
                   {"as", line.as},
                   {"reason", line.reason},
                   {"evidence", evidence_of(line)},
                   {"scope", wish.scope}};
  VOUCH_TRY(const std::string id, wish.rows.send(vouchd, draft));
  VOUCH_TRY(const Json made, vouchd.get("/proposals/" + id));
  if (text_in(made, "policy") != kFourEyes) {
    return confirm_it(session, vouchd, made.at("proposal"));
  }
  VOUCH_TRY(const Record record, record_of(session, made.at("proposal")));
  VOUCH_CHECK(session.out().changed("proposal", "made; nothing is changed yet", record));
  session.out().note("another operator confirms it: vouchctl issuance resolve --confirm " + id);
  return 0;
}

Result<int> confirm(Session& session, const ResolveLine& line) {
  VOUCH_TRY(const ControlCall vouchd, ControlCall::open(session));
  VOUCH_TRY(const Json answer, vouchd.get("/proposals/" + line.confirm));
  const Json& proposal = answer.at("proposal");
  if (!line.digest.empty() && line.digest != text_in(proposal, "digest")) {
    return fail(Errc::conflict, line.confirm + " has another digest than " + line.digest,
                "look at it again: vouchctl issuance resolve --list -o wide");
  }
  VOUCH_TRY(const Record record, record_of(session, proposal));
  if (session.dry_run()) return show_dry_run(session, record, "confirmed");
  if (session.out().is_for_people() && !session.quiet()) VOUCH_CHECK(session.out().show(record));
  const std::int64_t count = proposal.value("rows", std::int64_t{0});
  const std::string as = text_in(proposal, "as");
  say_what_it_means(session, issuance_state_of(as).value_or(IssuanceState::failed), count);
  VOUCH_CHECK(session.require_yes("confirm that " + rows_text(count) +
                                  (count == 1 ? " is" : " are") + " resolved as " + as + "?"));
  return confirm_it(session, vouchd, proposal);
}

Result<int> refuse(Session& session, const ResolveLine& line) {
  if (trim_blanks(line.reason).empty()) return fail(Errc::usage, "--reason: why? it is kept");
  VOUCH_TRY(const ControlCall vouchd, ControlCall::open(session));
  const std::string path = "/proposals/" + line.refuse;
  VOUCH_TRY(Json answer, vouchd.get(path));
  if (!session.dry_run()) {
    VOUCH_TRY(answer, vouchd.post(path + "/refuse", Json{{"reason", line.reason}}));
  }
  VOUCH_TRY(const Record record, record_of(session, answer.at("proposal")));
  VOUCH_CHECK(session.out().changed("proposal", "refused", record, session.dry_run()));
  return 0;
}

Result<int> list(Session& session) {
  VOUCH_TRY(const ControlCall vouchd, ControlCall::open(session));
  VOUCH_TRY(const Json answer, vouchd.get("/proposals"));
  std::optional<Listing> listing;
  for (const Json& proposal : answer.at("proposals")) {
    VOUCH_TRY(Record record, record_of(session, proposal));
    if (!listing) {
      VOUCH_TRY(Listing begun, session.out().list(columns_of(record)));
      listing.emplace(std::move(begun));
    }
    listing->row(values_of(std::move(record)));
  }
  if (listing) {
    listing->end();
  } else {
    session.out().note("nothing has been proposed");
  }
  return 0;
}

Result<int> resolve(Session& session, const ResolveLine& line) {
  const int ways = (line.list ? 1 : 0) + (line.confirm.empty() ? 0 : 1) +
                   (line.refuse.empty() ? 0 : 1) + (line.as.empty() ? 0 : 1);
  if (ways > 1) {
    return fail(Errc::usage, "--as, --confirm, --refuse and --list: one of them at a time");
  }
  if (line.list) return list(session);
  if (!line.confirm.empty()) return confirm(session, line);
  if (!line.refuse.empty()) return refuse(session, line);
  return propose(session, line);
}

}  // namespace

void add_issuance_resolve(Group& issuance) {
  auto line = std::make_shared<ResolveLine>();
  Arguments arguments = issuance.leaf(
      {.name = "resolve",
       .summary = "Decide what becomes of issuances that are in doubt or held",
       .description =
           "For one issuance, or a set: exactly the rows that are shown, by their digest.  Under "
           "the policy four-eyes it is a proposal until another operator confirms it.  Rows that "
           "change meanwhile are left alone.",
       .examples = {"vouchctl issuance resolve --job birthday-november --state held --as failed "
                    "--reason \"the partner has none of them\" --yes",
                    "vouchctl issuance resolve --job birthday-november --state in_doubt "
                    "--where item=coupon --as issued --by-hand --reason \"seen there\" --dry-run"}},
      [line](Session& session) { return resolve(session, *line); });
  arguments.optional("ISSUANCE", line->issuance, "its 40 letters, as every list shows them")
      .option("--job", "J", line->job, "a set: rows of this job")
      .one_of("--state", line->state, {"held", "in_doubt"}, "of the set: in this state")
      .list("--where", "KEY=VALUE", line->where,
            "of the set: outcome=unknown, item=NAME, downstream=NAME, before=TIME")
      .one_of("--as", line->as, {"issued", "failed", "waiting"},
              "executed; not executed; not executed, and to be called again")
      .option("--reason", "TEXT", line->reason, "why; it is kept with every row")
      .option("--reference", "REF", line->reference, "of one issued: the downstream's name for it")
      .option("--references", "FILE", line->references,
              "of a set: a CSV with request_id or recipient_id, and reference")
      .flag("--by-hand", line->by_hand, "issued on people's word, where there is no reference")
      .option("--note", "TEXT", line->note, "of issued ones: where the evidence lies");
  arguments.option("--confirm", "PROPOSAL", line->confirm, "say yes to it")
      .option("--digest", "D", line->digest, "with --confirm: only if this is its digest")
      .option("--refuse", "PROPOSAL", line->refuse, "say no to it, with --reason")
      .flag("--list", line->list, "what was proposed, the open ones first")
      .changes();
}

}  // namespace vouch::cli
