#include "common/store/control_change.hpp"

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kOperatorExists = "SELECT 1 FROM operator WHERE name = :name";
constexpr std::string_view kLastAudit = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";
constexpr std::string_view kInsertAudit = R"sql(
  INSERT INTO audit (seq, at_ms, operator, action, object, detail, hash)
  VALUES (:seq, :at_ms, :operator, :action, :object, :detail, :hash)
)sql";
constexpr std::string_view kNextVersion =
    "UPDATE control_version SET version = version + 1 WHERE id = 1";

// vouchd acts for itself where no person does: it answers, pauses for setup, goes on.
constexpr std::string_view kDaemon = "vouchd";

// Lengths stand before the texts, so that no two rows have the same bytes.
void put(std::string& out, std::string_view text) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

}  // namespace

struct Detail::State {
  Json json = Json::object();
};

Detail::Detail() : state_{std::make_unique<State>()} {}
Detail::~Detail() = default;

Detail& Detail::set(std::string_view key, std::string_view value) {
  state_->json[std::string{key}] = value;
  return *this;
}
Detail& Detail::set(std::string_view key, std::int64_t value) {
  state_->json[std::string{key}] = value;
  return *this;
}
Detail& Detail::set_real(std::string_view key, std::optional<double> value) {
  state_->json[std::string{key}] = value ? Json(*value) : Json(nullptr);
  return *this;
}
Detail& Detail::set_flag(std::string_view key, bool value) {
  state_->json[std::string{key}] = value;
  return *this;
}
Detail& Detail::set_json(std::string_view key, std::string_view json) {
  auto parsed = parse_json(json);
  state_->json[std::string{key}] = parsed ? std::move(*parsed) : Json(std::string{json});
  return *this;
}

std::string Detail::text() const {
  return state_->json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Digest256 audit_hash(Blob previous, const AuditRow& row) {
  std::string bytes{reinterpret_cast<const char*>(previous.data()), previous.size()};
  put(bytes, std::to_string(row.seq));
  put(bytes, std::to_string(to_ms(row.at)));
  put(bytes, row.operator_name);
  put(bytes, row.action);
  put(bytes, row.object);
  put(bytes, row.detail_json);
  return sha256(bytes);
}

Result<ControlChange> ControlChange::begin(Database& database, const Actor& actor) {
  VOUCH_TRY(ControlChange change, begin_unchecked(database, actor));
  if (actor.operator_name == kDaemon) return change;
  Statement& exists = database.prepared(kOperatorExists).bind(":name", actor.operator_name);
  VOUCH_TRY(const bool found, exists.step());
  if (!found) {
    return fail(Errc::not_permitted, "\"" + actor.operator_name + "\" is not an operator",
                "an administrator can add one: vouchctl operator create");
  }
  exists.reset();
  return change;
}

Result<ControlChange> ControlChange::begin_unchecked(Database& database, const Actor& actor) {
  VOUCH_TRY(Transaction transaction, Transaction::begin(database));
  return ControlChange{database, std::move(transaction), actor};
}

Result<void> ControlChange::commit(std::string_view action, std::string_view object,
                                   std::string_view detail_json) {
  if (actor_.dry_run) return {};  // the transaction is undone when the change leaves its scope
  AuditRow row{0,
               actor_.now,
               actor_.operator_name,
               std::string{action},
               std::string{object},
               std::string{detail_json}};
  Digest256 previous{};
  Statement& last = database_->prepared(kLastAudit);
  VOUCH_TRY(const bool found, last.step());
  if (found) {
    row.seq = last.integer(0);
    const Blob hash = last.blob(1);
    std::copy_n(hash.begin(), std::min(hash.size(), previous.size()), previous.begin());
    last.reset();
  }
  ++row.seq;
  const Digest256 hash = audit_hash(previous, row);
  VOUCH_CHECK(database_->prepared(kInsertAudit)
                  .bind(":seq", row.seq)
                  .bind(":at_ms", row.at)
                  .bind(":operator", row.operator_name)
                  .bind(":action", row.action)
                  .bind(":object", row.object)
                  .bind(":detail", row.detail_json)
                  .bind(":hash", Blob{hash})
                  .run());
  VOUCH_CHECK(database_->prepared(kNextVersion).run());
  return transaction_.commit();
}

tl::unexpected<Error> not_found(Database& database, std::string_view names_sql,
                                std::string_view what, std::string_view name) {
  const auto names =
      all_rows(database.prepared(names_sql), [](const Statement& row) { return row.string(0); });
  const std::string near = names ? nearest(name, *names) : std::string{};
  std::string hint = "list them: vouchctl " + std::string{what} + " list";
  if (!near.empty()) hint = "did you mean \"" + near + "\"?";
  return fail(Errc::not_found,
              "no " + std::string{what} + " is called \"" + std::string{name} + "\"",
              std::move(hint));
}

std::optional<std::int64_t> id_in(ObjectKind kind, std::string_view text) {
  const auto id = parse_id(kind, text);
  if (!id) return std::nullopt;
  return stored(*id);
}

}  // namespace vouch::store
