#include "common/store/code_view.hpp"

#include "common/export_mark.hpp"

namespace vouch::store {
namespace {

// Walks the primary key of `code`, and finds each issuance by its own.
constexpr std::string_view kOwners = R"sql(
  SELECT code.ordinal, campaign.id, code.recipient_key, code.occurrence, code.item,
         issuance.state, job.id, issuance.downstream_version
    FROM pool
    JOIN code ON code.pool = pool.number
    JOIN campaign ON campaign.number = code.campaign
    JOIN issuance ON issuance.campaign = code.campaign
                 AND issuance.recipient_key = code.recipient_key
                 AND issuance.occurrence = code.occurrence AND issuance.item = code.item
    JOIN job ON job.number = issuance.job
   WHERE pool.id = :pool AND code.ordinal >= :from_ordinal AND code.ordinal < :upto_ordinal
   ORDER BY code.ordinal
)sql";

}  // namespace

Result<std::vector<CodeOwner>> code_owners(LedgerView& ledger, ObjectId pool, std::int64_t from) {
  std::vector<CodeOwner> owners;
  Statement& select = ledger.database().prepared(kOwners);
  select.bind(":pool", static_cast<std::int64_t>(pool)).bind(":from_ordinal", from);
  select.bind(":upto_ordinal", from + kCodesPage);
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return owners;
    owners.push_back({.ordinal = select.integer(0),
                      .key = {.campaign = static_cast<ObjectId>(select.integer(1)),
                              .recipient = select.digest(2),
                              .occurrence = static_cast<std::uint64_t>(select.integer(3)),
                              .item = static_cast<std::uint8_t>(select.integer(4))},
                      .state = static_cast<IssuanceState>(select.integer(5)),
                      .job = static_cast<ObjectId>(select.integer(6)),
                      .by_export = is_by_export(select.integer(7))});
  }
}

}  // namespace vouch::store
