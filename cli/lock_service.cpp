#include "cli/lock_service.hpp"

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {

Result<std::optional<LockService>> lock_service_of(store::LedgerView* ledger,
                                                   const DaemonState& daemon) {
  std::optional<LockService> service;
  if (ledger == nullptr || daemon.kind != DaemonState::Kind::running) return service;
  VOUCH_TRY(const std::string text, ledger->meta("coordination"));
  if (text.empty()) return service;
  VOUCH_TRY(const Json json, parse_json(text));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  service.emplace();
  VOUCH_TRY(service->where, reader.text("where"));
  VOUCH_TRY(service->why, reader.text("why"));
  VOUCH_TRY(const std::int64_t since_ms, reader.integer("since_ms", 0, INT64_MAX));
  service->since = from_ms(since_ms);
  service->is_up = json.value("up", false);
  return service;
}

std::string words_of(const std::optional<LockService>& service) {
  if (!service) return {};
  const std::string since = " since " + format_time_local(service->since);
  if (service->is_up) return service->where + since;
  return service->where + " is lost" + since + ": " + service->why +
         "; vouchd goes on by its ledger's lock file";
}

}  // namespace vouch::cli
