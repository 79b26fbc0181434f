#include "cli/pool_view.hpp"

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {

Result<PoolView> PoolView::of(Session& session, store::PoolRow pool) {
  if (pool.instance.empty()) return PoolView{std::move(pool), 0};
  // Another instance's ledger may be another account's; the one that hands the codes out counts.
  VOUCH_TRY(store::LedgerView ledger, store::LedgerView::open(session.paths(), pool.instance));
  VOUCH_TRY(const std::int64_t out, ledger.codes_out(pool.id));
  return PoolView{std::move(pool), out};
}

std::int64_t PoolView::codes_of(std::string_view origin) const {
  std::int64_t codes = 0;
  for (const store::PoolSegmentRow& segment : pool_.segments) {
    if (segment.origin == origin) codes += segment.codes;
  }
  return codes;
}

Record PoolView::record() const {
  Record record = {{"name", "Name", pool_.name}, {"id", "Id", Value{}, Shown::wide}};
  if (pool_.id != 0) record[1].value = format_id(ObjectKind::pool, pool_.id);
  record.push_back({"generated", "Generated", codes_of("generated")});
  record.push_back({"imported", "Imported", codes_of("imported")});
  record.push_back({"codes", "Codes", pool_.codes()});
  record.push_back({"allocated", "Allocated", out_});
  record.push_back({"left", "Left", Value{left()}.tone(is_low() ? Tone::warn : Tone::plain)});
  record.push_back({"low_water", "Low water", pool_.low_water});
  record.push_back({"low", "Low", is_low()});
  record.push_back({"key", "Key", pool_.fingerprint, Shown::wide});
  record.push_back({"instance", "Instance", pool_.instance, Shown::wide});
  record.push_back({"created_at", "Created", pool_.created, Shown::wide});
  record.push_back({"created_by", "By", pool_.created_by, Shown::wide});
  return record;
}

std::string PoolView::segments_json() const {
  Json segments = Json::array();
  for (const store::PoolSegmentRow& segment : pool_.segments) {
    segments.push_back({{"digest", segment.digest},
                        {"first_ordinal", segment.first},
                        {"codes", segment.codes},
                        {"origin", segment.origin},
                        {"source", segment.source},
                        {"created_at", format_time_utc(segment.created)},
                        {"created_by", segment.created_by}});
  }
  return segments.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string PoolView::low_words() const {
  return "the pool " + pool_.name + " has " + format_count(left()) +
         " codes left, fewer than its low water of " + format_count(pool_.low_water) +
         "; add some: vouchctl pool generate " + pool_.name + " --count N";
}

}  // namespace vouch::cli
