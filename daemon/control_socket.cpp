#include "daemon/control_socket.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/log.hpp"
#include "common/plan/campaign.hpp"
#include "common/policy.hpp"
#include "common/set_digest.hpp"
#include "common/text.hpp"
#include "daemon/data/ledger_file.hpp"

namespace vouch::daemon {
namespace {

using access::HttpRequest;
using access::HttpResponse;
using data::Proposal;
using data::ProposalState;

constexpr std::string_view kRoot = "/proposals";
constexpr std::string_view kExports = "/exports/";
constexpr int kShownMax = 50;
// What stands for a reference: that people say so.
constexpr std::string_view kByHand = "by hand";
constexpr std::size_t kReasonBytesMax = 500;
constexpr std::size_t kReferenceBytesMax = 200;
constexpr std::size_t kStatementReferenceBytesMax = 2000;
constexpr Millis kWriteTimeout{10'000};
constexpr Millis kWritePoll{1};
// Between pages, so that calls and their outcomes come first.
constexpr Millis kPageApart{20};
constexpr Millis kLookEvery{1'000};
constexpr std::size_t kAccountBytes = 16 * 1024;

Result<std::string> account_of(uid_t uid) {
  std::vector<char> buffer(kAccountBytes);
  passwd entry{};
  passwd* found = nullptr;
  const int error = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  if (error == 0 && found != nullptr) return std::string{found->pw_name};
  return fail(Errc::not_permitted, "the user id " + std::to_string(uid) + " has no account here");
}

Json json_of(const data::Authority& by) {
  return {{"operator", by.operator_name}, {"account", by.account}, {"uid", by.uid}};
}

Json json_of(const Proposal& proposal) {
  Json out{{"id", format_id(ObjectKind::proposal, proposal.id)},
           {"state", name_of(proposal.state)},
           {"job", format_id(ObjectKind::job, proposal.job)},
           {"as", name_of(proposal.to)},
           {"reason", proposal.reason},
           {"evidence", proposal.evidence},
           {"statement", proposal.statement},
           {"scope", proposal.scope},
           {"by", json_of(proposal.by)},
           {"at_ms", to_ms(proposal.at)},
           {"rows", proposal.rows},
           {"digest", hex(proposal.digest)},
           {"applied", proposal.rows_applied},
           {"left", proposal.rows_left},
           {"items", Json::array()}};
  for (const data::ProposalItem& item : proposal.items) {
    out["items"].push_back(
        {{"item", item.item}, {"rows", item.rows}, {"amount_minor", item.amount_minor}});
  }
  if (proposal.ended) out["ended_ms"] = to_ms(*proposal.ended);
  if (!proposal.grant) return out;
  out["grant"] = Json{{"granted", proposal.grant->granted},
                      {"by", json_of(proposal.grant->by)},
                      {"at_ms", to_ms(proposal.grant->at)},
                      {"words", proposal.grant->words}};
  return out;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpResponse refusal(const Error& error) {
  const Json json{{"ok", false},
                  {"code", name_of(error.code)},
                  {"message", error.message},
                  {"hint", error.hint}};
  const int status = error.code == Errc::not_permitted ? 403
                     : error.code == Errc::not_found   ? 404
                     : error.code == Errc::invalid     ? 400
                                                       : 409;
  return HttpResponse::json(status, text_of(json));
}

Result<Digest128> digest_of(std::string_view text) {
  VOUCH_TRY(const std::string bytes, from_hex(text));
  Digest128 digest{};
  if (bytes.size() != digest.size()) return fail(Errc::invalid, "/digest: must have 32 digits");
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<std::uint8_t>(bytes[i]);
  return digest;
}

Result<std::string> words(JsonReader& reader, const char* key) {
  VOUCH_TRY(std::string text, reader.text(key, kReasonBytesMax));
  const bool is_line = !trim_blanks(text).empty() && !has_control_bytes(text);
  if (!is_line) return reader.refuse(key, "must be one line of text");
  return text;
}

// The reference as the downstream has it, whatever that is: the next statement must find it alike.
Result<void> read_evidence(JsonReader& reader, bool by_statement, data::ProposedRow& row) {
  const std::size_t bytes_max = by_statement ? kStatementReferenceBytesMax : kReferenceBytesMax;
  VOUCH_TRY(const auto reference, reader.optional_text("reference", bytes_max));
  row.reference = reference.value_or("");
  if (!by_statement && has_control_bytes(row.reference)) {
    return reader.refuse("reference", "must be one line of text");
  }
  if (!by_statement) return {};
  VOUCH_TRY(row.amount_minor, reader.optional_integer("amount_minor", 0, plan::kAmountMinorMax));
  return {};
}

Result<data::ProposedRow> read_row(const Json& value, bool by_statement) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(value, "/rows"));
  data::ProposedRow row;
  VOUCH_TRY(row.request_id, reader.text("id"));
  VOUCH_TRY(const RequestId id, parse_request_id(row.request_id));
  // As it is written everywhere, so that the digest is too.
  row.request_id = format_request_id(id.key, id.round);
  VOUCH_TRY(const std::string state, reader.text("state"));
  const auto from = issuance_state_of(state);
  if (from != IssuanceState::in_doubt && from != IssuanceState::held) {
    return reader.refuse("state", "only rows in_doubt or held can be settled");
  }
  row.state = *from;
  VOUCH_TRY(row.last_event, reader.optional_integer("last_event", 1, INT64_MAX));
  VOUCH_CHECK(read_evidence(reader, by_statement, row));
  VOUCH_CHECK(reader.finish());
  return row;
}

tl::unexpected<Error> wrong_state(const Proposal& proposal) {
  const std::string id = format_id(ObjectKind::proposal, proposal.id);
  return fail(Errc::conflict, id + " is " + std::string{name_of(proposal.state)} + " already",
              "vouchctl issuance resolve --list shows what waits");
}

}  // namespace

ControlSocket::ControlSocket(store::ControlStore control, data::LedgerReader reader,
                             std::string policy, Parts parts)
    : control_{std::move(control)},
      reader_{std::move(reader)},
      policy_{std::move(policy)},
      parts_{parts},
      exports_{parts.board, parts.clock,
               [this](data::LedgerMessage message) { return write(std::move(message)); }},
      server_{parts.clock} {
  server_.serve([this](const HttpRequest& request) { return answer(request); });
  server_.on_round([this](Instant now) { return go_on(now); });
  server_.on_report([](std::string_view what) { log::error("control socket", {{"why", what}}); });
}

Result<void> ControlSocket::listen(const std::string& path, const std::string& group_of) {
  const auto id = server_.listen_unix(path, 0660);
  if (!id) return tl::unexpected<Error>(id.error());
  struct stat wanted {};
  struct stat made {};
  if (::stat(group_of.c_str(), &wanted) != 0) return system_error(group_of, errno, "look at");
  if (::stat(path.c_str(), &made) != 0) return system_error(path, errno, "look at");
  // As a rule the folder has given it the right group; the unit files let nobody change it.
  const bool fits = made.st_gid == wanted.st_gid;
  if (!fits && ::chown(path.c_str(), static_cast<uid_t>(-1), wanted.st_gid) != 0) {
    return system_error(path, errno, "give to the store's group");
  }
  return {};
}

void ControlSocket::run() {
  server_.run();
}

void ControlSocket::stop() {
  stop_ = true;
  server_.stop();
}

HttpResponse ControlSocket::answer(const HttpRequest& request) {
  auto done = carry_out(request);
  if (done) return HttpResponse::json(200, std::move(*done));
  log::info("control socket: refused", {{"path", std::string{request.path}},
                                        {"uid", request.peer_uid.value_or(0)},
                                        {"why", done.error().message}});
  return refusal(done.error());
}

// The account comes from the kernel, and from nowhere else.
Result<data::Authority> ControlSocket::authority_of(const HttpRequest& request) {
  if (!request.peer_uid) return fail(Errc::not_permitted, "the account is not known");
  VOUCH_TRY(std::string account, account_of(*request.peer_uid));
  VOUCH_TRY(const store::OperatorRow row, control_.operator_of_account(account));
  return data::Authority{row.name, std::move(account), *request.peer_uid};
}

Result<std::string> ControlSocket::carry_out(const HttpRequest& request) {
  VOUCH_TRY(const data::Authority by, authority_of(request));
  if (request.method == "POST" && request.path.starts_with(kExports)) {
    return exports_.carry_out(control_, by, request.path.substr(kExports.size()), request.body);
  }
  const bool is_root = request.path == kRoot;
  if (!is_root && !request.path.starts_with(std::string{kRoot} + "/")) {
    return fail(Errc::not_found, "there is no " + std::string{request.path} + " here");
  }
  if (is_root && request.method == "POST") return draft(by, request.body);
  if (is_root) {
    VOUCH_TRY(const auto all, data::read_proposals(reader_.database(), kShownMax));
    Json out{{"ok", true}, {"policy", policy_}, {"proposals", Json::array()}};
    for (const Proposal& proposal : all) out["proposals"].push_back(json_of(proposal));
    return text_of(out);
  }
  const std::string_view rest = request.path.substr(kRoot.size() + 1);
  const std::string_view id = rest.substr(0, rest.find('/'));
  const std::string_view verb = rest.substr(std::min(rest.size(), id.size() + 1));
  VOUCH_TRY(const Proposal proposal, find(id));
  if (request.method == "GET" && verb.empty()) return shown(proposal.id);
  const bool own = proposal.by.uid == by.uid;
  if (request.method == "POST" && verb == "rows" && own) return add_rows(proposal, request.body);
  if (request.method == "POST" && verb == "open" && own) return open(proposal, request.body);
  if (request.method == "POST" && verb == "confirm") return confirm(proposal, by, request.body);
  if (request.method == "POST" && verb == "refuse") return refuse(proposal, by, request.body);
  return fail(Errc::not_found, "nothing like this can be done with " + std::string{id});
}

Result<Proposal> ControlSocket::find(std::string_view id) {
  VOUCH_TRY(const ObjectId object, parse_id(ObjectKind::proposal, id));
  VOUCH_TRY(auto proposal, data::read_proposal(reader_.database(), object));
  if (proposal) return std::move(*proposal);
  return fail(Errc::not_found, "there is no proposal " + std::string{id});
}

Result<std::string> ControlSocket::shown(ObjectId id) {
  VOUCH_TRY(const Proposal proposal, find(format_id(ObjectKind::proposal, id)));
  return text_of(Json{{"ok", true}, {"policy", policy_}, {"proposal", json_of(proposal)}});
}

Result<void> ControlSocket::write(data::LedgerMessage message) {
  const std::uint64_t ticket = parts_.writer.push(std::move(message));
  const Instant deadline = parts_.clock.now() + kWriteTimeout;
  while (parts_.writer.committed() < ticket) {
    if (!parts_.health.store_ok()) return tl::unexpected<Error>(parts_.health.error());
    if (stop_ || parts_.clock.now() >= deadline) {
      return fail(Errc::busy, "the ledger has not taken it in time",
                  "see what became of it: vouchctl issuance resolve --list; an export is run "
                  "again");
    }
    sleep_until(parts_.clock, parts_.clock.now() + kWritePoll);
  }
  return {};
}

Result<void> ControlSocket::audit(const data::Authority& by, std::string_view action, ObjectId id,
                                  std::string_view digest) {
  const store::Actor actor{by.operator_name, parts_.clock.wall_now()};
  const Json detail{{"account", by.account}, {"uid", by.uid}, {"digest", digest}};
  return control_.record(actor, action, format_id(ObjectKind::proposal, id), text_of(detail));
}

Result<std::string> ControlSocket::draft(const data::Authority& by, std::string_view body) {
  VOUCH_TRY(const Json json, parse_json(body));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  Proposal proposal;
  VOUCH_TRY(const std::string job, reader.text("job"));
  VOUCH_TRY(proposal.job, parse_id(ObjectKind::job, job));
  VOUCH_TRY(const std::string to, reader.text("as"));
  const auto state = issuance_state_of(to);
  if (state != IssuanceState::issued && state != IssuanceState::failed &&
      state != IssuanceState::waiting) {
    return reader.refuse("as", "must be issued, failed or waiting");
  }
  proposal.to = *state;
  VOUCH_TRY(proposal.reason, words(reader, "reason"));
  VOUCH_TRY(const auto evidence, reader.optional_text("evidence", kReasonBytesMax));
  proposal.evidence = evidence.value_or("");
  if (reader.optional("statement") != nullptr) {
    VOUCH_TRY(proposal.statement, words(reader, "statement"));
  }
  const bool has_evidence = !proposal.evidence.empty() || !proposal.statement.empty();
  if (*state == IssuanceState::issued && !has_evidence) {
    return reader.refuse("evidence", "nothing is called issued without evidence");
  }
  VOUCH_TRY(proposal.scope, words(reader, "scope"));
  VOUCH_CHECK(reader.finish());
  VOUCH_TRY(const bool known, reader_.has_job(proposal.job));
  if (!known) return fail(Errc::not_found, "this instance has no job " + job);
  proposal.id = new_object_id(parts_.random);
  proposal.by = by;
  proposal.at = parts_.clock.wall_now();
  VOUCH_CHECK(write(data::DraftProposal{proposal}));
  return shown(proposal.id);
}

Result<std::string> ControlSocket::add_rows(const Proposal& proposal, std::string_view body) {
  if (proposal.state != ProposalState::draft) return wrong_state(proposal);
  VOUCH_TRY(const Json json, parse_json(body));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const Json* rows, reader.required("rows"));
  if (!rows->is_array() || rows->size() > std::size_t{data::kProposalRowsPage}) {
    return reader.refuse("rows", "must be an array of at most 1000 rows");
  }
  const bool by_statement = !proposal.statement.empty();
  data::AddProposedRows message{.id = proposal.id, .rows = {}};
  for (const Json& value : *rows) {
    VOUCH_TRY(data::ProposedRow row, read_row(value, by_statement));
    const bool has_evidence =
        by_statement || !row.reference.empty() || proposal.evidence.starts_with(kByHand);
    if (proposal.to == IssuanceState::issued && !has_evidence) {
      return reader.refuse("rows", "nothing is called issued without evidence");
    }
    message.rows.push_back(std::move(row));
  }
  VOUCH_CHECK(write(std::move(message)));
  return std::string{R"({"ok":true})"};
}

Result<std::string> ControlSocket::open(const Proposal& proposal, std::string_view body) {
  if (proposal.state != ProposalState::draft) return wrong_state(proposal);
  VOUCH_TRY(const Json json, parse_json(body));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::int64_t rows, reader.integer("rows", 1, INT64_MAX));
  VOUCH_TRY(const std::string digest, reader.text("digest"));
  if (rows != proposal.rows || digest != hex(proposal.digest)) {
    return fail(Errc::conflict,
                "vouchd has taken " + format_count(proposal.rows) + " of " + format_count(rows) +
                    " rows: the others are none of the job's any more",
                "look again, and propose what is left");
  }
  VOUCH_CHECK(audit(proposal.by, "issuance resolve propose", proposal.id, digest));
  VOUCH_CHECK(write(data::OpenProposal{proposal.id}));
  return shown(proposal.id);
}

Result<std::string> ControlSocket::confirm(const Proposal& proposal, const data::Authority& by,
                                           std::string_view body) {
  if (proposal.state != ProposalState::open) return wrong_state(proposal);
  VOUCH_TRY(const Json json, parse_json(body));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string text, reader.text("digest"));
  VOUCH_TRY(const Digest128 digest, digest_of(text));
  if (digest != proposal.digest) {
    return fail(Errc::conflict, "this is not the digest of what was proposed",
                "look at the proposal again before you confirm it");
  }
  const bool four_eyes = policy_ == kFourEyes;
  const bool own = proposal.by.uid == by.uid || proposal.by.operator_name == by.operator_name;
  if (four_eyes && own) {
    return fail(Errc::not_permitted,
                "whoever has proposed it cannot confirm it: " + by.operator_name,
                "another operator must, with an account of his own");
  }
  VOUCH_CHECK(audit(by, "issuance resolve confirm", proposal.id, text));
  VOUCH_CHECK(write(data::DecideProposal{
      {.id = proposal.id,
       .grant = {.granted = true, .by = by, .at = parts_.clock.wall_now(), .words = ""},
       .digest = digest,
       .four_eyes = four_eyes}}));
  log::info("a proposal is confirmed", {{"id", format_id(ObjectKind::proposal, proposal.id)},
                                        {"operator", by.operator_name},
                                        {"rows", proposal.rows}});
  return shown(proposal.id);
}

Result<std::string> ControlSocket::refuse(const Proposal& proposal, const data::Authority& by,
                                          std::string_view body) {
  const bool waits =
      proposal.state == ProposalState::open || proposal.state == ProposalState::draft;
  if (!waits) return wrong_state(proposal);
  VOUCH_TRY(const Json json, parse_json(body));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string why, words(reader, "reason"));
  VOUCH_CHECK(audit(by, "issuance resolve refuse", proposal.id, hex(proposal.digest)));
  VOUCH_CHECK(write(data::DecideProposal{
      {.id = proposal.id,
       .grant = {.granted = false, .by = by, .at = parts_.clock.wall_now(), .words = why},
       .digest = proposal.digest}}));
  return shown(proposal.id);
}

Instant ControlSocket::go_on(Instant now) {
  if (!parts_.health.store_ok() || draining_) return Instant::max();
  if (parts_.writer.committed() < page_ticket_) return now + kPageApart;
  const auto id = data::unfinished_proposal(reader_.database());
  if (!id) {
    log::error("proposals cannot be read; it is tried again", {{"why", id.error().message}});
    return now + kLookEvery;
  }
  if (*id == 0) return now + kLookEvery;
  page_ticket_ = parts_.writer.push(data::ProposalPage{*id});
  return now + kPageApart;
}

}  // namespace vouch::daemon
