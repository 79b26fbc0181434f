#include "daemon/data/outcome_spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/crypto.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::data {
namespace {

constexpr std::size_t kDigestDigits = 32;
constexpr std::size_t kBlock = 4096;
constexpr std::size_t kReadBytes = 64 * 1024;

template <typename Number>
Json or_null(const std::optional<Number>& number) {
  return number ? Json(*number) : Json(nullptr);
}
Json or_null(const std::optional<WallTime>& time) {
  return time ? Json(to_ms(*time)) : Json(nullptr);
}

Json to_json(const AttemptEnd& end) {
  const Intent& intent = end.intent;
  return {{"request_id", format_request_id(intent.key, intent.round)},
          {"campaign", intent.campaign_number},
          {"job", intent.job_number},
          {"range", intent.range},
          {"amount", or_null(intent.amount_minor)},
          {"fresh", intent.fresh},
          {"single", intent.single},
          {"asks", intent.asks},
          {"last_event", or_null(intent.last_event)},
          {"intent_ms", to_ms(intent.intent_at)},
          {"kind", static_cast<int>(end.kind)},
          {"outcome", static_cast<int>(end.outcome)},
          {"step", static_cast<int>(end.step)},
          {"gives_up", end.gives_up},
          {"next_ms", or_null(end.next_at)},
          {"doubt_ms", or_null(end.doubt_since)},
          {"attempts", end.attempts},
          {"strikes", end.strikes},
          {"asked", end.asked},
          {"missing_ms", or_null(end.missing_since)},
          {"known", end.known},
          {"started_ms", to_ms(end.started_at)},
          {"at_ms", to_ms(end.at)},
          {"status", end.http_status},
          {"transport", static_cast<int>(end.transport)},
          {"sends", end.sends},
          {"shared_by", end.shared_by},
          {"duration_us", end.duration_us},
          {"reference", end.reference},
          {"detail", end.detail},
          {"reply", end.reply_digest ? hex(*end.reply_digest) : ""}};
}

std::optional<WallTime> time_of(const Json& json, const char* key) {
  const Json& value = json.at(key);
  return value.is_null() ? std::nullopt : std::optional{from_ms(value.get<std::int64_t>())};
}

std::optional<std::int64_t> number_of(const Json& json, const char* key) {
  const Json& value = json.at(key);
  return value.is_null() ? std::nullopt : std::optional{value.get<std::int64_t>()};
}

// The digest has shown that these are the bytes we wrote: nothing can be missing.
Result<Intent> to_intent(const Json& json) {
  Intent intent;
  VOUCH_TRY(const RequestId id, parse_request_id(json.at("request_id").get<std::string>()));
  intent.key = id.key;
  intent.round = id.round;
  intent.campaign_number = json.at("campaign").get<std::int64_t>();
  intent.job_number = json.at("job").get<std::int64_t>();
  intent.range = json.at("range").get<std::int32_t>();
  intent.amount_minor = number_of(json, "amount");
  intent.fresh = json.at("fresh").get<bool>();
  intent.single = json.at("single").get<bool>();
  intent.asks = json.at("asks").get<bool>();
  intent.last_event = number_of(json, "last_event");
  intent.intent_at = from_ms(json.at("intent_ms").get<std::int64_t>());
  return intent;
}

Result<AttemptEnd> to_end(const Json& json) {
  AttemptEnd end;
  VOUCH_TRY(end.intent, to_intent(json));
  end.kind = static_cast<EventKind>(json.at("kind").get<int>());
  end.outcome = static_cast<Outcome>(json.at("outcome").get<int>());
  end.step = static_cast<IssuanceEvent>(json.at("step").get<int>());
  end.gives_up = json.at("gives_up").get<bool>();
  end.next_at = time_of(json, "next_ms");
  end.doubt_since = time_of(json, "doubt_ms");
  end.attempts = json.at("attempts").get<int>();
  end.strikes = json.at("strikes").get<int>();
  end.asked = json.at("asked").get<int>();
  end.missing_since = time_of(json, "missing_ms");
  end.known = json.at("known").get<bool>();
  end.started_at = from_ms(json.at("started_ms").get<std::int64_t>());
  end.at = from_ms(json.at("at_ms").get<std::int64_t>());
  end.http_status = json.at("status").get<int>();
  end.transport = static_cast<wire::Transport>(json.at("transport").get<int>());
  end.sends = json.at("sends").get<int>();
  end.shared_by = json.at("shared_by").get<int>();
  end.duration_us = json.at("duration_us").get<std::int64_t>();
  end.reference = json.at("reference").get<std::string>();
  end.detail = json.at("detail").get<std::string>();
  VOUCH_TRY(const std::string reply, from_hex(json.at("reply").get<std::string>()));
  if (reply.size() == std::tuple_size_v<Digest128>) {
    std::ranges::copy(reply, end.reply_digest.emplace().begin());
  }
  return end;
}

// The JSON of the record that `text` begins with; empty when it is none, or torn.
std::string_view record_of(std::string_view text) {
  const auto end = text.find('\n');
  if (end == std::string_view::npos || end <= kDigestDigits + 1) return {};
  const std::string_view json = text.substr(kDigestDigits + 1, end - kDigestDigits - 1);
  return hex(sha256_128(json)) == text.substr(0, kDigestDigits) ? json : std::string_view{};
}

}  // namespace

Result<OutcomeSpool> OutcomeSpool::open(const std::string& path) {
  FileDescriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)};
  if (!file.is_open()) return system_error(path, errno, "open");
  if (const int error = posix_fallocate(file.get(), 0, kSpoolBytes); error != 0) {
    return system_error(path, error, "take " + std::to_string(kSpoolBytes >> 20) + " MiB for");
  }
  if (fsync(file.get()) != 0) return system_error(path, errno, "write");
  return OutcomeSpool{path, std::move(file)};
}

Result<void> OutcomeSpool::append(const std::vector<AttemptEnd>& ends) {
  std::string text;
  bool is_full = false;
  for (const AttemptEnd& end : ends) {
    const std::string json = to_json(end).dump(-1, ' ', false, Json::error_handler_t::replace);
    is_full = used_ + text.size() + kDigestDigits + json.size() + 2 > kSpoolBytes;
    if (is_full) break;
    text += hex(sha256_128(json));
    text += ' ';
    text += json;
    text += '\n';
  }
  if (lseek(file_.get(), static_cast<off_t>(used_), SEEK_SET) < 0) {
    return system_error(path_, errno, "write");
  }
  VOUCH_CHECK(write_all(file_, text, path_));
  if (fdatasync(file_.get()) != 0) return system_error(path_, errno, "write");
  used_ += text.size();
  if (!is_full) return {};
  return fail(Errc::io, path_ + ": is full; the other ends of calls will be in doubt");
}

Result<std::string> OutcomeSpool::read_records() const {
  if (lseek(file_.get(), 0, SEEK_SET) < 0) return system_error(path_, errno, "read");
  std::string text;
  std::string block(kReadBytes, '\0');
  std::size_t whole = 0;
  while (text.size() < kSpoolBytes) {
    VOUCH_TRY(const std::size_t bytes, read_some(file_, block, path_));
    text.append(block, 0, bytes);
    while (true) {
      const std::string_view json = record_of(std::string_view{text}.substr(whole));
      if (json.empty()) break;
      whole += kDigestDigits + 1 + json.size() + 1;
    }
    if (bytes == 0 || text.find('\0', whole) != std::string::npos) break;
  }
  text.resize(whole);
  return text;
}

Result<std::vector<AttemptEnd>> OutcomeSpool::read() const {
  VOUCH_TRY(const std::string text, read_records());
  std::vector<AttemptEnd> ends;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view record = record_of(rest);
    VOUCH_TRY(const Json json, parse_json(record));
    VOUCH_TRY(AttemptEnd end, to_end(json));
    ends.push_back(std::move(end));
    rest.remove_prefix(kDigestDigits + 1 + record.size() + 1);
  }
  return ends;
}

// All of it, and the first block last: were a piece left, a record of this run could one day stand
// behind one of a later run.
Result<void> OutcomeSpool::clear() {
  if (lseek(file_.get(), 0, SEEK_SET) < 0) return system_error(path_, errno, "read");
  std::string first(1, '\0');
  VOUCH_TRY(const std::size_t bytes, read_some(file_, first, path_));
  used_ = 0;
  if (bytes == 0 || first.front() == '\0') return {};
  VOUCH_CHECK(write_nought(kBlock, kSpoolBytes));
  return write_nought(0, kBlock);
}

Result<void> OutcomeSpool::write_nought(std::size_t from, std::size_t upto) {
  if (lseek(file_.get(), static_cast<off_t>(from), SEEK_SET) < 0) {
    return system_error(path_, errno, "write");
  }
  const std::string nought(kReadBytes, '\0');
  while (from < upto) {
    const std::size_t bytes = std::min(nought.size(), upto - from);
    VOUCH_CHECK(write_all(file_, std::string_view{nought}.substr(0, bytes), path_));
    from += bytes;
  }
  return fdatasync(file_.get()) == 0 ? Result<void>{} : system_error(path_, errno, "write");
}

}  // namespace vouch::data
